"""Faults of the wire: which requests they strike, and what they do to them. Pure; ``http.fault_injection`` does it.

What an armed fault strikes depends on the seed, on the fault and on how many requests it has looked at, on nothing
else: the same seed and the same requests meet the same faults.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from tunesmith_simulator.pace import Seconds

Verb = Literal["LIST", "GET", "POST", "PUT", "DELETE"]
"""What is done to a collection. LIST is a GET of the whole collection; approving and the like are POST."""

Collection = Literal["clusters", "volumes", "regions", "remediations", "other"]
"""What a request is about, in every dialect of the API."""

Pattern = Annotated[
    str,
    StringConstraints(
        pattern=r"^(LIST|GET|POST|PUT|DELETE|\*) (clusters|volumes|regions|remediations|other|\*)$",
    ),
]
"""A verb and a collection, as in ``POST clusters``; ``*`` is any."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``object_id`` is what its path names, ``account`` who asks, if the key is known."""

    verb: Verb
    collection: Collection
    object_id: str | None = None
    account: str | None = None


class _Effect(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Delay(_Effect):
    """The request is held up, by ``seconds`` on the wall, up to ``up_to_seconds`` if given."""

    kind: Literal["delay"] = "delay"
    seconds: Seconds
    up_to_seconds: Seconds | None = None


class Answer(_Effect):
    """Another answer than the service's own, before the request takes effect or after it.

    Without ``body`` it is an error in the service's form with ``message``.
    """

    kind: Literal["answer"] = "answer"
    status: int = Field(ge=200, le=599)
    after_effect: bool = False
    message: str = "an injected fault"
    body: Any = None
    retry_after: int | str | None = None
    """Seconds or an HTTP date, as the header shall read."""


class Cut(_Effect):
    """The connection is closed without an answer, after the request took effect unless it says otherwise."""

    kind: Literal["cut"] = "cut"
    after_effect: bool = True


class Truncate(_Effect):
    """The answer ends early. ``length``: its header promises more than comes; ``json``: whole for HTTP, cut as JSON."""

    kind: Literal["truncate"] = "truncate"
    how: Literal["length", "json"] = "length"
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.5


class Empty(_Effect):
    """The request takes effect and is answered with nothing."""

    kind: Literal["empty"] = "empty"
    status: int = Field(default=200, ge=200, le=299)


class Rewrite(_Effect):
    """Fields of the answer's objects read differently: values that no client knows, fields that are new or absent.

    Paths are dotted, ``*`` stands for every element: ``gpu_worker_nodes.*.status``. In a list they are of its objects.
    """

    kind: Literal["rewrite"] = "rewrite"
    fields: Mapping[str, Any] = Field(default_factory=dict)
    without: tuple[str, ...] = ()


Effect = Annotated[Delay | Answer | Cut | Truncate | Empty | Rewrite, Field(discriminator="kind")]


class Fault(BaseModel):
    """What goes wrong, for which requests, how often and when.

    ``next_requests`` is how many requests it strikes before it is spent; ``probability`` that it strikes one that it
    fits. ``after_seconds`` and ``for_seconds`` are of the clock, from the moment it is armed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    route: Pattern = "* *"
    effect: Effect
    next_requests: PositiveInt | None = None
    probability: Annotated[float, Field(gt=0, le=1)] = 1
    after_seconds: Seconds = 0
    for_seconds: Seconds | None = None
    account: str | None = None
    object_id: str | None = None

    def fits(self, asked: Asked) -> bool:
        """Whether it is about such a request."""
        verb, collection = self.route.split(" ")
        return (
            verb in {"*", asked.verb}
            and collection in {"*", asked.collection}
            and self.account in {None, asked.account}
            and (self.object_id is None or fnmatchcase(asked.object_id or "", self.object_id))
        )

    def runs(self, armed_at: datetime, now: datetime) -> bool:
        """Whether its time has come and is not over."""
        seconds = (now - armed_at).total_seconds()
        over = self.for_seconds is not None and seconds >= self.after_seconds + self.for_seconds
        return seconds >= self.after_seconds and not over


@dataclass(frozen=True, slots=True)
class ArmedFault:
    """A fault that lies in wait: ``looked_at`` requests fitted it, ``struck`` of them met it."""

    number: int
    fault: Fault
    armed_at: datetime
    looked_at: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        """It has struck as often as it was to."""
        return self.fault.next_requests is not None and self.struck >= self.fault.next_requests


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault meets one request. ``chance`` is a number in [0, 1) for what it leaves open."""

    number: int
    effect: Effect
    chance: float


@dataclass(frozen=True, slots=True)
class FaultBook:
    """All armed faults, in the order in which they were armed."""

    seed: int
    armed: tuple[ArmedFault, ...] = ()
    last_number: int = 0

    def with_fault(self, fault: Fault, now: datetime) -> "FaultBook":
        """The book with one more."""
        number = self.last_number + 1
        return replace(self, armed=(*self.armed, ArmedFault(number, fault, now)), last_number=number)

    def without(self, number: int | None = None) -> "FaultBook":
        """The book without one fault, or without any."""
        return replace(self, armed=tuple(each for each in self.armed if number not in {None, each.number}))

    def meet(self, asked: Asked, now: datetime) -> tuple["FaultBook", tuple[Strike, ...]]:
        """What meets this request, and the book after it.

        All delays and rewrites that strike, but of the effects that end a request only the first: the others are
        kept for later requests.
        """
        strikes: list[Strike] = []
        armed = []
        for each in self.armed:
            if (
                each.spent
                or not each.fault.runs(each.armed_at, now)
                or not each.fault.fits(asked)
                or (_ends(each.fault.effect) and any(_ends(strike.effect) for strike in strikes))
            ):
                armed.append(each)
            else:
                draw, chance = self._chances(each)
                struck = draw < each.fault.probability
                armed.append(replace(each, looked_at=each.looked_at + 1, struck=each.struck + struck))
                strikes += [Strike(each.number, each.fault.effect, chance)] if struck else []
        return replace(self, armed=tuple(armed)), tuple(strikes)

    def _chances(self, armed: ArmedFault) -> tuple[float, float]:
        source = random.Random(f"{self.seed}/{armed.number}/{armed.looked_at}")
        return source.random(), source.random()


def _ends(effect: Effect) -> bool:
    return not isinstance(effect, Delay | Rewrite)
