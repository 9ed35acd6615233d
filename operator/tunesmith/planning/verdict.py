"""How a decision about a bought thing is told: one summary for people and kstatus, and what is known of each condition.

The rule that the table of kstatus asks for stands here once: `Reconciling` and `Stalled` are never true together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeVar

from tunesmith.resources.conditions import Condition, find_condition, first_visit, in_order, set_condition
from tunesmith.resources.metadata import Status

AnyStatus = TypeVar("AnyStatus", bound=Status)


class Standing(Enum):
    """Where a resource stands, in the words of kstatus."""

    DONE = "done"  # Current
    WORKING = "working"  # InProgress: it will go on by itself
    STALLED = "stalled"  # Failed: somebody must do something
    RESTING = "resting"  # not Ready by intention: nothing is under way and nothing is wrong


@dataclass(frozen=True)
class Verdict:
    """What is known of one condition. `holds` None: unknown."""

    holds: bool | None
    reason: str
    message: str


@dataclass(frozen=True)
class Summary:
    """The one sentence about the whole resource."""

    standing: Standing
    reason: str
    message: str


def told(
    status: AnyStatus,
    summary: Summary,
    verdicts: Mapping[str, Verdict],
    *,
    order: Iterable[str],
    generation: int,
    now: datetime,
) -> AnyStatus:
    """The status with this summary and these verdicts; other conditions stay as they were, or become Unknown."""
    kinds = tuple(order)
    conditions = status.conditions or first_visit(kinds, now=now, observed_generation=generation)
    for kind, verdict in {**verdicts, **_summary_verdicts(summary)}.items():
        conditions = set_condition(
            conditions,
            kind,
            verdict.holds,
            reason=verdict.reason,
            message=verdict.message,
            now=now,
            observed_generation=generation,
        )
    return status.model_copy(
        update={"conditions": in_order(conditions, kinds), "observed_generation": generation},
    )


def reason_of(conditions: Iterable[Condition], kind: str) -> str | None:
    """The reason that a condition gives now; None before the first visit. Events are told when it changes."""
    found = find_condition(conditions, kind)
    return None if found is None else found.reason


def _summary_verdicts(summary: Summary) -> dict[str, Verdict]:
    same = (summary.reason, summary.message)
    return {
        "Ready": Verdict(summary.standing is Standing.DONE, *same),
        "Reconciling": Verdict(summary.standing is Standing.WORKING, *same),
        "Stalled": Verdict(summary.standing is Standing.STALLED, *same),
    }
