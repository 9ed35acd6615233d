"""Runs the shell: lists everything once, then workers take keys from the queue until the process ends.

Wiring and loops only; what a pass is stands in reconciler.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tunesmith.controllers.audit import FeedAudit
from tunesmith.controllers.context import Work, working_on
from tunesmith.controllers.controller import Key, KeyWorker, key_of
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.ports import Clock
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Reconciler
from tunesmith.controllers.urgency import urgency
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.events import EventRecorder
from tunesmith.kube.kinds import JOB, NODE, OWN_KINDS, POD, ObjectKind
from tunesmith.kube.reflector import Reflector, keep_all
from tunesmith.kube.remote import OWN_JOBS, RemoteClusters, uses_gpus_or_is_ours
from tunesmith.planning.actions import RemoteCluster

Raw = Mapping[str, Any]
DRAIN_SECONDS = 10.0
LONGEST_WATCH_SILENCE_SECONDS = 300.0
"""A watch has a bookmark a minute, and is opened anew when it is silent: longer than this, it is dead."""

log = logging.getLogger(__name__)


class Instruments(Protocol):
    """Where passes are counted."""

    def passed(self, kind: str, outcome: str, seconds: float) -> None:
        """One pass over a key of this kind took so long and ended so."""
        ...


@dataclass(frozen=True)
class Pace:
    """How fast the shell goes."""

    workers: int = 32
    resync_seconds: float = 600.0


class Runtime:
    """Everything that runs between winning the lease and ending."""

    def __init__(
        self,
        *,
        cache: Cache,
        queue: WorkQueue,
        intake: Intake,
        kube: Kube,
        remotes: RemoteClusters,
        reconciler: Reconciler,
        recorder: EventRecorder,
        key_workers: Iterable[KeyWorker],
        first_keys: Iterable[Key],
        clock: Clock,
        jitter: Callable[[], float],
        instruments: Instruments,
        feed_is_dead: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        self.synced = False
        self._cache = cache
        self._queue = queue
        self._intake = intake
        self._kube = kube
        self._remotes = remotes
        self._reconciler = reconciler
        self._recorder = recorder
        self._key_workers = {worker.kind: worker for worker in key_workers}
        self._first_keys = tuple(first_keys)
        intake.gone = self._stop_remote
        self._clock = clock
        self._jitter = jitter
        self._instruments = instruments
        self._is_dead = feed_is_dead
        self._audit = FeedAudit(cache, kube, feed_is_dead)
        self._pace = pace or Pace()
        self._reflectors: list[Reflector] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """List our own kinds whole, then start the workers. Raises `KubeError` if they cannot be listed."""
        for kind in OWN_KINDS:
            listing = await self._kube.list(kind)
            self._cache.replace(kind.kind, listing.items, listing.resource_version)
        self._intake.begin(sorted(self._own(), key=urgency))
        for key in self._first_keys:
            self._intake.wake(key)
        self._reflectors = [
            self._reflector(NODE),
            self._reflector(POD, keep=uses_gpus_or_is_ours),
            self._reflector(JOB, selector=OWN_JOBS),
        ]
        for reflector in self._reflectors:
            self._spawn(reflector.run(), reflector.kind.plural)
        self._spawn(self._recorder.run(), "events")
        self._spawn(self._resync(), "resync")
        for number in range(self._pace.workers):
            self._spawn(self._work(), f"worker {number}")
        self.synced = True

    def dead_watch(self) -> str | None:
        """Which watch of the local cluster has been silent for too long to be alive; None: none."""
        now = self._clock.monotonic()
        for reflector in self._reflectors:
            silent_seconds = now - reflector.last_contact
            if silent_seconds > LONGEST_WATCH_SILENCE_SECONDS:
                return f"the watch of {reflector.kind.plural} was silent for {silent_seconds:.0f} s"
        return None

    async def stop(self) -> None:
        """Take no further keys, let passes in flight end within a bound, and end everything."""
        self._queue.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._queue.idle()
                await self._recorder.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._stopping, return_exceptions=True)
        await self._remotes.close()

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._pass(key)
            finally:
                self._queue.done(key)

    async def _pass(self, key: Key) -> None:
        """One pass, measured, with its consequences for the queue. What goes wrong backs off this key only."""
        begun = self._clock.monotonic()
        outcome = "error"
        meta = (self._cache.get(key.kind, key.namespace, key.name) or {}).get("metadata") or {}
        token = working_on.set(Work(key, str(meta.get("uid", "")), meta.get("generation")))
        try:
            outcome, again_after_seconds = await self._worked(key)
            self._queue.succeeded(key)
            if outcome == "gone":
                self._queue.forget(key)
            if again_after_seconds is not None:
                self._queue.add_after(key, again_after_seconds)
        except Exception as error:
            log.exception("A pass failed and will be repeated.", extra={"error": type(error).__name__})
            self._queue.add_failed(key)
        finally:
            working_on.reset(token)
            self._instruments.passed(key.kind, outcome, self._clock.monotonic() - begun)

    async def _worked(self, key: Key) -> tuple[str, float | None]:
        worker = self._key_workers.get(key.kind)
        if worker is not None:
            return "settled", await worker.work(key)
        result = await self._reconciler.reconcile(key)
        return result.outcome, result.again_after_seconds

    async def _resync(self) -> None:
        """Every key again now and then, after an audit of the feed: it heals whatever event was missed."""
        while True:
            await asyncio.sleep(self._pace.resync_seconds * (0.8 + 0.4 * self._jitter()))
            await self._audit.check()
            for raw in self._own():
                self._intake.wake(key_of(raw), after_seconds=self._jitter() * self._pace.resync_seconds / 10)

    def _own(self) -> list[Raw]:
        return [raw for kind in OWN_KINDS for raw in self._cache.list(kind.kind)]

    def _reflector(self, kind: ObjectKind, *, selector: str = "", keep: Callable[[Raw], bool] = keep_all) -> Reflector:
        return Reflector(
            self._kube,
            kind,
            self._cache,
            changed=lambda raw: self._intake.child_changed(None, raw),
            monotonic=self._clock.monotonic,
            jitter=self._jitter,
            label_selector=selector,
            keep=keep,
        )

    def _stop_remote(self, remote: RemoteCluster) -> None:
        task = asyncio.create_task(self._remotes.stop(remote), name=f"stop {remote.name}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """None of these ends by itself. A process that goes on without one of them looks alive and is not."""
        if task.cancelled():
            return
        why = task.exception()
        log.error("A task of the operator ended.", extra={"task": task.get_name()}, exc_info=why)
        self._is_dead(f"The task '{task.get_name()}' ended: {type(why).__name__ if why else 'it just returned'}.")
