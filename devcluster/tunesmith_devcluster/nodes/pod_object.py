"""Reading a Pod as the API server gives it: the few questions that a node asks of it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tunesmith_devcluster.nodes.api import Json

GPU_RESOURCE = "nvidia.com/gpu"
_SUFFIXES = {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
}  # fmt: skip


def quantity(text: str | int) -> Decimal:
    """A Kubernetes quantity (`500m`, `1Gi`, `8`) as a number of its base unit."""
    value = str(text)
    if value.endswith("m"):
        return Decimal(value[:-1]) / 1000
    for suffix, factor in _SUFFIXES.items():
        if value.endswith(suffix):
            return Decimal(value.removesuffix(suffix)) * factor
    return Decimal(value)


@dataclass(frozen=True)
class PodObject:
    """One Pod. `raw` is the wire's dictionary and is never changed."""

    raw: Json

    @property
    def metadata(self) -> Json:
        """The pod's metadata."""
        return dict(self.raw["metadata"])

    @property
    def spec(self) -> Json:
        """The pod's specification."""
        return dict(self.raw["spec"])

    @property
    def status(self) -> Json:
        """The pod's status as the API server has it."""
        return self.raw.get("status") or {}

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.metadata["name"])

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.metadata["namespace"])

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return str(self.metadata["uid"])

    @property
    def path(self) -> str:
        """The pod's path in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def hostname(self) -> str:
        """The name that the pod's processes see."""
        return str(self.spec.get("hostname") or self.name)[:63]

    @property
    def subdomain(self) -> str:
        """The headless Service of the pod, or nothing."""
        return str(self.spec.get("subdomain") or "")

    @property
    def restart_policy(self) -> str:
        """Always, OnFailure or Never."""
        return str(self.spec.get("restartPolicy", "Always"))

    @property
    def is_deleted(self) -> bool:
        """Whether somebody asked for the pod's deletion."""
        return "deletionTimestamp" in self.metadata

    @property
    def grace_seconds(self) -> float:
        """How long its processes may take to end after SIGTERM."""
        asked = self.metadata.get("deletionGracePeriodSeconds")
        return float(asked if asked is not None else self.spec.get("terminationGracePeriodSeconds", 30))

    @property
    def is_over(self) -> bool:
        """Whether the API server has it as ended for good."""
        return self.status.get("phase") in ("Succeeded", "Failed")

    @property
    def containers(self) -> list[Json]:
        """The containers, without the init containers."""
        return list(self.spec["containers"])

    @property
    def init_containers(self) -> list[Json]:
        """The init containers, restartable ones among them."""
        return list(self.spec.get("initContainers") or [])

    @property
    def gpus(self) -> int:
        """GPUs that the pod holds: its containers together, or its hungriest init container."""
        together = sum(gpus_of(one) for one in self.containers)
        return max([together, *(gpus_of(one) for one in self.init_containers)])


def gpus_of(container: Json) -> int:
    """GPUs that one container asks for."""
    return int(limit_of(container, GPU_RESOURCE) or 0)


def limit_of(container: Json, resource: str) -> Decimal | None:
    """A container's limit of one resource in its base unit; None without one."""
    limits: dict[str, Any] = (container.get("resources") or {}).get("limits") or {}
    return quantity(limits[resource]) if resource in limits else None


def is_sidecar(init_container: Json) -> bool:
    """Whether an init container runs beside the pod (`restartPolicy: Always`)."""
    return init_container.get("restartPolicy") == "Always"
