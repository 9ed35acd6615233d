"""One attempt of a job: its names, where it runs, and everything its objects are made from; what errands share too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Outbound
from tunesmith.planning.kube_facts import (
    ATTEMPT_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    OWNER_KIND_LABEL,
    OWNER_NAME_LABEL,
    OWNER_NAMESPACE_LABEL,
    OWNER_UID_LABEL,
)
from tunesmith.planning.placement import Tolerated
from tunesmith.planning.sources import SecretKey

OWNER_KIND = "FineTuneJob"
STORAGE_ROOT = "/storage"
CONFIGURATION_DIRECTORY = "/etc/tunesmith"
CONFIGURATION_FILE = "config.json"
# The store of an attempt listens on all addresses of its pod. Where pods share the machine's (host networking, process
# nodes), attempts must not meet: each has a port of its own. Below the ports that Linux gives to outgoing connections
# (32768 and up) and those of NodePort Services (30000 and up).
FIRST_MASTER_PORT = 24000
MASTER_PORTS = 6000


@dataclass(frozen=True)
class JobIdentity:
    """Which FineTuneJob, for ever: the uid tells a new job from a deleted one of the same name."""

    namespace: str
    name: str
    uid: str

    @property
    def short_name(self) -> str:
        """Namespace and name, cut to 40 characters, and the uid's first 8."""
        return f"{f'{self.namespace}-{self.name}'[:40].rstrip('-')}-{self.uid[:8]}"

    @property
    def template_cluster_name(self) -> str:
        """The name of the GPUCluster that is made for this job."""
        return f"{self.name[:40].rstrip('-')}-{self.uid[:8]}"

    @property
    def labels(self) -> dict[str, str]:
        """What every object that belongs to the job carries."""
        return {
            MANAGED_BY_LABEL: MANAGED_BY,
            OWNER_KIND_LABEL: OWNER_KIND,
            OWNER_NAMESPACE_LABEL: self.namespace,
            OWNER_NAME_LABEL: self.name,
            OWNER_UID_LABEL: self.uid,
        }


@dataclass(frozen=True, kw_only=True)
class Work:
    """What attempts and errands have in common: pods of the trainer's image on the job's storage.

    Whatever the user wrote has been checked before it comes here. `datasets` are files that travel in the ConfigMap, by
    file name; `claim` is the storage's PersistentVolumeClaim; `secrets` are variables by the key of a Secret that
    fills them. The Secrets stand in the job's namespace; for a bought cluster they are copied, under other names.
    `outbound` is how its pods reach what lies outside; None: they have nothing to do there.
    """

    job: JobIdentity
    number: int
    where: RemoteCluster | None
    namespace: str
    image: str
    claim: str
    grace_seconds: int
    configuration: Mapping[str, Any] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    image_secrets: tuple[str, ...] = ()
    tolerations: tuple[Tolerated, ...] = ()
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    outbound: Outbound | None = None

    @property
    def name(self) -> str:
        """The name of its Job and ConfigMap."""
        raise NotImplementedError

    @property
    def labels(self) -> dict[str, str]:
        """What its objects carry."""
        raise NotImplementedError

    @property
    def pull_secrets(self) -> Mapping[str, str]:
        """The Secrets for pulling, by their name beside the job: their name beside the pods."""
        if self.where is None:
            return {name: name for name in self.image_secrets}
        return {name: f"{self.name}-pull-{index}" for index, name in enumerate(self.image_secrets)}

    @property
    def source_secrets(self) -> Mapping[str, str]:
        """The Secrets that variables come from, by their name beside the job: their name beside the pods."""
        names = sorted({key.name for key in self.secrets.values()})
        if self.where is None:
            return {name: name for name in names}
        return {name: f"{self.name}-source-{index}" for index, name in enumerate(names)}

    @property
    def proxy_copy(self) -> str:
        """The Secret beside the pods with the proxy's addresses."""
        return f"{self.name}-proxy"

    @property
    def certificates_copy(self) -> str:
        """The ConfigMap beside the pods with the authorities that they trust."""
        return f"{self.name}-certificates"

    def keys_of(self, secret: str) -> tuple[str, ...]:
        """The keys of one Secret that the pods need, and no others."""
        return tuple(sorted({key.key for key in self.secrets.values() if key.name == secret}))


@dataclass(frozen=True, kw_only=True)
class Attempt(Work):
    """What the manifests of one attempt say."""

    pods: int
    gpus_per_pod: int
    rdma_resource: str | None = None

    @property
    def name(self) -> str:
        """The name of the attempt's Job and ConfigMap."""
        return attempt_name(self.job, self.number)

    @property
    def labels(self) -> dict[str, str]:
        """What the attempt's objects carry."""
        return {**self.job.labels, ATTEMPT_LABEL: str(self.number)}

    @property
    def master_port(self) -> int:
        """Where its rank 0 listens for the others."""
        return master_port(self.job, self.number)

    @property
    def service_name(self) -> str:
        """The headless Service, and the pods' subdomain. Services may not begin with a digit."""
        return self.name if self.name[0].isalpha() else f"j{self.name}"


def attempt_name(job: JobIdentity, number: int) -> str:
    """`<namespace-job, cut to 40>-<uid, 8>-a<attempt>`: a DNS label with room for the pods' own endings."""
    return f"{job.short_name}-a{number}"


def master_port(job: JobIdentity, number: int) -> int:
    """Where rank 0 of one attempt listens: different for the attempts of one job, and most likely for two jobs."""
    first = int.from_bytes(hashlib.sha256(job.uid.encode()).digest()[:4])
    return FIRST_MASTER_PORT + (first + number) % MASTER_PORTS


def job_path(job: JobIdentity) -> str:
    """Where the job keeps its attempts on the storage."""
    return f"{STORAGE_ROOT}/{job.uid}"


def output_path(job: JobIdentity, base: str, number: int) -> str:
    """The result directory of one attempt, as the pod sees it. `base` is `spec.output.path`."""
    return f"{on_storage(base)}/{job.uid}-a{number}"


def on_storage(path: str) -> str:
    """A path of the spec as the pod sees it: relative to the storage, whether or not it begins with a slash."""
    inner = path.strip("/")
    return f"{STORAGE_ROOT}/{inner}" if inner else STORAGE_ROOT


def from_storage(path: str) -> str:
    """A path as the pod sees it, relative to the storage: what users read in the status."""
    return path.removeprefix(STORAGE_ROOT).lstrip("/")
