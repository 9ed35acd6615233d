"""What every decision is made of: an action, its outcome, an Event worth telling, and the Decision that holds them.

Nothing here knows a kind. See docs/design/decisions.md for the rule that all kinds share: observe, decide, act.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

Seen = TypeVar("Seen")
Status = TypeVar("Status", bound=BaseModel)


class ErrorClass(StrEnum):
    """Why an action failed, in a closed set. What each means for money stands beside it."""

    OUT_OF_STOCK = "OutOfStock"  # definite: nothing was bought
    BAD_REQUEST = "BadRequest"  # definite: nothing was bought
    UNAUTHENTICATED = "Unauthenticated"  # definite: nothing was bought; says nothing about what exists
    FORBIDDEN = "Forbidden"  # definite: nothing was bought; says nothing about what exists
    NO_CREDIT = "NoCredit"  # definite: nothing was bought
    NOT_FOUND = "NotFound"  # the object is absent as far as this credential can see
    CONFLICT = "Conflict"  # somebody else wrote first: look again
    INVALID = "Invalid"  # the API server refused the object
    RATE_LIMITED = "RateLimited"  # definite: nothing was bought
    UNAVAILABLE = "Unavailable"  # a read or an idempotent write did not get through
    AMBIGUOUS = "Ambiguous"  # a create may or may not have happened: look before any other create
    NOT_SENT = "NotSent"  # this process knows that the request never left it


class KnownMessage(StrEnum):
    """A text of the provider that is understood, so that a decision can say what to do about it."""

    OUT_OF_STOCK = "OutOfStock"
    DRIVER_MISSING = "DriverMissing"
    VOLUME_ELSEWHERE = "VolumeElsewhere"  # the volume and the GPUs lie in different partitions of a region


@dataclass(frozen=True)
class Failure:
    """An action that did not succeed.

    `message` is ours, never the text of a response. `retry_after_seconds` is the server's wish when it gave one.
    `known` is what the provider's text said, where it is one of the few that are understood.
    """

    error: ErrorClass
    message: str
    retry_after_seconds: float | None = None
    known: KnownMessage | None = None


@dataclass(frozen=True)
class Action:
    """One request to the outside. Subclasses are plain data; `act` in controllers/ carries them out."""

    costs_money: ClassVar[bool] = False

    @property
    def identity(self) -> str:
        """The same for an action that repeats an earlier one: failures are counted under it."""
        return repr(self)


@dataclass(frozen=True)
class Outcome:
    """What came of one action of the pass before: a value (its type belongs to the action) or a failure."""

    action: Action
    value: object = None
    failure: Failure | None = None


class EventType(StrEnum):
    """Kubernetes' two kinds of Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True)
class EventNote:
    """An Event on the resource itself: told once per transition, by the decision that makes the transition."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True)
class Decision(Generic[Status]):
    """The whole new status, what to do next in order, what to tell, and when to look again at the latest.

    At most one action costs money, and that one is the last.
    """

    status: Status
    actions: tuple[Action, ...] = ()
    events: tuple[EventNote, ...] = ()
    look_again_seconds: float | None = None

    def __post_init__(self) -> None:
        paid = [index for index, action in enumerate(self.actions) if action.costs_money]
        if paid and paid != [len(self.actions) - 1]:
            raise ValueError("at most one action of a decision may cost money, and it must be the last")

    def with_actions(self, *actions: Action) -> Decision[Status]:
        """The same decision with further actions after the present ones."""
        return replace(self, actions=(*self.actions, *actions))


def first_answer(
    seen: Seen,
    *questions: Callable[[Seen], Decision[Status] | None],
    otherwise: Callable[[Seen], Decision[Status]],
) -> Decision[Status]:
    """Ask the questions in order; the first that answers decides."""
    for question in questions:
        answer = question(seen)
        if answer is not None:
            return answer
    return otherwise(seen)
