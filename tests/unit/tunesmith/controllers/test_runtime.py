"""The shell's loops: what fails backs off its own key only, and what must never end ends the process when it does."""

import asyncio
import random

from tests.unit.tunesmith.controllers.conftest import MemoryKube

from tunesmith.controllers.controller import Key
from tunesmith.controllers.reconciler import Pass
from tunesmith.controllers.runtime import Pace, Runtime


class WatchedKube(MemoryKube):
    """Watches that say nothing, or break in a way that nobody foresaw."""

    def __init__(self, fault=None):
        super().__init__()
        self.fault = fault

    async def watch(self, kind, *_, **__):
        if self.fault is not None and kind.kind == "Node":
            raise self.fault
        await asyncio.Event().wait()
        yield


class Silent:
    """A recorder, instruments and bought clusters that do nothing."""

    async def run(self):
        await asyncio.Event().wait()

    async def drain(self):
        return None

    async def close(self):
        return None

    def passed(self, kind, outcome, seconds):
        return None


class Passes:
    """A reconciler whose passes over `bad` fail."""

    def __init__(self):
        self.seen = []

    async def reconcile(self, key):
        self.seen.append(key.name)
        if key.name == "bad":
            raise ValueError("nobody foresaw this")
        return Pass("settled")


def a_runtime(shell, kube, dead, passes=None):
    return Runtime(
        cache=shell.cache,
        queue=shell.queue,
        intake=shell.intake,
        kube=kube,
        remotes=Silent(),
        reconciler=passes or Passes(),
        recorder=Silent(),
        key_workers=(),
        first_keys=(),
        clock=shell.clock,
        jitter=random.random,
        instruments=Silent(),
        feed_is_dead=dead.append,
        pace=Pace(workers=2),
    )


async def until(reached):
    async with asyncio.timeout(30):
        while not reached():
            await asyncio.sleep(0.01)


async def test_a_watch_that_breaks_unforeseen_ends_the_process(shell):
    dead = []
    runtime = a_runtime(shell, WatchedKube(ValueError("no such field")), dead)
    await runtime.start()
    await until(lambda: dead)
    await runtime.stop()
    assert dead == ["The task 'nodes' ended: ValueError."]


async def test_a_pass_that_fails_delays_no_other_key_and_comes_again(shell):
    dead, passes = [], Passes()
    runtime = a_runtime(shell, WatchedKube(), dead, passes)
    await runtime.start()
    for name in ("bad", "good"):
        shell.queue.add(Key("GPUCluster", "team", name))
    await until(lambda: {"bad", "good"} <= set(passes.seen))
    shell.clock.seconds += 10
    shell.queue.add(Key("GPUCluster", "team", "another"))
    await until(lambda: passes.seen.count("bad") == 2)
    await runtime.stop()
    assert dead == []


async def test_a_watch_that_says_nothing_for_five_minutes_is_dead(shell):
    runtime = a_runtime(shell, WatchedKube(), [])
    assert runtime.dead_watch() is None
    await runtime.start()
    shell.clock.seconds += 299
    assert runtime.dead_watch() is None
    shell.clock.seconds += 10
    assert runtime.dead_watch().startswith("the watch of nodes was silent for 3")
    await runtime.stop()
