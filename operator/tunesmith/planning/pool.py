"""Who gets the GPUs of a pool: all pods of a job or none, the oldest first, never more than a node has.

A pool is one bought cluster, or all local GPU nodes together. Nothing here waits or writes: the pool's controller
holds a grant until the job has recorded it in its own status or asks no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from tunesmith.planning.kube_facts import NodeFact, PodFact
from tunesmith.planning.placement import PodPlace, Tolerated, may_use, place


@dataclass(frozen=True)
class Request:
    """A job that asks for GPUs. It gets nodes that it blames (`avoid`) only if the others could never hold it."""

    uid: str
    name: str
    created: datetime
    pods: int
    gpus_per_pod: int
    avoid: frozenset[str] = frozenset()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Tolerated, ...] = ()
    attempt: int = 1

    @cached_property
    def shape(self) -> Hashable:
        """Jobs of the same shape may use the same nodes: thousands that wait have few shapes."""
        selector = frozenset(self.node_selector.items())
        return self.pods, self.gpus_per_pod, self.avoid, selector, self.tolerations

    @property
    def gpus(self) -> int:
        """All GPUs it asks for."""
        return self.pods * self.gpus_per_pod


@dataclass(frozen=True)
class Holding:
    """A job that was granted nodes. `since` is the time of its admission; `has_pods`: its pods exist already."""

    uid: str
    name: str
    since: datetime
    pods: tuple[PodPlace, ...]
    has_pods: bool = False
    recorded: bool = True


@dataclass(frozen=True)
class Granted:
    """These nodes are the job's, by completion index, until it records or declines them."""

    pods: tuple[PodPlace, ...]


@dataclass(frozen=True)
class InLine:
    """Not yet: how many stand before it (from 1), and what it waits for, in words."""

    position: int
    blocked_by: str


@dataclass(frozen=True)
class NeverFits:
    """The pool can not hold it even when it is empty."""

    why: str


@dataclass(frozen=True)
class GoesBack:
    """Its admission can not be honoured any more; it had no pods yet, so it asks again."""

    why: str


PoolAnswer = Granted | InLine | NeverFits | GoesBack

FIRST_POSITIONS_SHOWN = 20


def assign(
    waiting: Iterable[Request],
    held: Iterable[Holding],
    nodes: Iterable[NodeFact],
    pods: Iterable[PodFact],
    suspects: frozenset[str] = frozenset(),
) -> Mapping[str, PoolAnswer]:
    """The answer for every job that waits, and for every holding that must go back, by the job's uid.

    `pods` are all pods of the pool's nodes; what they use beyond their own job's holding is not free.
    `suspects` are nodes that are granted only to jobs that the others could never hold.
    The oldest job that does not fit keeps every node that it could use from those behind it: large jobs do not starve.
    """
    nodes = tuple(nodes)
    kept, answers = _give_back(tuple(held), nodes, tuple(pods))
    free = _free(kept, nodes, tuple(pods))
    line = 0
    blocker: str | None = None
    alike: dict[Hashable, frozenset[str] | None] = {}
    for request in sorted(waiting, key=lambda one: (one.created, one.uid)):
        if request.shape not in alike:
            alike[request.shape] = _usable(request, nodes, suspects)
        usable = alike[request.shape]
        if usable is None:
            answers[request.uid] = NeverFits(_too_small(request, nodes))
            continue
        room = {name: gpus for name, gpus in free.items() if name in usable}
        places = place(request.pods, request.gpus_per_pod, room)
        if places is None:
            line += 1
            answers[request.uid] = InLine(line, _blocked_by(request, room, blocker, line))
            blocker = blocker or request.name
            for name in room:  # kept for this job
                del free[name]
            continue
        answers[request.uid] = Granted(places)
        for one in places:
            free[one.node] -= one.gpus
    return answers


def never_fits(request: Request, nodes: Iterable[NodeFact]) -> NeverFits | None:
    """Whether the pool could hold the request when it is empty."""
    nodes = tuple(nodes)
    return NeverFits(_too_small(request, nodes)) if _usable(request, nodes, frozenset()) is None else None


def overcommitted_nodes(held: Iterable[Holding], nodes: Iterable[NodeFact]) -> frozenset[str]:
    """Nodes that were granted beyond what they can give now: gone, not ready, or with fewer GPUs than before."""
    can_give = {node.name: node.gpus for node in nodes if node.ready}
    granted = _granted(held)
    return frozenset(
        name for name, gpus in granted.items() if name not in can_give or sum(gpus.values()) > can_give[name]
    )


def _give_back(
    held: tuple[Holding, ...], nodes: tuple[NodeFact, ...], pods: tuple[PodFact, ...]
) -> tuple[tuple[Holding, ...], dict[str, PoolAnswer]]:
    """Take back the youngest recorded admissions without pods until no node is overcommitted by such."""
    answers: dict[str, PoolAnswer] = {}
    kept = list(held)
    while True:
        over = overcommitted_nodes(kept, nodes)
        losers = [h for h in kept if h.recorded and not h.has_pods and any(p.node in over for p in h.pods)]
        if not losers:
            return tuple(kept), answers
        youngest = max(losers, key=lambda one: (one.since, one.uid))
        kept.remove(youngest)
        bad = ", ".join(sorted({p.node for p in youngest.pods if p.node in over}))
        answers[youngest.uid] = GoesBack(f"The granted nodes can no longer give what was promised: {bad}.")


def _free(held: Iterable[Holding], nodes: Iterable[NodeFact], pods: Iterable[PodFact]) -> dict[str, int]:
    """Free GPUs by node, for nodes that take pods now. A job counts with the larger of its holding and its pods."""
    used = _granted(held)
    running: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for pod in pods:
        if pod.node is not None and not pod.finished:
            running[pod.node][pod.owner_uid or f"{pod.namespace}/{pod.name}"] += pod.gpus
    free: dict[str, int] = {}
    for node in nodes:
        if node.ready and not node.cordoned:
            here, there = used[node.name], running[node.name]
            taken = sum(max(here.get(who, 0), there.get(who, 0)) for who in {*here, *there})
            free[node.name] = max(0, node.gpus - taken)
    return free


def _granted(held: Iterable[Holding]) -> dict[str, dict[str, int]]:
    """GPUs granted by node, then by job."""
    granted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for holding in held:
        for one in holding.pods:
            granted[one.node][holding.uid] += one.gpus
    return granted


def _usable(request: Request, nodes: Iterable[NodeFact], suspects: frozenset[str]) -> frozenset[str] | None:
    """The nodes it may use, without suspects and those it blames if the others would hold it; None: it never fits."""
    possible = {n.name: n.gpus for n in nodes if may_use(n, request.node_selector, request.tolerations)}
    trusted = {name: gpus for name, gpus in possible.items() if name not in request.avoid}
    sound = {name: gpus for name, gpus in trusted.items() if name not in suspects}
    for choice in (sound, trusted, possible):
        if place(request.pods, request.gpus_per_pod, choice) is not None:
            return frozenset(choice)
    return None


def _too_small(request: Request, nodes: Iterable[NodeFact]) -> str:
    possible = sorted(n.gpus for n in nodes if may_use(n, request.node_selector, request.tolerations) and n.gpus)
    has = f"{len(possible)} node(s) with {sum(possible)} GPU(s)" if possible else "no node with GPUs"
    return (
        f"The job needs {request.pods} pod(s) of {request.gpus_per_pod} GPU(s) each; the pool has {has} that it may "
        "use. Make the cluster larger, or make a job that asks for less."
    )


def _blocked_by(request: Request, room: Mapping[str, int], blocker: str | None, position: int) -> str:
    """In words that move only for those who stand near the front: each change is a write of that job's status."""
    if position > FIRST_POSITIONS_SHOWN:
        return f"Waits behind more than {FIRST_POSITIONS_SHOWN} jobs that came first."
    if blocker is not None and sum(room.values()) < request.gpus:
        return f"Waits behind job '{blocker}', which came first."
    return f"Needs {request.pods} pod(s) of {request.gpus_per_pod} GPU(s) each; {sum(room.values())} GPU(s) are free."


def as_holding(request: Request, granted: Granted, since: datetime) -> Holding:
    """A grant that its job has not recorded yet."""
    return Holding(request.uid, request.name, since, granted.pods, recorded=False)


def with_nodes_closed(nodes: Iterable[NodeFact], closed: frozenset[str]) -> tuple[NodeFact, ...]:
    """The nodes, those that are to go or to be repaired cordoned: whoever is there stays, and nobody else comes."""
    return tuple(replace(node, cordoned=True) if node.name in closed else node for node in nodes)


def with_nodes_to_come(nodes: Iterable[NodeFact], expected: int, gpus_per_node: int = 8) -> tuple[NodeFact, ...]:
    """The nodes with placeholders for those that were bought but have not registered: what fits there will fit.

    A bought node that has lost GPUs for now is judged by what it was bought with, but only as long as it is not ready:
    provider: every node has 8 GPUs.
    """
    present = tuple(nodes)
    missing = max(0, expected - sum(1 for node in present if node.gpus > 0))
    blank = NodeFact(name="", ready=False, gpus=gpus_per_node)
    return (*present, *(replace(blank, name=f"(to come {n + 1})") for n in range(missing)))
