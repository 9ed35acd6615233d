"""What a kind gives the one reconciler: how to observe it, its decision, and how to carry out one action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Action, Decision, Failure

Raw = Mapping[str, Any]
Seen = TypeVar("Seen")


@dataclass(frozen=True, order=True)
class Key:
    """One unit of work on the queue: a resource of ours, or a pool. Cluster-scoped kinds have an empty namespace."""

    kind: str
    namespace: str
    name: str


def key_of(raw: Raw) -> Key:
    """The key of a resource."""
    meta = raw["metadata"]
    return Key(str(raw["kind"]), str(meta.get("namespace", "")), str(meta["name"]))


POOL = "Pool"


def pool_key(where: RemoteCluster | None) -> Key:
    """The key of a bought cluster's pool, or of the pool of all local GPU nodes."""
    return Key(POOL, "", "local") if where is None else Key(POOL, where.namespace, where.name)


class ActionFailed(Exception):
    """An action that did not succeed. What is raised otherwise is a fault of ours and backs off the whole key."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


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
        """One request; returns the outcome's value or raises `ActionFailed` (a `KubeError` will do as well).

        Only for actions of the kind's own: those of planning/actions.py are carried out by the reconciler.
        """
        ...

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """Other keys whose decision may change because this resource changed."""
        ...

    def forget(self, key: Key) -> None:
        """The resource is gone: drop what was remembered for it."""
        ...


class KeyWorker(Protocol):
    """Work on keys that are no resources and have no status of their own, such as pools."""

    kind: str

    async def work(self, key: Key) -> float | None:
        """One pass. Returns the seconds until the next one at the latest; None: only when woken."""
        ...
