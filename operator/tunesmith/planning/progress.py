"""What is written down of a running attempt, and when silence is a stall. A log that cannot be read is never one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from tunesmith.planning.contract import Heartbeat, Progress

HISTORY_POINTS = 64
PROGRESS_SECONDS = 5.0
# A trainer that sits still ends itself, and then says who of its processes is behind: it has so long to do that.
SECONDS_FOR_ITS_LAST_WORDS = 90.0


@dataclass(frozen=True)
class LossPoint:
    """The losses at one step: on its own rows, and on the held-out ones where they were measured after it."""

    step: int
    loss: float | None
    evaluation_loss: float | None = None


@dataclass(frozen=True)
class Note:
    """Something that the trainer wanted a person to know."""

    time: datetime
    message: str


@dataclass(frozen=True)
class Report:
    """What this process has heard from rank 0 of one attempt.

    `since_monotonic` is when the log could last be read without a break; `heard_monotonic` when the last line came;
    `stalled_monotonic` when it first said that it sits still, and has not moved since.
    """

    attempt: int
    errand: str | None = None  # the errand whose pod it is, in place of an attempt's rank 0
    readable: bool = True
    why: str = ""
    since_monotonic: float = 0.0
    heard_monotonic: float | None = None
    progress: Progress | None = None
    heartbeat: Heartbeat | None = None
    stalled_monotonic: float | None = None
    losses: tuple[LossPoint, ...] = ()
    notes: tuple[Note, ...] = ()
    tail: tuple[str, ...] = ()


def stalled(report: Report | None, stall_seconds: float, monotonic: float) -> str | None:
    """Why the attempt counts as stalled, in words, or None.

    The heartbeat's own word, after the time that the trainer has to end by itself; or silence for `stall_seconds`
    while the log could be read all that time.
    """
    if report is None or not report.readable:
        return None
    said_so = report.stalled_monotonic
    if said_so is not None and report.heartbeat is not None and monotonic - said_so >= SECONDS_FOR_ITS_LAST_WORDS:
        return (
            f"The trainer says that step {report.heartbeat.last_step} was its last for too long, and has not ended by "
            f"itself within {SECONDS_FOR_ITS_LAST_WORDS:g} s."
        )
    silent = monotonic - max(report.since_monotonic, report.heard_monotonic or report.since_monotonic)
    if silent >= stall_seconds:
        return f"Neither progress nor a heartbeat came for {stall_seconds:g} s, although the log can be read."
    return None


def merged(history: Iterable[LossPoint], heard: Iterable[LossPoint]) -> tuple[LossPoint, ...]:
    """The history with what was heard since, at most HISTORY_POINTS, by step; the same again changes nothing.

    An attempt that resumed at an earlier step replaces what a lost one reported beyond it.
    """
    before, new = tuple(history), sorted(heard, key=lambda point: point.step)
    if not new:
        return before
    if before and new[-1].step < before[-1].step:
        before = tuple(point for point in before if point.step < new[0].step)
    points = {point.step: point for point in before}
    last = before[-1].step if before else -1
    measured = max((point.step for point in before if point.evaluation_loss is not None), default=-1)
    for point in new:
        if point.step > last:
            points[point.step] = point
        elif point.evaluation_loss is not None and point.step > measured:
            # An evaluation is told after its step, which may have been written down, or thinned out, before.
            known = points.get(point.step, point)
            points[point.step] = replace(known, evaluation_loss=point.evaluation_loss)
    together = tuple(points[step] for step in sorted(points))
    return before if together == before else decimated(together)


def decimated(points: tuple[LossPoint, ...]) -> tuple[LossPoint, ...]:
    """At most HISTORY_POINTS: every second of the older ones goes until they fit; evaluated ones go last.

    The last one always stays, and so does the last one that was evaluated.
    """
    while len(points) > HISTORY_POINTS:
        plain = [point for point in points[:-1] if point.evaluation_loss is None]
        evaluated = [point for point in points[:-1] if point.evaluation_loss is not None]
        older = plain[::2] + evaluated if len(plain) > len(evaluated) else plain + evaluated[::-2]
        points = (*sorted(older, key=lambda point: point.step), points[-1])
    return points
