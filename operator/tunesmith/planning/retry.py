"""When to try a failed action again: full jitter over a growing interval; the server's own wish wins."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from tunesmith.planning.circumstances import Circumstances, FailureRecord
from tunesmith.planning.decision import Action, Decision

BASE_SECONDS = 1.0
LONGEST_SECONDS = 300.0

Status = TypeVar("Status", bound=BaseModel)


def retry_delay_seconds(record: FailureRecord, jitter: float) -> float:
    """Seconds between the last failure and the next try.

    Half of the interval is fixed and half is jitter, so that a failing action is never repeated at once.
    """
    if record.failure.retry_after_seconds is not None:
        return record.failure.retry_after_seconds
    interval = min(LONGEST_SECONDS, BASE_SECONDS * 2.0 ** min(record.count - 1, 16))
    return interval * (0.5 + 0.5 * jitter)


def is_held_back(action: Action, around: Circumstances) -> bool:
    """Whether the action failed too recently to be tried again; asked where a status must not speak of it as done."""
    record = around.failure_of(action)
    if record is None:
        return False
    return around.monotonic < record.last_monotonic + retry_delay_seconds(record, around.jitter)


def hold_back(decision: Decision[Status], around: Circumstances) -> Decision[Status]:
    """The decision without the first action that failed too recently, nor what comes after it."""
    for index, action in enumerate(decision.actions):
        record = around.failure_of(action)
        if record is None:
            continue
        left = record.last_monotonic + retry_delay_seconds(record, around.jitter) - around.monotonic
        if left > 0:
            sooner = left if decision.look_again_seconds is None else min(left, decision.look_again_seconds)
            return replace(decision, actions=decision.actions[:index], look_again_seconds=sooner)
    return decision
