"""What a kind gives the one reconciler: how to observe it, its decision, and how to carry out one action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Action, Decision

Raw = Mapping[str, Any]
Seen = TypeVar("Seen")


@dataclass(frozen=True, order=True)
class Key:
    """One unit of work on the queue: a resource of ours, or a pool. Cluster-scoped kinds have an empty namespace."""

    kind: str
    namespace: str
    name: str


class Controller(Protocol[Seen]):
    """One kind's part in a pass. Holds no rules: those are in planning/."""

    kind: str

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> Seen:
        """Everything the decision needs, as one frozen value. May read caches and make reads; must not write."""
        ...

    def decide(self, seen: Seen) -> Decision[Any]:
        """The pure decision of planning/."""
        ...

    async def act(self, seen: Seen, action: Action) -> object:
        """One request; returns the outcome's value or raises `ActionFailed`."""
        ...

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """Other keys whose decision may change because this resource changed."""
        ...

    def forget(self, key: Key) -> None:
        """The resource is gone: drop what was remembered for it."""
        ...
