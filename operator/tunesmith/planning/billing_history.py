"""What one cluster held from when to when, read from the provider's own times and never from when we happened to look.

Where the provider tells no time, or its rule is not known, the time between the two possible ends is uncertain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from tunesmith.planning.money import NOTHING, Holding, Range, held_at
from tunesmith.planning.price_table import BilledFrom, BilledUntil, BillingRules
from tunesmith.planning.provider import GPUS_PER_NODE, Phase, ProviderCluster, ProviderNode

COMPUTE_PAUSED = "ON_DEMAND_COMPUTE_PAUSED"  # provider: credit ran out; nothing is billed
PAUSED = "PAUSED"  # whether this bills the provider does not say
DELETING = "DELETING"
_CLUSTER_PREFIX = "CLUSTER_PHASE_"
_NODE_PREFIX = "NODE_PHASE_"


@dataclass(frozen=True)
class Counted:
    """Up to when a cluster was counted before, and how many GPUs it held then."""

    until: datetime
    gpus: int


@dataclass(frozen=True)
class _Moment:
    """When something happened: at `earliest` or later, by `latest` at the latest (None: it has not yet)."""

    earliest: datetime
    latest: datetime | None


@dataclass(frozen=True)
class _Billed:
    gpus: int
    preemptible: bool
    since: _Moment
    until: _Moment | None = None


@dataclass(frozen=True)
class Look:
    """The look that showed the cluster, and what stands for times that the provider does not tell.

    `begun`: when it was bought, as we wrote it down; `ready_by`: it was Ready at this time, perhaps earlier.
    """

    time: datetime
    begun: datetime
    ready_by: datetime | None = None


def history_of(
    cluster: ProviderCluster, rules: BillingRules, look: Look, counted: Counted | None
) -> tuple[Holding, ...]:
    """The stretches of a cluster's life up to the look that showed it; the last may go on."""
    looked = look.time
    end = _end(cluster, rules, counted, looked)
    billed = [_until(each, end) for each in _capacity(cluster, rules, look, counted)]
    steps = _steps(billed, cluster.reserved_gpus + cluster.capacity_pool_gpus)
    steps = _without_pauses(steps, cluster, counted)
    return (*steps, *_vanished(steps, counted, looked))


def deleting_since(cluster: ProviderCluster) -> datetime | None:
    """When the provider began to delete it, in its own words."""
    times = [step.time for step in cluster.phases if _word(step.phase, _CLUSTER_PREFIX) == DELETING]
    return min(times, default=None)


def created_at(cluster: ProviderCluster, begun: datetime) -> datetime:
    """When the cluster began to be."""
    return cluster.created or min((step.time for step in cluster.phases), default=begun)


def ready_at(cluster: ProviderCluster) -> datetime | None:
    """When the cluster was first Ready."""
    if cluster.first_ready is not None:
        return cluster.first_ready
    return min((step.time for step in cluster.phases if _word(step.phase, _CLUSTER_PREFIX) == "READY"), default=None)


def _capacity(cluster: ProviderCluster, rules: BillingRules, look: Look, counted: Counted | None) -> Iterable[_Billed]:
    created, ready = created_at(cluster, look.begun), ready_at(cluster)
    first = _by_rule(created, ready, rules.begins)
    if ready is None and look.ready_by is not None and rules.begins is not BilledFrom.CREATED:
        first = _Moment(created, look.ready_by)
    nodes = (*cluster.nodes, *cluster.deleted_nodes)
    if not nodes:
        yield from _by_count(cluster, first, counted, look.time)
        return
    gone = {node.id for node in cluster.deleted_nodes}
    for node in nodes:
        since = _node_since(node, first, ready, rules)
        if since is None:
            continue
        until = None
        if node.deleted is not None:
            until = _Moment(node.deleted, node.deleted)
        elif node.id in gone:  # it went, and nobody says when
            until = _Moment(max(since.earliest, counted.until) if counted is not None else since.earliest, look.time)
        yield _Billed(node.gpus or GPUS_PER_NODE, node.preemptible, since, until)


def _by_count(
    cluster: ProviderCluster, first: _Moment | None, counted: Counted | None, looked: datetime
) -> Iterable[_Billed]:
    """Without records of nodes only their number is known; it changed at some time since it was counted last."""
    if first is None:
        return
    preemptible = min(cluster.allocated_preemptible_gpus, cluster.gpus)
    before = cluster.gpus if counted is None else counted.gpus
    kept = min(before, cluster.gpus) if before else cluster.gpus
    yield _Billed(kept - min(preemptible, kept), False, first)
    if preemptible:
        yield _Billed(min(preemptible, kept), True, first)
    if cluster.gpus > kept and counted is not None:
        yield _Billed(cluster.gpus - kept, False, _Moment(counted.until, looked))


def _node_since(
    node: ProviderNode, first: _Moment | None, ready: datetime | None, rules: BillingRules
) -> _Moment | None:
    """A node that was there before the cluster was first Ready is billed with the cluster, a later one from its own."""
    entered = min((step.time for step in node.phases), default=None)
    if entered is None or ready is None or entered <= ready:
        return first
    running = min((step.time for step in node.phases if _word(step.phase, _NODE_PREFIX) == "RUNNING"), default=None)
    return _by_rule(entered, running, rules.begins)


def _by_rule(created: datetime, ready: datetime | None, rule: BilledFrom) -> _Moment | None:
    if rule is BilledFrom.CREATED:
        return _Moment(created, created)
    if rule is BilledFrom.READY:
        return None if ready is None else _Moment(ready, ready)
    return _Moment(created, ready)


def _end(cluster: ProviderCluster, rules: BillingRules, counted: Counted | None, looked: datetime) -> _Moment | None:
    if cluster.phase is not Phase.DELETING:
        return None
    asked = deleting_since(cluster)
    if asked is None:
        earliest = counted.until if counted is not None else min(looked, created_at(cluster, looked))
        return _Moment(earliest, looked if rules.ends is BilledUntil.DELETE_REQUESTED else None)
    return _Moment(asked, asked if rules.ends is BilledUntil.DELETE_REQUESTED else None)


def _until(billed: _Billed, end: _Moment | None) -> _Billed:
    """A node ends with its cluster, if not before."""
    if end is None or (billed.until is not None and billed.until.earliest <= end.earliest):
        return billed
    return replace(billed, until=end)


def _steps(billed: Iterable[_Billed], prepaid: int) -> tuple[Holding, ...]:
    """The sum over all nodes between each two moments at which something changes, in the order of time."""
    changes: dict[datetime, list[tuple[bool, int, int]]] = {}
    for each in billed:
        for moment, least, most in _edges(each):
            changes.setdefault(moment, []).append((each.preemptible, least, most))
    standard, preemptible, steps = NOTHING, NOTHING, []
    moments = sorted(changes)
    for moment, following in zip(moments, [*moments[1:], None], strict=False):
        for is_preemptible, least, most in changes[moment]:
            if is_preemptible:
                preemptible = preemptible + Range(least, most)
            else:
                standard = standard + Range(least, most)
        if standard.most or preemptible.most:
            gpus, paid = standard + preemptible, standard.without(prepaid)
            steps.append(Holding(moment, following, gpus=gpus, on_demand=paid, preemptible=preemptible))
    return tuple(steps)


def _edges(billed: _Billed) -> Iterable[tuple[datetime, int, int]]:
    """At which moments its least and its most change, and by how much."""
    since, until, gpus = billed.since, billed.until, billed.gpus
    if until is not None and until.latest is not None and until.latest <= since.earliest:
        return
    yield since.earliest, 0, gpus
    certain_end = None if until is None else until.earliest
    if since.latest is not None and (certain_end is None or since.latest < certain_end):
        yield since.latest, gpus, 0
        if certain_end is not None:
            yield certain_end, -gpus, 0
    if until is not None and until.latest is not None:
        yield until.latest, 0, -gpus


def _without_pauses(
    steps: tuple[Holding, ...], cluster: ProviderCluster, counted: Counted | None
) -> tuple[Holding, ...]:
    for since, until, certain in _pauses(cluster, counted):
        steps = tuple(part for step in steps for part in _cut(step, since, until, certain=certain))
    return steps


def _pauses(
    cluster: ProviderCluster, counted: Counted | None
) -> Iterable[tuple[datetime | None, datetime | None, bool]]:
    """From when to when the provider had stopped the compute, and whether it is certain that nothing was billed."""
    phases = sorted(cluster.phases, key=lambda step: step.time)
    for step, after in zip(phases, [*phases[1:], None], strict=False):
        word = _word(step.phase, _CLUSTER_PREFIX)
        if word in {COMPUTE_PAUSED, PAUSED}:
            yield step.time, None if after is None else after.time, word == COMPUTE_PAUSED
    told = bool(phases) and _word(phases[-1].phase, _CLUSTER_PREFIX) in {COMPUTE_PAUSED, PAUSED}
    if cluster.phase is Phase.PAUSED and not told:  # stopped, and nobody says since when
        yield None if counted is None else counted.until, None, False


def _cut(step: Holding, since: datetime | None, until: datetime | None, *, certain: bool) -> Iterable[Holding]:
    """The step with what the pause takes from it: prepaid GPUs stay, they were paid for."""
    begin = step.since if since is None else max(step.since, since)
    ends = [end for end in (step.until, until) if end is not None]
    end = min(ends, default=None)
    if end is not None and end <= begin:
        yield step
        return
    if step.since < begin:
        yield replace(step, until=begin)
    prepaid = step.gpus.without(step.on_demand.most + step.preemptible.most)
    if not certain:
        held = Range(prepaid.least, step.gpus.most)
        yield Holding(begin, end, held, step.on_demand.doubtful, step.preemptible.doubtful)
    elif prepaid.most:
        yield Holding(begin, end, prepaid)
    if end is not None and (step.until is None or end < step.until):
        yield replace(step, since=end)


def _vanished(steps: tuple[Holding, ...], counted: Counted | None, looked: datetime) -> tuple[Holding, ...]:
    """GPUs that were counted before and of which the provider keeps no record any more: gone, and nobody says when."""
    if counted is None or counted.until >= looked:
        return ()
    missing = counted.gpus - held_at(steps, counted.until).gpus.most
    if missing <= 0:
        return ()
    return (Holding(counted.until, looked, gpus=Range(0, missing), on_demand=Range(0, missing)),)


def _word(phase: str, prefix: str) -> str:
    return phase.removeprefix(prefix)
