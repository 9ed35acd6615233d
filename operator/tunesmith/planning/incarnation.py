"""One incarnation of a GPUCluster after another: what is left behind when the bought cluster is certainly gone.

The name at the provider carries the incarnation, so a cluster that is still listed as going is never mistaken for its
successor. It counts up only after a confirmed absence, and the name annotation follows before the next intent.
"""

from __future__ import annotations

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import without_what_is_gone
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus

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
            "volumes": (),
            "idle_since": None,
            "first_ready_time": None,
            "kubeconfig_secret_name": None,
            "suspect_nodes": (),
        }
    )


def kubeconfig_left(seen: ClusterObservation) -> DeleteObject | None:
    """The Secret of a cluster that is gone opens nothing any more: it goes with it, if it is ours."""
    if isinstance(seen.kubeconfig_secret, Unknown) or seen.kubeconfig_secret.value is None:
        return None
    stored, meta = seen.kubeconfig_secret.value, seen.resource.metadata
    if meta.uid not in stored.owner_uids:
        return None
    return DeleteObject(None, "v1", "Secret", meta.namespace or "", seen.secret_name, uid=stored.uid)
