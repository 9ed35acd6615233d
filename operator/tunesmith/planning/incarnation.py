"""One incarnation of a GPUCluster after another: what is left behind when the bought cluster is certainly gone.

The name at the provider carries the incarnation, so a cluster that is still listed as going is never mistaken for its
successor. It counts up only after a confirmed absence, and the name annotation follows before the next intent.
"""

from __future__ import annotations

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation, quietly, working
from tunesmith.planning.cluster_status import without_what_is_gone
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_parts import BillingType, RecreatePolicy
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

LAST_INCARNATION = 9999  # the name has room for four digits


def after_absence(seen: ClusterObservation) -> GPUClusterStatus:
    """The status once nothing is left of the present incarnation: what was its own goes, what was spent stays."""
    return without_what_is_gone(seen).model_copy(
        update={
            "cluster_id": None,
            "create_intent": None,
            "provider_name": None,
            "incarnation": min(seen.name.incarnation + 1, LAST_INCARNATION),
            "choice": None,
            "out_of_stock": (),
            "next_try_time": None,
            "reservation": None,
            "components_hash": None,
            "volumes": (),
            "idle_since": None,
            "first_ready_time": None,
            "kubeconfig_secret_name": None,
            "suspect_nodes": (),
            "leaving_nodes": (),
        }
    )


def is_recreated(seen: ClusterObservation) -> bool:
    """A cluster that vanished is bought again. A prepaid one is not: another prepayment is for somebody to decide."""
    on_demand = seen.spec.billing.type is BillingType.ON_DEMAND
    managed = seen.spec.management_policy is ManagementPolicy.MANAGE and seen.spec.adopt is None
    return seen.spec.recreate_policy is RecreatePolicy.WHEN_GONE and on_demand and managed


def recreated(seen: ClusterObservation, cluster_id: str) -> ClusterDecision:
    """The next incarnation begins; what the last one left here is taken away first."""
    left = kubeconfig_left(seen)
    if left is not None:
        return quietly(seen, left)
    message = f"Cluster '{cluster_id}' is gone from the provider, and this resource did not delete it. Another is "
    message += "bought, as `spec.recreatePolicy` says."
    return working(
        seen,
        Reason.RECREATED,
        message,
        status=after_absence(seen),
        verdicts={"Provisioned": Verdict(False, Reason.RECREATED, message)},
        events=(EventNote(EventType.WARNING, Reason.RECREATED, message),),
    )


def kubeconfig_left(seen: ClusterObservation) -> DeleteObject | None:
    """The Secret of a cluster that is gone opens nothing any more: it goes with it, if it is ours."""
    if isinstance(seen.kubeconfig_secret, Unknown) or seen.kubeconfig_secret.value is None:
        return None
    stored, meta = seen.kubeconfig_secret.value, seen.resource.metadata
    if meta.uid not in stored.owner_uids:
        return None
    return DeleteObject(None, "v1", "Secret", meta.namespace or "", seen.secret_name, uid=stored.uid)
