"""What is put into a bought cluster: the jobs' namespace, and a claim for each attached volume."""

from __future__ import annotations

from typing import Any

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.bought import quietly, working
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision
from tunesmith.planning.kube_facts import MANAGED_BY, MANAGED_BY_LABEL
from tunesmith.planning.provider import AttachedVolume
from tunesmith.planning.slurm import is_slurm
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

FALLBACK_CLASS = "shared-storage-class"  # provider: where older clusters have no static PersistentVolume
NAMESPACE_LABELS = {
    MANAGED_BY_LABEL: MANAGED_BY,
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


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
