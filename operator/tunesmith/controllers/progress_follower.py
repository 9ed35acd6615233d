"""Follows rank 0's log of every running attempt through the API of its cluster. The newest report is kept in memory.

Holds no rule about stalls: it says what was heard, when, and whether the log could be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from tunesmith.controllers.controller import Key
from tunesmith.controllers.ports import Clock
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.contract import Heartbeat, Progress, read_line
from tunesmith.planning.manifests import CONTAINER
from tunesmith.planning.progress import PROGRESS_SECONDS, LossPoint, Note, Report

LINES_AT_FIRST = 2000
LINES_KEPT = 100
LOSSES_KEPT = 1000
NOTES_KEPT = 20
LONGEST_NOTE = 1000
# Longer than the trainer's heartbeat: a connection that is silent for so long is opened anew, the log replays the gap.
INACTIVITY_SECONDS = 45.0
PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """The pod whose log tells of an attempt, or of an errand (then `attempt` is 0)."""

    where: RemoteCluster | None
    namespace: str
    pod: str
    attempt: int
    errand: str | None = None


@dataclass
class _Heard:
    """What has been heard of one target."""

    since_monotonic: float
    readable: bool = True
    why: str = ""
    heard_monotonic: float | None = None
    progress: Progress | None = None
    heartbeat: Heartbeat | None = None
    stalled_monotonic: float | None = None
    losses: deque[LossPoint] = field(default_factory=lambda: deque(maxlen=LOSSES_KEPT))
    notes: deque[Note] = field(default_factory=lambda: deque(maxlen=NOTES_KEPT))
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))


class ProgressFollower:
    """One task for each followed pod."""

    def __init__(
        self,
        kube_for: Callable[[RemoteCluster | None], Awaitable[Kube]],
        wake: Callable[[Key], None],
        clock: Clock,
        redacted: Callable[[str], str],
    ) -> None:
        self._kube_for = kube_for
        self._wake = wake
        self._clock = clock
        self._redacted = redacted
        self._following: dict[Key, _Following] = {}

    def follow(self, key: Key, target: Target) -> None:
        """Follow this pod for this job from now on; the same again changes nothing."""
        present = self._following.get(key)
        if present is not None and present.target == target:
            return
        self.stop(key)
        self._following[key] = _Following(target, self._kube_for, lambda: self._wake(key), self._clock, self._redacted)

    def report(self, key: Key) -> Report | None:
        """What was heard last, if anything is followed for the job."""
        following = self._following.get(key)
        return None if following is None else following.report()

    def stop(self, key: Key) -> None:
        """The job ended, or is gone."""
        following = self._following.pop(key, None)
        if following is not None:
            following.stop()

    async def close(self) -> None:
        """End all tasks."""
        following = list(self._following.values())
        self._following.clear()
        for one in following:
            one.stop()
        await asyncio.gather(*(one.task for one in following), return_exceptions=True)


class _Following:
    """The task that reads one log until it ends, again and again over broken connections."""

    def __init__(
        self,
        target: Target,
        kube_for: Callable[[RemoteCluster | None], Awaitable[Kube]],
        wake: Callable[[], None],
        clock: Clock,
        redacted: Callable[[str], str],
    ) -> None:
        self.target = target
        self._kube_for = kube_for
        self._wake = wake
        self._clock = clock
        self._redacted = redacted
        self._heard = _Heard(clock.monotonic())
        self._later: asyncio.TimerHandle | None = None
        self._last_wake = float("-inf")
        self.task = asyncio.create_task(self._run(), name=f"log of {target.namespace}/{target.pod}")

    def report(self) -> Report:
        """A snapshot."""
        heard = self._heard
        return Report(
            attempt=self.target.attempt,
            errand=self.target.errand,
            readable=heard.readable,
            why=heard.why,
            since_monotonic=heard.since_monotonic,
            heard_monotonic=heard.heard_monotonic,
            progress=heard.progress,
            heartbeat=heard.heartbeat,
            stalled_monotonic=heard.stalled_monotonic,
            losses=tuple(heard.losses),
            notes=tuple(heard.notes),
            tail=tuple(heard.tail),
        )

    def stop(self) -> None:
        """End the task and what it still has to say."""
        self.task.cancel()
        if self._later is not None:
            self._later.cancel()

    async def _run(self) -> None:
        failures = 0
        while True:
            begun = self._clock.monotonic()
            try:
                await self._read_until_it_ends()
                self._wake_soon()
                return
            except KubeError as error:
                # A connection that was open and only silent proves that the log can be read.
                quiet = self._clock.monotonic() - begun >= INACTIVITY_SECONDS
                failures = 0 if quiet else failures + 1
                if not quiet:
                    self._cannot_be_read(error.failure.message)
            except Exception:
                log.exception("Following a log failed; it is tried again.", extra={"pod": self.target.pod})
                failures += 1
                self._cannot_be_read("the operator failed to read it; see its log.")
            await asyncio.sleep(PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)])

    async def _read_until_it_ends(self) -> None:
        kube, target, heard = await self._kube_for(self.target.where), self.target, self._heard
        again = heard.heard_monotonic is not None
        since = int(self._clock.monotonic() - (heard.heard_monotonic or 0)) + 2 if again else None
        lines = kube.logs(
            target.namespace,
            target.pod,
            container=CONTAINER,
            follow=True,
            tail_lines=None if again else LINES_AT_FIRST,
            since_seconds=since,
            inactivity_seconds=INACTIVITY_SECONDS,
        )
        async with aclosing(lines):
            async for line in lines:
                self._hear(line)

    def _hear(self, line: str) -> None:
        heard = self._heard
        if not heard.readable:
            heard.readable, heard.why, heard.since_monotonic = True, "", self._clock.monotonic()
        said = read_line(line)
        if said is None:
            heard.tail.append(self._redacted(line[:1000]))
            return
        heard.heard_monotonic = self._clock.monotonic()
        if isinstance(said, Heartbeat):
            heard.heartbeat = said
            since = heard.stalled_monotonic
            heard.stalled_monotonic = (heard.heard_monotonic if since is None else since) if said.stalled else None
        elif _is_news(said, heard.progress):
            self._hear_progress(said)
        self._wake_soon()

    def _hear_progress(self, said: Progress) -> None:
        heard = self._heard
        before = heard.progress
        heard.progress = said if before is None else _with_what_was_known(said, before)
        heard.stalled_monotonic = None
        self._hear_losses(said)
        if said.message is not None:
            heard.notes.append(Note(said.time, self._redacted(said.message)[:LONGEST_NOTE]))

    def _hear_losses(self, said: Progress) -> None:
        """An evaluation is told in a line of its own, after that of its step, or before the first step."""
        losses = self._heard.losses
        evaluation = said.evaluation_loss if said.evaluation_step == said.step else None
        if (said.loss is None and evaluation is None) or (losses and said.step < losses[-1].step):
            return
        if losses and said.step == losses[-1].step:
            losses.pop()
        losses.append(LossPoint(said.step, said.loss, evaluation))

    def _cannot_be_read(self, why: str) -> None:
        heard = self._heard
        if heard.readable:
            heard.readable, heard.why = False, why
            self._wake_soon()

    def _wake_soon(self) -> None:
        """At once, or when PROGRESS_SECONDS have passed since the last time; never more often."""
        if self._later is not None:
            return
        left = self._last_wake + PROGRESS_SECONDS - self._clock.monotonic()
        self._later = asyncio.get_running_loop().call_later(max(0.0, left), self._wake_now)

    def _wake_now(self) -> None:
        self._later = None
        self._last_wake = self._clock.monotonic()
        self._wake()


def _is_news(said: Progress, before: Progress | None) -> bool:
    """A line that is replayed is older; a step that was not heard yet is news whatever the node's clock says."""
    return before is None or said.time >= before.time or said.step > before.step


def _with_what_was_known(said: Progress, before: Progress) -> Progress:
    """A line says what is new; what it leaves out still holds, but for what a stage or a moment ends."""
    lasting = Progress.model_fields.keys() - {"eta_seconds", "message"}
    missing = {name: getattr(before, name) for name in lasting if getattr(said, name) is None}
    return said.model_copy(update=missing)
