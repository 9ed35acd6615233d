"""What is written down of a running attempt, and when silence is a stall. A log that cannot be read is never one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tunesmith.planning.contract import Heartbeat, Progress

HISTORY_POINTS = 64
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class LossPoint:
    """The loss at one step."""

    step: int
    loss: float


@dataclass(frozen=True)
class Report:
    """What this process has heard from rank 0 of one attempt.

    `since_monotonic` is when the log could last be read without a break; `heard_monotonic` when the last line came.
    """

    attempt: int
    errand: str | None = None  # the errand whose pod it is, in place of an attempt's rank 0
    readable: bool = True
    why: str = ""
    since_monotonic: float = 0.0
    heard_monotonic: float | None = None
    progress: Progress | None = None
    heartbeat: Heartbeat | None = None
    losses: tuple[LossPoint, ...] = ()
    tail: tuple[str, ...] = ()


def stalled(report: Report | None, stall_seconds: float, monotonic: float) -> str | None:
    """Why the attempt counts as stalled, in words, or None.

    The heartbeat's own word, or silence for `stall_seconds` while the log could be read all that time.
    """
    if report is None or not report.readable:
        return None
    if report.heartbeat is not None and report.heartbeat.stalled:
        return f"The trainer says that step {report.heartbeat.last_step} was its last for too long."
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
    later = tuple(point for point in new if not before or point.step > before[-1].step)
    return decimated((*before, *later)) if later else before


def decimated(points: tuple[LossPoint, ...]) -> tuple[LossPoint, ...]:
    """At most HISTORY_POINTS: every second of the older ones goes until they fit; the last one always stays."""
    while len(points) > HISTORY_POINTS:
        *older, last = points
        points = (*older[::2], last)
    return points
