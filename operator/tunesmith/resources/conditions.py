"""Conditions: one true statement each about a resource, kept as a list by type, and the few rules for changing them.

`lastTransitionTime` moves only when `status` does. The order of the list is fixed per kind, with `Reconciling` and
`Stalled` as kstatus reads them (it walks the list in order), and the two are never true together.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from tunesmith.resources.schema import Size, StatusPart, Time, doc


class ConditionStatus(StrEnum):
    """Whether the statement holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusPart):
    """The standard condition of the Kubernetes API conventions."""

    type: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=316, pattern=r"^[A-Z][A-Za-z0-9]*$")],
        doc("What the condition is about, such as 'Ready'."),
    ]
    status: Annotated[ConditionStatus, doc("Whether it holds: 'True', 'False' or 'Unknown'.")]
    observed_generation: Annotated[Size | None, doc("The generation of the resource that was judged.")] = None
    last_transition_time: Annotated[Time, doc("When `status` last changed.")]
    reason: Annotated[
        Annotated[
            str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
        ],
        doc("Why, in one word for programs; docs/reference/reasons.md explains each."),
    ]
    message: Annotated[
        Annotated[str, StringConstraints(max_length=32768)],
        doc("Why, in a sentence for people, with what to do about it."),
    ]

    @property
    def is_true(self) -> bool:
        """True when the statement is known to hold."""
        return self.status is ConditionStatus.TRUE


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, if it has been set."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """True when the condition is there and True."""
    found = find_condition(conditions, kind)
    return found is not None and found.is_true


def set_condition(
    conditions: Iterable[Condition],
    kind: str,
    status: ConditionStatus | bool | None,
    *,
    reason: str,
    message: str,
    now: datetime,
    observed_generation: int,
) -> tuple[Condition, ...]:
    """The list with this one set: its transition time is kept while the status is the same.

    `status` may be a bool, or None for 'Unknown'. Messages over the limit are cut.
    """
    kept = tuple(conditions)
    wanted = status if isinstance(status, ConditionStatus) else _status_of(status)
    before = find_condition(kept, kind)
    # The wire keeps whole seconds: a fraction would differ from what is read back.
    since = (
        before.last_transition_time if before is not None and before.status is wanted else now.replace(microsecond=0)
    )
    changed = Condition(
        type=kind,
        status=wanted,
        observed_generation=observed_generation,
        last_transition_time=since,
        reason=reason,
        message=message[:32768],
    )
    if before is None:
        return (*kept, changed)
    return tuple(changed if condition.type == kind else condition for condition in kept)


def in_order(conditions: Iterable[Condition], order: Iterable[str]) -> tuple[Condition, ...]:
    """The conditions in the order of the kind; types that it does not list come last, by name."""
    place = {kind: index for index, kind in enumerate(order)}
    return tuple(sorted(conditions, key=lambda condition: (place.get(condition.type, len(place)), condition.type)))


def first_visit(order: Iterable[str], *, now: datetime, observed_generation: int) -> tuple[Condition, ...]:
    """Every condition of a kind as 'Unknown', as a resource gets them when it is seen first."""
    conditions: tuple[Condition, ...] = ()
    for kind in order:
        conditions = set_condition(
            conditions,
            kind,
            None,
            reason="NotYetObserved",
            message="The operator has not looked at this yet.",
            now=now,
            observed_generation=observed_generation,
        )
    return conditions


def _status_of(value: bool | None) -> ConditionStatus:
    if value is None:
        return ConditionStatus.UNKNOWN
    return ConditionStatus.TRUE if value else ConditionStatus.FALSE
