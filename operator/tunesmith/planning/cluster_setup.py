"""What is put where once a cluster is bought: its kubeconfig here, and the jobs' namespace and claims inside it."""

from __future__ import annotations

import base64
from typing import Any

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import NotYet, Refused, Unknown
from tunesmith.planning.cluster_observation import ClusterObservation, StoredSecret, quietly, stalled, working
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision
from tunesmith.planning.kube_facts import MANAGED_BY, MANAGED_BY_LABEL
from tunesmith.planning.provider import AttachedVolume
from tunesmith.planning.slurm import is_slurm
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

KUBECONFIG_KEY = "value"  # the Cluster API contract names both
KUBECONFIG_TYPE = "cluster.x-k8s.io/secret"
_NONE_GIVEN = "The provider has given no kubeconfig yet."
CLUSTER_NAME_LABEL = "cluster.x-k8s.io/cluster-name"
FALLBACK_CLASS = "shared-storage-class"  # provider: where older clusters have no static PersistentVolume
NAMESPACE_LABELS = {
    MANAGED_BY_LABEL: MANAGED_BY,
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


def kubeconfig_missing(seen: ClusterObservation) -> ClusterDecision | None:
    """The kubeconfig goes into a Secret of the Cluster API's form, which is never taken from somebody else."""
    cluster = seen.bought
    if cluster is None:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    if isinstance(seen.kubeconfig_secret, Unknown):
        if not cluster.kubeconfig:
            return working(seen, Reason.KUBECONFIG_MISSING, _NONE_GIVEN, status=status, verdicts=facts)
        message = f"Secret '{seen.secret_name}' could not be read: {seen.kubeconfig_secret.why}"
        return working(seen, Reason.KUBECONFIG_UNREADABLE, message, status=status, verdicts=facts)
    stored = seen.kubeconfig_secret.value
    if stored is not None and seen.resource.metadata.uid not in stored.owner_uids:
        message = f"Secret '{seen.secret_name}' exists and is not this resource's, so it is left alone. "
        message += "Delete or rename it; `spec.kubeconfigSecretName` cannot be changed."
        verdicts = {**facts, "KubeconfigAvailable": Verdict(False, Reason.SECRET_NOT_OURS, message)}
        return stalled(seen, Reason.SECRET_NOT_OURS, message, status=status, verdicts=verdicts)
    if not cluster.kubeconfig:
        if stored is not None and stored.value:
            return None  # what was given before still stands
        return working(seen, Reason.KUBECONFIG_MISSING, _NONE_GIVEN, status=status, verdicts=facts)
    if stored != StoredSecret(frozenset({seen.resource.metadata.uid}), cluster.kubeconfig):
        return quietly(seen, ApplyObject(None, kubeconfig_secret(seen, cluster.kubeconfig)))
    return None


def kubeconfig_secret(seen: ClusterObservation, kubeconfig: str) -> dict[str, Any]:
    """The Secret that holds the admin kubeconfig, owned by the resource."""
    meta = seen.resource.metadata
    owner = {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": KUBECONFIG_TYPE,
        "metadata": {
            "name": seen.secret_name,
            "namespace": meta.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, CLUSTER_NAME_LABEL: meta.name},
            "ownerReferences": [owner],
        },
        "data": {KUBECONFIG_KEY: base64.b64encode(kubeconfig.encode()).decode()},
    }


def not_reachable(seen: ClusterObservation) -> ClusterDecision | None:
    """Without an answer from the cluster's own API nothing is known of its nodes; unknown never means "none"."""
    cluster = seen.bought
    unknown = next((fact for fact in (seen.nodes, seen.inside) if isinstance(fact, Unknown)), None)
    if unknown is None or cluster is None:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    if isinstance(unknown, Refused):
        message = f"{unknown.why} Nothing is run in the cluster. Ask the provider for one with a certificate or token "
        message += "only, or delete this resource."
        return stalled(seen, Reason.KUBECONFIG_REFUSED, message, status=status, verdicts=facts)
    if not isinstance(unknown, NotYet):
        message = f"The cluster's own Kubernetes cannot be reached: {unknown.why}"
        return working(seen, Reason.CLUSTER_UNREACHABLE, message, status=status, verdicts=facts)
    if seen.status.first_ready_time is not None:
        return quietly(seen)  # this process has only just begun to look; what was told before still stands
    message = "The provider has built the cluster; the operator is connecting to its own Kubernetes."
    return working(seen, Reason.CONNECTING, message, status=status, verdicts=facts)


def not_set_up(seen: ClusterObservation) -> ClusterDecision | None:
    """The jobs' namespace, and one claim for each attached volume, made once and never deleted by a job."""
    if isinstance(seen.inside, Unknown) or seen.bought is None or is_slurm(seen.spec):
        return None
    labels = seen.inside.value.namespace_labels
    if labels is None or any(labels.get(key) != value for key, value in NAMESPACE_LABELS.items()):
        return quietly(seen, ApplyObject(seen.here, jobs_namespace(seen.around.installation.jobs_namespace)))
    for volume in seen.bought.volumes:
        answer = _without_claim(seen, volume)
        if answer is not None:
            return answer
    return None


def jobs_namespace(name: str) -> dict[str, Any]:
    """The one namespace that everything remote lives in, under restricted pod security."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": NAMESPACE_LABELS}}


def volume_claim(
    namespace: str, name: str, volume: AttachedVolume, *, storage_class: str, static: bool
) -> dict[str, Any]:
    """The claim of one attached volume: bound to the PersistentVolume of the volume's name, or made through a class."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": f"{max(volume.size_tib, 1)}Ti"}},
    }
    if static:
        spec["volumeName"] = volume.name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "spec": spec,
    }


def claim_name(seen: ClusterObservation, volume: AttachedVolume) -> str:
    """The SharedVolume's name when it is the one that the cluster names, so that jobs find it; else the provider's."""
    named = seen.volume
    if named is not None and volume.id == named.volume_id:
        return named.name
    if named is not None and named.volume_id is None and volume.name == named.order_name:
        return named.name
    return volume.name


def _without_claim(seen: ClusterObservation, volume: AttachedVolume) -> ClusterDecision | None:
    if isinstance(seen.inside, Unknown):
        return None
    facts, name = seen.inside.value, claim_name(seen, volume)
    if name in facts.claims:
        return None
    namespace = seen.around.installation.jobs_namespace
    if volume.name in facts.persistent_volumes:
        storage_class = facts.persistent_volumes[volume.name]
        claim = volume_claim(namespace, name, volume, storage_class=storage_class, static=True)
        return quietly(seen, ApplyObject(seen.here, claim))
    if FALLBACK_CLASS in facts.storage_classes:
        claim = volume_claim(namespace, name, volume, storage_class=FALLBACK_CLASS, static=False)
        return quietly(seen, ApplyObject(seen.here, claim))
    message = (
        f"The cluster has neither a PersistentVolume '{volume.name}' nor a StorageClass '{FALLBACK_CLASS}' yet, "
        "so its shared volume cannot be used. The provider makes them; ask its support if this lasts."
    )
    return working(
        seen,
        Reason.VOLUME_NOT_IN_CLUSTER,
        message,
        status=as_seen(seen, seen.bought) if seen.bought is not None else None,
        verdicts=standing(seen, seen.bought) if seen.bought is not None else None,
    )
