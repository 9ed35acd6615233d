"""Whose kubeconfig lies in a GPUCluster's Secret, whether it may be used, and what condition KubeconfigAvailable says.

A cluster that was bought again, or a resource that was made again under its old name, must never be reached through the
kubeconfig of the one before: the Secret says which cluster it belongs to.
"""

from __future__ import annotations

import hashlib

from tunesmith.planning.circumstances import NotYet, OtherCluster, Refused, Rejected, Unknown
from tunesmith.planning.cluster_observation import ClusterObservation, StoredSecret
from tunesmith.planning.provider import ProviderCluster
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.reasons import Reason

CLUSTER_ID_ANNOTATION = "tunesmith.dev/cluster-id"
KUBE_SYSTEM_ANNOTATION = "tunesmith.dev/kube-system-uid"
REPLACED_ANNOTATION = "tunesmith.dev/replaced-kubeconfig"

NONE_GIVEN = "The provider has given no kubeconfig yet."


def belongs_to(resource: GPUCluster, stored: StoredSecret | None) -> bool:
    """The Secret is this object's own, and holds the kubeconfig of the cluster that it has now."""
    if stored is None or not stored.value or resource.status.cluster_id is None:
        return False
    return resource.metadata.uid in stored.owner_uids and stored.cluster_id == resource.status.cluster_id


def kept_kubeconfig(seen: ClusterObservation) -> StoredSecret | None:
    """The Secret, when what it holds may be used."""
    stored = None if isinstance(seen.kubeconfig_secret, Unknown) else seen.kubeconfig_secret.value
    return stored if belongs_to(seen.resource, stored) else None


def hash_of(kubeconfig: str) -> str:
    """What names a kubeconfig without telling anything of it."""
    return hashlib.sha256(kubeconfig.encode()).hexdigest()[:32]


def kubeconfig_verdict(seen: ClusterObservation, cluster: ProviderCluster) -> dict[str, Verdict]:
    """Nothing while the Secret could not be read: what was known of it before still stands."""
    if isinstance(seen.nodes, OtherCluster):
        return _available(False, Reason.ANOTHER_CLUSTER, seen.nodes.why)
    if isinstance(seen.nodes, Refused):
        return _available(False, Reason.KUBECONFIG_REFUSED, seen.nodes.why)
    if isinstance(seen.nodes, Rejected):
        return _available(False, Reason.KUBECONFIG_REJECTED, seen.nodes.why)
    if isinstance(seen.kubeconfig_secret, Unknown) and not isinstance(seen.kubeconfig_secret, NotYet):
        return {}
    problem = seen.offered.problem if cluster.kubeconfig else ""
    if kept_kubeconfig(seen) is not None:
        text = f"The kubeconfig is in Secret '{seen.secret_name}'."
        if problem and seen.offered.whole:
            text = (
                f"The kubeconfig in Secret '{seen.secret_name}' is used on. The provider's newer one is not: {problem}."
            )
            return _available(True, Reason.KUBECONFIG_REFUSED, text)
        return _available(True, Reason.KUBECONFIG_WRITTEN, text)
    if problem and seen.offered.whole:
        return _available(False, Reason.KUBECONFIG_REFUSED, f"The provider's kubeconfig is not used: {problem}.")
    if problem or not cluster.kubeconfig:
        return _available(False, Reason.KUBECONFIG_MISSING, not_given(seen, cluster))
    return {}


def not_given(seen: ClusterObservation, cluster: ProviderCluster) -> str:
    """That there is no kubeconfig, or only a part of one."""
    if cluster.kubeconfig and seen.offered.problem:
        return f"The provider's kubeconfig is not whole ({seen.offered.problem}); it is asked for again."
    return NONE_GIVEN


def _available(holds: bool, reason: Reason, message: str) -> dict[str, Verdict]:
    return {"KubeconfigAvailable": Verdict(holds, reason, message)}
