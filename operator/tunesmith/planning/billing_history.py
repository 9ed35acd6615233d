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
SCHEDULED_CAPACITY = "SCHEDULED_CAPACITY"
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
    cluster: ProviderCluster, rules: BillingRules, look: Look, counted: Counted | None, prepaid: int
) -> tuple[Holding, ...]:
    """The stretches of a cluster's life up to the look that showed it; the last may go on.

    `prepaid` GPUs are paid at once, and those of a capacity pool elsewhere: neither counts by the hour.
    """
    looked, apart = look.time, prepaid + cluster.capacity_pool_gpus
    end = _end(cluster, rules, counted, looked)
    billed = [_until(each, end) for each in _capacity(cluster, rules, look, counted)]
    steps = _without_pauses(_steps(billed, apart), cluster, counted)
    return (*steps, *_vanished(steps, apart, counted, looked))


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
    nodes = (*cluster.nodes, *cluster.deleted_nodes)
    if not nodes:
        ready = ready_at(cluster)
        since = _by_rule(created_at(cluster, look.begun), ready, rules.begins)
        if ready is None and look.ready_by is not None and rules.begins is not BilledFrom.CREATED:
            since = _Moment(created_at(cluster, look.begun), look.ready_by)
        yield from _by_count(cluster, since, counted, look.time)
        return
    gone = {node.id for node in cluster.deleted_nodes}
    for node in nodes:
        since = _node_since(node, cluster, rules, look)
        if since is None:
            continue
        # Of what was counted and went, the number alone tells whether that was counted too: see `_vanished`.
        counted_before = counted is not None and since.earliest <= counted.until
        if node.id not in gone or node.deleted is not None or not counted_before:
            until = _node_until(node, rules, since, look, counted, gone=node.id in gone)
            yield _Billed(node.gpus or GPUS_PER_NODE, node.preemptible, since, until)


def edge_at(history: Iterable[Holding], moment: datetime) -> bool:
    """Whether something began or ended at this very moment.

    At the moment of a look it is what only looking tells: the provider has no time of it, so that what is there from
    then on is certain, and what was before is not.
    """
    return any(moment in (step.since, step.until) for step in history)


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


def _node_since(node: ProviderNode, cluster: ProviderCluster, rules: BillingRules, look: Look) -> _Moment | None:
    """A node begins with itself; where Ready counts, not before it runs, nor before its cluster was first Ready."""
    made = min((step.time for step in node.phases), default=created_at(cluster, look.begun))
    if cluster.billing_type == SCHEDULED_CAPACITY and cluster.reservation_start is not None:
        made = max(made, cluster.reservation_start)
    ready, running = ready_at(cluster) or look.ready_by, made
    if node.phases:
        ran = [step.time for step in node.phases if _word(step.phase, _NODE_PREFIX) == "RUNNING"]
        if not ran:
            return _by_rule(made, None, rules.begins)
        running = min(ran)
    return _by_rule(made, None if ready is None else max(running, ready), rules.begins)


def _node_until(
    node: ProviderNode, rules: BillingRules, since: _Moment, look: Look, counted: Counted | None, *, gone: bool
) -> _Moment | None:
    """provider: when a node went is told, when it was asked to go is not. It was still wanted when it was counted."""
    if node.deleted is None and not gone and not node.marked_for_deletion:
        return None
    wanted = since.earliest if counted is None else max(since.earliest, counted.until)
    if node.deleted is not None:
        return _Moment(node.deleted if rules.ends is BilledUntil.GONE else min(wanted, node.deleted), node.deleted)
    if gone:
        return _Moment(wanted, look.time)
    return None if rules.ends is BilledUntil.GONE else _Moment(wanted, None)


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


def _steps(billed: Iterable[_Billed], apart: int) -> tuple[Holding, ...]:
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
            gpus, paid = standard + preemptible, standard.without(apart)
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


def _vanished(steps: tuple[Holding, ...], apart: int, counted: Counted | None, looked: datetime) -> tuple[Holding, ...]:
    """GPUs that were counted before and of which the provider keeps no record any more: gone, and nobody says when."""
    if counted is None or counted.until >= looked:
        return ()
    held = held_at(steps, counted.until)
    missing = Range(0, counted.gpus - held.gpus.most)
    if missing.most <= 0:
        return ()
    still_apart = held.gpus.without(held.on_demand.most + held.preemptible.most).most
    return (Holding(counted.until, looked, gpus=missing, on_demand=missing.without(apart - still_apart)),)


def _word(phase: str, prefix: str) -> str:
    return phase.removeprefix(prefix)
