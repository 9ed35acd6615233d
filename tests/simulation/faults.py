"""What can go wrong, where and when: every fault of a life is planned before it begins, so that it can be left out.

A fault names a boundary (where a request of the operator meets the world), which crossing of it, and the kind. A life
is replayed by its seed; a failure is made small by planning fewer of its faults.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Boundary(StrEnum):
    """Where the operator and the world meet. `inside` is a bought cluster's own API."""

    KUBE_GET = "kube get"
    KUBE_LIST = "kube list"
    KUBE_APPLY = "kube apply"
    KUBE_STATUS = "kube status"
    KUBE_METADATA = "kube metadata"
    KUBE_DELETE = "kube delete"
    FEED = "feed"
    INSIDE_GET = "inside get"
    INSIDE_LIST = "inside list"
    INSIDE_APPLY = "inside apply"
    CLUSTERS_LIST = "clusters list"
    VOLUMES_LIST = "volumes list"
    REGIONS_LIST = "regions list"
    CLUSTER_GET = "cluster get"
    VOLUME_GET = "volume get"
    CLUSTER_CREATE = "cluster create"
    VOLUME_CREATE = "volume create"
    CLUSTER_CHANGE = "cluster change"
    CLUSTER_DELETE = "cluster delete"
    VOLUME_DELETE = "volume delete"


class Kind(StrEnum):
    """What goes wrong at one crossing."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    DELAY = "delay"
    NO_EFFECT = "refused by a 5xx"
    LOST_ANSWER = "answer lost"
    LATE = "carried out late"  # reordered: others overtake it, and nobody waits for the answer any more
    DUPLICATE = "carried out twice"
    STALE = "stale read"
    CONFLICT = "another writer"
    THROTTLED = "throttled"
    OUT_OF_STOCK = "out of stock"
    SECOND_LEADER = "second leader"
    RESTORE = "restored backup"
    KEY = "changed key"


_EVERYWHERE = (Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.DELAY, Kind.SECOND_LEADER, Kind.RESTORE, Kind.KEY)
_ANSWERED = (*_EVERYWHERE, Kind.NO_EFFECT, Kind.LOST_ANSWER)
_WRITTEN = (*_ANSWERED, Kind.LATE, Kind.DUPLICATE)
_SHOWN = (*_ANSWERED, Kind.THROTTLED, Kind.STALE)
_CREATED = (*_ANSWERED, Kind.LATE, Kind.THROTTLED, Kind.OUT_OF_STOCK)  # never twice: no transport retry of a create

# Kubernetes answers a get and a list from what is stored; what is stale there is the feed, and so the cache.
APPLICABLE: dict[Boundary, tuple[Kind, ...]] = {
    Boundary.KUBE_GET: _ANSWERED,
    Boundary.KUBE_LIST: _ANSWERED,
    Boundary.KUBE_APPLY: _WRITTEN,
    Boundary.KUBE_STATUS: (*_WRITTEN, Kind.CONFLICT),
    Boundary.KUBE_METADATA: (*_WRITTEN, Kind.CONFLICT),
    Boundary.KUBE_DELETE: _WRITTEN,
    Boundary.FEED: (*_EVERYWHERE, Kind.DUPLICATE, Kind.LATE, Kind.STALE),
    Boundary.INSIDE_GET: _ANSWERED,
    Boundary.INSIDE_LIST: _ANSWERED,
    Boundary.INSIDE_APPLY: _WRITTEN,
    Boundary.CLUSTERS_LIST: _SHOWN,
    Boundary.VOLUMES_LIST: _SHOWN,
    Boundary.REGIONS_LIST: (*_ANSWERED, Kind.THROTTLED),
    Boundary.CLUSTER_GET: _SHOWN,
    Boundary.VOLUME_GET: _SHOWN,
    Boundary.CLUSTER_CREATE: _CREATED,
    Boundary.VOLUME_CREATE: _CREATED,
    Boundary.CLUSTER_CHANGE: (*_WRITTEN, Kind.THROTTLED),
    Boundary.CLUSTER_DELETE: (*_WRITTEN, Kind.THROTTLED),
    Boundary.VOLUME_DELETE: (*_WRITTEN, Kind.THROTTLED),
}

RARELY_CROSSED = {
    Boundary.CLUSTER_CREATE: 6,
    Boundary.VOLUME_CREATE: 2,
    Boundary.CLUSTER_CHANGE: 2,
    Boundary.CLUSTER_DELETE: 4,
    Boundary.VOLUME_DELETE: 2,
    Boundary.KUBE_DELETE: 2,
    Boundary.CLUSTER_GET: 8,
    Boundary.VOLUME_GET: 4,
    Boundary.REGIONS_LIST: 4,
    Boundary.INSIDE_APPLY: 4,
    Boundary.KUBE_APPLY: 4,
    Boundary.KUBE_METADATA: 12,
}
"""So often, about, is a boundary crossed in one storm; the others far more often."""
OFTEN = 120


@dataclass(frozen=True)
class Fault:
    """One fault: in which storm of the life, at which crossing (from 1) of which boundary. `size` is in [0, 1)."""

    storm: int
    boundary: Boundary
    nth: int
    kind: Kind
    size: float

    def __str__(self) -> str:
        return f"storm {self.storm}: {self.boundary} no. {self.nth}: {self.kind} ({self.size:.2f})"


def planned(chance: random.Random, storms: int, *, most: int = 40) -> tuple[Fault, ...]:
    """The faults of one life: some storms are rough, some nearly calm, and every boundary has its turn."""
    boundaries = [*Boundary, Boundary.CLUSTER_CREATE, Boundary.CLUSTER_CREATE]  # where the money goes, more often
    found: dict[tuple[int, Boundary, int], Fault] = {}
    for storm in range(storms):
        for _ in range(chance.choice((3, most // 3, most))):
            boundary = chance.choice(boundaries)
            furthest = RARELY_CROSSED.get(boundary, OFTEN)
            nth = max(1, round(furthest ** chance.random()))
            kind = chance.choice(APPLICABLE[boundary])
            found[storm, boundary, nth] = Fault(storm, boundary, nth, kind, chance.random())
    return tuple(found.values())


@dataclass
class Weather:
    """Counts crossings and says at which of them a planned fault strikes. While it is calm nothing is counted."""

    faults: tuple[Fault, ...]
    storm: int = 0
    calm: bool = False
    crossed: Counter[Boundary] = field(default_factory=Counter)
    steps: int = 0
    struck: list[tuple[float, Fault]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._by_place = {(fault.storm, fault.boundary, fault.nth): fault for fault in self.faults}

    def strikes(self, boundary: Boundary, now: float) -> Fault | None:
        """The fault of this crossing, if there is one."""
        self.steps += boundary is not Boundary.FEED
        if self.calm:
            return None
        self.crossed[boundary] += 1
        fault = self._by_place.get((self.storm, boundary, self.crossed[boundary]))
        if fault is not None:
            self.struck.append((now, fault))
        return fault

    def rise(self) -> None:
        """The next storm begins."""
        self.storm, self.calm = self.storm + 1, False
        self.crossed.clear()
