"""The kinds of Kubernetes objects that the operator speaks of, and where the API serves them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

GROUP = "tunesmith.dev"
OWN_API_VERSION = f"{GROUP}/v1alpha1"


@dataclass(frozen=True)
class ObjectKind:
    """One kind as the API serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of a collection, an object or a subresource. Every segment is quoted."""
        parts = ["api" if "/" not in self.api_version else "apis", *self.api_version.split("/")]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/" + "/".join(parts)


POD = ObjectKind("v1", "Pod", "pods")
NODE = ObjectKind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = ObjectKind("v1", "Namespace", "namespaces", namespaced=False)
SECRET = ObjectKind("v1", "Secret", "secrets")
CONFIG_MAP = ObjectKind("v1", "ConfigMap", "configmaps")
SERVICE = ObjectKind("v1", "Service", "services")
SERVICE_ACCOUNT = ObjectKind("v1", "ServiceAccount", "serviceaccounts")
CLAIM = ObjectKind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUME = ObjectKind("v1", "PersistentVolume", "persistentvolumes", namespaced=False)
EVENT = ObjectKind("v1", "Event", "events")
JOB = ObjectKind("batch/v1", "Job", "jobs")
LEASE = ObjectKind("coordination.k8s.io/v1", "Lease", "leases")
STORAGE_CLASS = ObjectKind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)

GPU_CLUSTER = ObjectKind(OWN_API_VERSION, "GPUCluster", "gpuclusters")
SHARED_VOLUME = ObjectKind(OWN_API_VERSION, "SharedVolume", "sharedvolumes")
FINE_TUNE_JOB = ObjectKind(OWN_API_VERSION, "FineTuneJob", "finetunejobs")
CATALOG_MODEL = ObjectKind(OWN_API_VERSION, "CatalogModel", "catalogmodels", namespaced=False)
GPU_REGION = ObjectKind(OWN_API_VERSION, "GPURegion", "gpuregions", namespaced=False)

OWN_KINDS = (GPU_CLUSTER, SHARED_VOLUME, FINE_TUNE_JOB, CATALOG_MODEL, GPU_REGION)

_KNOWN = {
    (kind.api_version, kind.kind): kind
    for kind in (
        POD,
        NODE,
        NAMESPACE,
        SECRET,
        CONFIG_MAP,
        SERVICE,
        SERVICE_ACCOUNT,
        CLAIM,
        VOLUME,
        EVENT,
        JOB,
        LEASE,
        STORAGE_CLASS,
        *OWN_KINDS,
    )
}


def kind_of(api_version: str, kind: str) -> ObjectKind:
    """The kind of a manifest. Raises `KeyError` for one that the operator has no business with."""
    return _KNOWN[api_version, kind]
