"""The size of a bought cluster: nodes Ready as bought, more or fewer as the user wants, never below what jobs hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.bought import quietly, stalled, working
from tunesmith.planning.budget_growth import too_dear_to_grow
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_follow import building_since, holds_since, since_in_words, time_allowed
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, is_being_built, standing
from tunesmith.planning.cordon import cordoned
from tunesmith.planning.deadlines import Stage, seconds_left, stage_of
from tunesmith.planning.decision import Action, Decision, ErrorClass, EventNote, EventType, Failure
from tunesmith.planning.leaving import leaving_nodes
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.node_use import MUST_LEAVE, SCALE_DOWN, is_used
from tunesmith.planning.orders import ChangeCluster, ClusterChanges
from tunesmith.planning.preemption import is_another_size
from tunesmith.planning.provider import GPUS_PER_NODE, ProviderCluster
from tunesmith.planning.verdict import reason_of
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, LeavingNode
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

RESIZE_AGAIN_SECONDS = 60.0
"""A resize that the provider's list does not show after this time is asked for again."""
ASKED_FOR = frozenset({Reason.SCALING, Reason.SCALING_OVERDUE})
"""What Ready says after a resize that was not refused."""
LAST_GRANTS_SECONDS = 10.0
"""A node is idle for certain this long after nothing more is granted on it: a grant is recorded by then, or never."""
REFUSALS = {
    ErrorClass.OUT_OF_STOCK: Reason.OUT_OF_STOCK,
    ErrorClass.NO_CREDIT: Reason.NO_CREDIT,
    ErrorClass.UNAVAILABLE: Reason.PROVIDER_UNREACHABLE,
    ErrorClass.AMBIGUOUS: Reason.PROVIDER_UNREACHABLE,
    ErrorClass.RATE_LIMITED: Reason.RATE_LIMITED,
}


def wrong_size_being_built(seen: ClusterObservation) -> ClusterDecision | None:
    """The size was changed while the provider builds: it is asked for at once, since no job can be on a node yet.

    What is too dear is told when the cluster is built: until then it is the building that people wait for.
    """
    cluster = seen.bought
    if cluster is None or not is_being_built(seen, cluster) or not _differs(seen, cluster):
        return None
    waiting = _answer_awaited(seen, cluster)
    if waiting is not None:
        return waiting
    gpus = seen.wanted_gpus - cluster.desired_preemptible_gpus
    return None if too_dear_to_grow(seen, cluster, _of_size(gpus)) else _resizing(seen, cluster, gpus)


def wrong_size(seen: ClusterObservation) -> ClusterDecision | None:
    """More or fewer nodes than the user wants: ask the provider for the size."""
    cluster = seen.bought
    if cluster is None or not _differs(seen, cluster):
        return None
    waiting = _answer_awaited(seen, cluster)
    if waiting is not None:
        return waiting
    if cluster.gpus > seen.wanted_gpus:
        return _shrink(seen, cluster)
    return _resizing(seen, cluster, seen.wanted_gpus - cluster.desired_preemptible_gpus)


def _differs(seen: ClusterObservation, cluster: ProviderCluster) -> bool:
    """Whether the size is another than wanted. GPUs that the provider took away come back by its own doing."""
    return seen.may_change and is_another_size(cluster, seen.wanted_gpus)


def _answer_awaited(seen: ClusterObservation, cluster: ProviderCluster) -> ClusterDecision | None:
    """What was asked for last is looked for in a list that was begun later, and given time, before it is repeated."""
    written = seen.memory.last_write
    if written is not None and (seen.provider.begun is None or seen.provider.begun < written):
        return quietly(seen, LookAtProvider(written))
    on_its_way = reason_of(seen.status.conditions, "Ready") in ASKED_FOR and not _changed_since(seen)
    if written is not None and on_its_way and seen.around.monotonic < written + RESIZE_AGAIN_SECONDS:
        return _resizing(seen, cluster, None)
    return None


def _changed_since(seen: ClusterObservation) -> bool:
    """The user wants another size than the one that was asked for last."""
    return seen.status.nodes is None or seen.status.nodes.desired != seen.wanted_nodes


def _shrink(seen: ClusterObservation, cluster: ProviderCluster) -> ClusterDecision:
    """Idle nodes are cordoned and go, as many as there are; the rest goes as its jobs end, or have saved."""
    if isinstance(seen.nodes, Unknown) or isinstance(seen.pods, Unknown):
        return _waits(seen, cluster, "Which nodes are idle is not known; none is given back meanwhile.")
    going = [node for node in leaving_nodes(seen, cluster) if node.reason == SCALE_DOWN]
    idle = [node for node in going if not _holds_on(seen, node)]
    settled = [node for node in idle if _nothing_more_is_granted(seen, node)]
    if not settled:
        return _waits(seen, cluster, _who_holds(seen, cluster, going, idle))
    facts = seen.gpu_nodes
    marks = [facts[node.name] for node in settled if node.name in facts and facts[node.name].cordoned_for != SCALE_DOWN]
    if marks:
        return quietly(seen, *(ApplyObject(seen.here, cordoned(node, SCALE_DOWN)) for node in marks))
    standard_gpus = cluster.gpus - cluster.allocated_preemptible_gpus
    names = frozenset(node.name for node in settled)
    return _resizing(seen, cluster, standard_gpus - len(settled) * GPUS_PER_NODE, asked_to_take=names)


def _holds_on(seen: ClusterObservation, node: LeavingNode) -> bool:
    """Under DrainJobs what others run there does not keep the node; under WhenIdle everything with a GPU does."""
    return is_used(seen, node.name, by_others=node.jobs != MUST_LEAVE)


def _nothing_more_is_granted(seen: ClusterObservation, node: LeavingNode) -> bool:
    written = next((each for each in seen.status.leaving_nodes if each.name == node.name), None)
    if written is None or written.time is None or written.reason != SCALE_DOWN:
        return False
    return seen.around.now - written.time >= timedelta(seconds=LAST_GRANTS_SECONDS)


def _who_holds(
    seen: ClusterObservation, cluster: ProviderCluster, going: Iterable[LeavingNode], idle: Iterable[LeavingNode]
) -> str:
    surplus = (cluster.gpus - seen.wanted_gpus) // GPUS_PER_NODE
    names = sorted({job.name for node in going for job in seen.jobs_by_node.get(node.name, ())})
    if list(idle) or not names:
        return f"{surplus} node(s) are to go; nothing more is granted on them, and they are given back next."
    jobs = ", ".join(f"'{name}'" for name in names[:5])
    draining = any(node.jobs == MUST_LEAVE for node in going)
    how = "They are told to save, and go on elsewhere." if draining else "The nodes are given back as these end."
    return f"{surplus} node(s) are to go, but jobs hold them: {jobs}. {how}"


def _waits(seen: ClusterObservation, cluster: ProviderCluster, message: str) -> ClusterDecision:
    return working(
        seen,
        Reason.SCALE_DOWN_WAITS,
        message,
        status=as_seen(seen, cluster),
        verdicts=standing(seen, cluster),
        again=LAST_GRANTS_SECONDS,
    )


def _resizing(
    seen: ClusterObservation,
    cluster: ProviderCluster,
    gpus: int | None,
    *,
    asked_to_take: frozenset[str] = frozenset(),
) -> ClusterDecision:
    """The provider is asked for this many GPUs besides preemptible ones; None: it was asked already.

    `asked_to_take` are the names of the nodes that it is to take away for it. A size that somebody else took away is
    bought again, so the budget is asked for it too.
    """
    too_dear = None if gpus is None else too_dear_to_grow(seen, cluster, _of_size(gpus))
    if too_dear is not None:
        return too_dear
    now_nodes = cluster.gpus // GPUS_PER_NODE
    actions: tuple[Action, ...] = ()
    events: tuple[EventNote, ...] = ()
    reason: str = Reason.SCALING
    message = f"Going from {now_nodes} to {seen.wanted_nodes} nodes."
    overdue = None if _changed_since(seen) else _overdue(seen, cluster)
    if gpus is not None:
        actions = (ChangeCluster(cluster.id, _of_size(gpus)),)
        failed = seen.around.failure_of(actions[0])
        if failed is not None:
            overdue = None
            reason, message = _refused(seen, now_nodes, failed.failure)
            if reason_of(seen.status.conditions, "Ready") != reason:
                events = (EventNote(EventType.WARNING, reason, message),)
    status, verdicts = _asked_now(as_seen(seen, cluster), asked_to_take, seen.around.now), standing(seen, cluster)
    if overdue is not None:
        message += f" {overdue}"
        return stalled(seen, Reason.SCALING_OVERDUE, message, *actions, status=status, verdicts=verdicts)
    return working(seen, reason, message, *actions, status=status, verdicts=verdicts, events=events)


def _overdue(seen: ClusterObservation, cluster: ProviderCluster) -> str | None:
    """What is said when the size has not come, and never was refused, for too long; None: there is time left."""
    stage, since = Stage.SIZE, _asked_since(seen, cluster)
    if is_being_built(seen, cluster):
        stage, since = stage_of(cluster), building_since(seen, cluster)
    if seconds_left(seen.around, stage, since) > 0:
        return None
    return (
        f"The provider has not done so within {time_allowed(seen, stage)}{since_in_words(since)}; it is asked on, "
        f"and jobs use the nodes that are there. Ask its support with the id '{cluster.id}', or set `spec.nodes` to "
        "the number that is there."
    )


def _asked_since(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    """Growing: since when nodes are missing. Shrinking: since when the provider was asked to take the first one."""
    if cluster.gpus < seen.wanted_gpus:
        return holds_since(seen, "NodesHealthy", holds=False)
    asked = (node.asked_time for node in leaving_nodes(seen, cluster) if node.reason == SCALE_DOWN)
    return min((time for time in asked if time is not None), default=None)


def _asked_now(status: GPUClusterStatus, names: frozenset[str], now: datetime) -> GPUClusterStatus:
    """The status that says of these nodes that the provider was asked to take them; it keeps the first time."""
    nodes = tuple(
        node.model_copy(update={"asked_time": now}) if node.name in names and node.asked_time is None else node
        for node in status.leaving_nodes
    )
    return status.model_copy(update={"leaving_nodes": nodes})


def _of_size(gpus: int) -> ClusterChanges:
    return ClusterChanges(gpus=max(gpus, GPUS_PER_NODE))


def _refused(seen: ClusterObservation, now_nodes: int, failure: Failure) -> tuple[str, str]:
    """What is there stays; the same is asked again with growing pauses."""
    reason = REFUSALS.get(failure.error, Reason.PROVIDER_REFUSED)
    message = (
        f"{failure.message} The cluster stays at {now_nodes} nodes, which jobs use; {seen.wanted_nodes} are asked "
    )
    return reason, f"{message}for again, with growing pauses."
