"""From bought to usable: what the provider is at, since when, and when an endless wait becomes a reason.

Retriable waits are Reconciling, with a deadline for each stage (`deadlines.py`); what somebody must act on is Stalled.
Both go on by themselves when the provider does: nothing here is remembered, everything is looked at anew.
"""

from __future__ import annotations

from datetime import datetime

from tunesmith.planning.bought import stalled, working
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, counted, is_being_built, ready_nodes, standing
from tunesmith.planning.cluster_tests import tests_failed_as_asked
from tunesmith.planning.deadlines import Stage, allowed_seconds, latest, seconds_left, stage_of
from tunesmith.planning.decision import Decision
from tunesmith.planning.provider import GPUS_PER_NODE, Phase, ProviderCluster
from tunesmith.planning.reservation import begins_later, reservation_of
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.conditions import ConditionStatus, find_condition
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]

NO_CREDIT_STATUS = "OnDemandComputePaused"  # provider: a credit problem


def stopped_by_provider(seen: ClusterObservation) -> ClusterDecision | None:
    """The provider stops clusters: on-demand ones when credit runs out, others by somebody's wish."""
    cluster = seen.bought
    if cluster is None or cluster.phase is not Phase.PAUSED:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    since = since_in_words(_provider_since(cluster))
    if cluster.status == NO_CREDIT_STATUS:
        message = f"The provider has stopped the cluster{since} because credit ran out ('{cluster.status}'). Settle "
        message += "the account there, before it is removed; it goes on then."
        return stalled(seen, Reason.NO_CREDIT, message, status=status, verdicts=facts)
    message = f"The provider has stopped the cluster{since} ('{cluster.status}'). Ask its support; it goes on when the "
    message += "provider starts it again."
    return stalled(seen, Reason.STOPPED_BY_PROVIDER, message, status=status, verdicts=facts)


def still_provisioning(seen: ClusterObservation) -> ClusterDecision | None:
    """The provider is building the cluster, within the time that its stage may take, or beyond it."""
    cluster = seen.bought
    if cluster is None or not is_being_built(seen, cluster):
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    if tests_failed_as_asked(seen, cluster):
        return stalled(seen, Reason.TESTS_FAILED, facts["AcceptanceTested"].message, status=status, verdicts=facts)
    begins = begins_later(seen, cluster)
    if begins is not None:
        message = facts["Provisioned"].message
        return working(seen, Reason.SCHEDULED, message, status=status, verdicts=facts, again=begins)
    stage, since = stage_of(cluster), building_since(seen, cluster)
    left = seconds_left(seen.around, stage, since)
    if left > 0:
        message = facts["Provisioned"].message
        return working(seen, Reason.PROVISIONING, message, status=status, verdicts=facts, again=left)
    reason, message = _overdue(seen, cluster, stage, since)
    # Never the word of a refused order: this one was taken, and what is made with it (a volume) is under way.
    facts["Provisioned"] = Verdict(False, Reason.PROVISIONING_OVERDUE, message)
    if reason is Reason.OUT_OF_STOCK:
        return working(seen, reason, message, status=status, verdicts=facts)
    return stalled(seen, reason, message, status=status, verdicts=facts)


def acceptance_tests_failed(seen: ClusterObservation) -> ClusterDecision | None:
    """A cluster that failed the tests that were asked for is not usable, whatever its status says."""
    cluster = seen.bought
    if cluster is None or not tests_failed_as_asked(seen, cluster):
        return None
    facts = standing(seen, cluster)
    message = facts["AcceptanceTested"].message
    return stalled(seen, Reason.TESTS_FAILED, message, status=as_seen(seen, cluster), verdicts=facts)


def tests_not_shown(seen: ClusterObservation) -> ClusterDecision | None:
    """Tests that were asked for must show before a cluster is Ready for the first time; phases may lag for a while.

    What was Ready once stays so: a provider may forget old phases. What was adopted was not bought with this wish.
    """
    cluster = seen.bought
    if cluster is None or seen.status.first_ready_time is not None or seen.spec.adopt is not None:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    tested = facts["AcceptanceTested"]
    if tested.reason != Reason.TESTS_NOT_SHOWN:
        return None
    left = seconds_left(seen.around, Stage.TEST_RESULTS, usable_from(seen, cluster))
    if left > 0:
        message = f"{tested.message} They are looked for again."
        return working(seen, Reason.TESTS_NOT_SHOWN, message, status=status, verdicts=facts, again=left)
    message = (
        f"{tested.message} No job begins on it, and it costs money. Ask the provider's support with the id "
        f"'{cluster.id}'; or remove `spec.acceptanceTests` to use the cluster untested, or delete this resource and "
        "buy another."
    )
    return stalled(seen, Reason.TESTS_NOT_SHOWN, message, status=status, verdicts=facts)


def nodes_not_usable(seen: ClusterObservation) -> ClusterDecision | None:
    """Ready is what the cluster's own Kubernetes says: every bought node Ready, every bought GPU allocatable."""
    cluster = seen.bought
    if cluster is None or isinstance(seen.nodes, Unknown):
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    healthy = facts["NodesHealthy"]
    if healthy.holds:
        return None
    if healthy.reason in {Reason.NODES_UNDER_REPAIR, Reason.NODES_PREEMPTED}:
        message = f"{healthy.message} Jobs use the nodes that are Ready."
        return working(seen, healthy.reason, message, status=status, verdicts=facts)
    since = holds_since(seen, "NodesHealthy", holds=False)
    if ready_nodes(seen.nodes.value) >= seen.wanted_nodes:
        return _gpus_missing(seen, since)
    message = f"{counted(seen)} Jobs use those that are; the rest is awaited."
    if _lacks_only_what_was_taken(seen, cluster):
        message += " What is missing are preemptible nodes, which the provider gives when it has them."
        return working(seen, Reason.NODES_NOT_READY, message, status=status, verdicts=facts)
    since = latest(since, usable_from(seen, cluster))
    left = seconds_left(seen.around, Stage.NODES, since)
    if left > 0:
        return working(seen, Reason.NODES_NOT_READY, message, status=status, verdicts=facts, again=left)
    message = (
        f"{healthy.message} Not all were Ready within {time_allowed(seen, Stage.NODES)}{since_in_words(since)}. Jobs "
    )
    message += f"use those that are. Ask the provider's support with the id '{cluster.id}': the others may be billed."
    first = seen.status.first_ready_time is None
    reason = Reason.PROVISIONING_OVERDUE if first else Reason.NODES_OVERDUE
    return stalled(seen, reason, message, status=status, verdicts=facts)


def degraded(seen: ClusterObservation) -> ClusterDecision | None:
    """The provider says that some of it does not work, though the cluster's own Kubernetes shows nothing of it."""
    cluster = seen.bought
    if cluster is None or cluster.phase is not Phase.DEGRADED:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    message = f"The provider calls the cluster '{cluster.status}'{since_in_words(_provider_since(cluster))}, though "
    message += f"inside {counted(seen)} Jobs go on; it is Ready again when the provider says so."
    not_ready = holds_since(seen, "Ready", holds=False)
    since = None if not_ready is None else latest(not_ready, _provider_since(cluster))
    left = seconds_left(seen.around, Stage.NODES, since)
    if left > 0:
        return working(seen, Reason.DEGRADED, message, status=status, verdicts=facts, again=left)
    message += (
        f" That has lasted longer than {time_allowed(seen, Stage.NODES)}. Ask its support with the id '{cluster.id}'."
    )
    return stalled(seen, Reason.DEGRADED, message, status=status, verdicts=facts)


def usable_from(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    """When the provider was done with it, and this resource had seen so: what comes after is counted from there.

    None: it is seen for the first time in this pass.
    """
    seen_since = holds_since(seen, "Provisioned", holds=True)
    if seen_since is None:
        return None
    return latest(seen_since, cluster.first_ready)


def holds_since(seen: ClusterObservation, kind: str, *, holds: bool | None) -> datetime | None:
    """Since when a condition stands so in the status; None when it did not stand so before this pass."""
    status = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}[holds]
    found = find_condition(seen.status.conditions, kind)
    return found.last_transition_time if found is not None and found.status is status else None


def since_in_words(since: datetime | None) -> str:
    """' since <time>', or nothing when the time is not known."""
    return f" since {format_time(since.replace(microsecond=0))}" if since is not None else ""


def time_allowed(seen: ClusterObservation, stage: Stage) -> str:
    """'the <seconds> s that the installation allows'."""
    return f"the {allowed_seconds(seen.around, stage)} s that the installation allows"


def building_since(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    """The provider's own time first; without one, since when this resource has known that it is not done.

    What was paid for ahead is not late before its time has begun.
    """
    since = _provider_since(cluster) or cluster.created or holds_since(seen, "Provisioned", holds=False)
    paid = reservation_of(seen, cluster)
    return since if paid is None or since is None else latest(since, paid.start_time)


def _lacks_only_what_was_taken(seen: ClusterObservation, cluster: ProviderCluster) -> bool:
    """Every node is Ready that the provider has not taken away again; those that it took are not billed."""
    ready = 0 if isinstance(seen.nodes, Unknown) else ready_nodes(seen.nodes.value)
    taken = max(0, cluster.desired_preemptible_gpus - cluster.allocated_preemptible_gpus) // GPUS_PER_NODE
    return taken > 0 and ready + taken >= seen.wanted_nodes


def _gpus_missing(seen: ClusterObservation, since: datetime | None) -> ClusterDecision | None:
    cluster = seen.bought
    if cluster is None:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    message = f"All nodes are Ready, but not with the GPUs that were bought: {counted(seen)} "
    left = seconds_left(seen.around, Stage.GPUS, since)
    if left > 0:
        message += "Jobs use those that can be allocated; the rest is awaited."
        return working(seen, Reason.GPUS_MISSING, message, status=status, verdicts=facts, again=left)
    message += (
        f"That has lasted longer than {time_allowed(seen, Stage.GPUS)}. Look at the device plugin of the nodes with "
    )
    message += "fewer, and ask the provider's support: the missing ones are paid for."
    return stalled(seen, Reason.GPUS_MISSING, message, status=status, verdicts=facts)


def _provider_since(cluster: ProviderCluster) -> datetime | None:
    phase = cluster.latest_phase
    return phase.time if phase is not None else None


def _overdue(
    seen: ClusterObservation, cluster: ProviderCluster, stage: Stage, since: datetime | None
) -> tuple[Reason, str]:
    """Why it takes too long, as far as the stage tells."""
    waited = f"The provider has had the cluster in '{cluster.status}'{since_in_words(since)}, longer than "
    waited += f"{time_allowed(seen, stage)}. "
    if stage is Stage.QUEUED:
        message = waited + "It seems to have no such machines free; it is waited for. Or delete this resource and name "
        return Reason.OUT_OF_STOCK, message + "another region or GPU type."
    advice = _ADVICE.get(stage, "")
    return Reason.PROVISIONING_OVERDUE, (
        f"{waited}{advice}Ask its support with the id '{cluster.id}', or delete this resource and buy another; it may "
        "cost money all the while."
    )


_ADVICE = {
    Stage.DATA_PLANE_NODES: "Its machines do not come. ",
    Stage.SHARED_VOLUME: "The shared volume may lie in another datacenter partition of the region. ",
    Stage.ACCEPTANCE_TESTS: "The tests neither pass nor fail. ",
}
