"""What a GPUCluster's status says of a bought cluster: as the provider and the cluster itself show it now."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.money import accrued_usd, hourly_usd
from tunesmith.planning.provider import GPUS_PER_NODE, Credential, Phase, ProviderCluster
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import AttachedVolume, GPUClusterStatus, GPUCounts, NodeCounts
from tunesmith.resources.purchase import Cost
from tunesmith.resources.reasons import Reason


def as_seen(seen: ClusterObservation, cluster: ProviderCluster) -> GPUClusterStatus:
    """The status with what the provider shows now. Cost moves at transitions, and hourly at most."""
    status = with_counts(seen).model_copy(
        update={
            "provider_status": cluster.status,
            "volumes": tuple(AttachedVolume(id=volume.id, name=volume.name or None) for volume in cluster.volumes),
            "kubeconfig_secret_name": seen.secret_name if not isinstance(seen.kubeconfig_secret, Unknown) else None,
            "selector": f"tunesmith.dev/cluster={seen.resource.metadata.name}",
        }
    )
    if isinstance(seen.credential, Credential):
        status = status.model_copy(update={"credential_fingerprint": seen.credential.fingerprint})
    return with_cost(seen, status, cluster.gpus) if _cost_is_old(seen, cluster) else status


def built(cluster: ProviderCluster) -> dict[str, Verdict]:
    """What is known of every condition that hangs on the provider having built the cluster."""
    message = f"The provider has built cluster '{cluster.name}'."
    return {"Provisioned": Verdict(True, "Provisioned", message), **tested(cluster), **untold(cluster)}


def tested(cluster: ProviderCluster) -> dict[str, Verdict]:
    """What the provider's acceptance tests said."""
    phases = {transition.phase for transition in cluster.phases}
    if any(phase.endswith("TESTS_FAILED") for phase in phases):
        message = "The provider's acceptance tests failed. See its console; delete and buy again, or ask its support."
        return {"AcceptanceTested": Verdict(False, Reason.TESTS_FAILED, message)}
    if cluster.phase in {Phase.READY, Phase.DEGRADED}:
        return {"AcceptanceTested": Verdict(True, Reason.TESTS_PASSED, "The provider's acceptance tests let it pass.")}
    return {
        "AcceptanceTested": Verdict(None, Reason.NOT_TESTED_YET, "The provider tests the cluster before it is Ready.")
    }


def untold(cluster: ProviderCluster) -> dict[str, Verdict]:
    """Conditions of fields that are not acted on yet, told all the same."""
    return {
        "Idle": Verdict(None, Reason.NOT_MEASURED, f"Whether '{cluster.name}' is idle is not measured."),
        "WithinBudget": Verdict(True, Reason.NO_BUDGET, "No budget is set."),
    }


def ready_nodes(nodes: tuple[NodeFact, ...]) -> int:
    """How many GPU nodes are Ready."""
    return sum(1 for node in nodes if node.ready and node.gpus > 0)


def ready_gpus(nodes: tuple[NodeFact, ...]) -> int:
    """How many GPUs are allocatable on Ready nodes."""
    return sum(node.gpus for node in nodes if node.ready)


def with_counts(seen: ClusterObservation) -> GPUClusterStatus:
    """The status with the counts of now."""
    held = sum(len(job.nodes) for job in seen.jobs) * GPUS_PER_NODE
    before = seen.status.nodes
    known = not isinstance(seen.nodes, Unknown)
    nodes = seen.nodes.value if not isinstance(seen.nodes, Unknown) else ()
    ready = ready_nodes(nodes) if known else (before.ready if before is not None else None)
    return seen.status.model_copy(
        update={
            "nodes": NodeCounts(desired=seen.wanted_nodes, ready=ready),
            "gpus": GPUCounts(desired=seen.wanted_gpus, allocated=held, ready=ready_gpus(nodes) if known else None),
        }
    )


def with_cost(seen: ClusterObservation, status: GPUClusterStatus, gpus: int) -> GPUClusterStatus:
    """The status with what was spent up to now, and the rate that holds from now on. For transitions only."""
    before = seen.status.cost or Cost()
    gpu_type = (seen.status.choice.gpu_type if seen.status.choice is not None else None) or seen.spec.gpu_type or ""
    spent = accrued_usd(before.compute_usd or Decimal(0), before.hourly_usd, before.as_of_time, seen.around.now)
    cost = before.model_copy(
        update={
            "hourly_usd": hourly_usd(seen.around.installation.prices, gpu_type, gpus),
            "compute_usd": spent,
            "as_of_time": seen.around.now,
        }
    )
    return status.model_copy(update={"cost": cost})


def _cost_is_old(seen: ClusterObservation, cluster: ProviderCluster) -> bool:
    cost = seen.status.cost
    if cost is None or cost.as_of_time is None:
        return True
    rate = with_cost(seen, seen.status, cluster.gpus).cost
    changed = rate is not None and rate.hourly_usd != cost.hourly_usd
    return changed or seen.around.now - cost.as_of_time >= timedelta(hours=1)
