"""The registry of kinds: how each is named in the API, what its table shows, and how it scales."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tunesmith.resources import catalog_model, fine_tune_job, gpu_cluster, gpu_region, shared_volume
from tunesmith.resources.metadata import API_VERSION, GROUP, VERSION
from tunesmith.resources.parsing import AnyResource

_WIDE = 1


class Scope(StrEnum):
    """Whether a kind lives in namespaces."""

    NAMESPACED = "Namespaced"
    CLUSTER = "Cluster"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; priority 1 is shown with `-o wide` only."""

    name: str
    path: str
    type: Literal["integer", "string", "date", "boolean", "number"] = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Scale:
    """Where the `/scale` subresource finds its numbers."""

    spec_path: str
    status_path: str
    selector_path: str


@dataclass(frozen=True)
class Kind:
    """One kind of resource as the API server knows it."""

    name: str
    plural: str
    short_name: str
    scope: Scope
    model: type[AnyResource]
    conditions: tuple[str, ...]
    columns: tuple[Column, ...]
    scale: Scale | None = None
    selectable: tuple[str, ...] = ()

    @property
    def singular(self) -> str:
        """The name in lower case."""
        return self.name.lower()

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

    @property
    def api_path(self) -> str:
        """Where the API serves the group's version."""
        return f"/apis/{GROUP}/{VERSION}"

    @property
    def api_version(self) -> str:
        """What `apiVersion` says."""
        return API_VERSION

    @property
    def is_namespaced(self) -> bool:
        """True for kinds that live in namespaces."""
        return self.scope is Scope.NAMESPACED


def _of_condition(kind: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


_READY = Column("Ready", _of_condition("Ready", "status"), description="Whether all is as wanted.")
_REASON = Column("Reason", _of_condition("Ready", "reason"), description="Why it is or is not.")
_REASON_WIDE = Column(
    "Reason", _of_condition("Ready", "reason"), priority=_WIDE, description="Why it is or is not ready."
)
_MESSAGE = Column("Message", _of_condition("Ready", "message"), priority=_WIDE, description="The same in a sentence.")
_AGE = Column("Age", ".metadata.creationTimestamp", "date", description="Since when the resource exists.")

GPU_CLUSTER = Kind(
    name="GPUCluster",
    plural="gpuclusters",
    short_name="gpuc",
    scope=Scope.NAMESPACED,
    model=gpu_cluster.GPUCluster,
    conditions=gpu_cluster.CONDITIONS,
    columns=(
        Column("Type", ".status.choice.gpuType", description="The kind of GPU that was bought."),
        Column("Nodes", ".status.nodes.desired", "integer", description="Nodes that the provider was asked for."),
        Column("Ready-Nodes", ".status.nodes.ready", "integer", description="Nodes that are Ready."),
        Column("Region", ".status.choice.region", description="Where it is."),
        _READY,
        _REASON,
        Column("Cost/H", ".status.cost.hourlyUSD", description="US dollars an hour."),
        _AGE,
        Column(
            "Spent", ".status.cost.computeUSD", priority=_WIDE, description="US dollars over its life, for certain."
        ),
        Column("Idle-USD", ".status.cost.idleUSD", priority=_WIDE, description="The part spent while nothing used it."),
        Column("Uncertain", ".status.cost.uncertainUSD", priority=_WIDE, description="What may come on top."),
        Column("ID", ".status.clusterID", priority=_WIDE, description="The provider's id."),
        Column("Cluster-Name", ".status.providerName", priority=_WIDE, description="The name at the provider."),
        _MESSAGE,
    ),
    scale=Scale(".spec.nodes", ".status.nodes.ready", ".status.selector"),
    selectable=(".spec.region", ".spec.volumeRef.name"),
)

SHARED_VOLUME = Kind(
    name="SharedVolume",
    plural="sharedvolumes",
    short_name="shvol",
    scope=Scope.NAMESPACED,
    model=shared_volume.SharedVolume,
    conditions=shared_volume.CONDITIONS,
    columns=(
        Column("Size", ".status.sizeTiB", "integer", description="Size in TiB."),
        Column("Region", ".status.region", description="Where it is."),
        _READY,
        Column("InUseBy", ".status.boundTo", description="The GPUCluster that has it attached."),
        Column("Cost/H", ".status.cost.hourlyUSD", description="US dollars an hour."),
        Column("Spent", ".status.cost.computeUSD", description="US dollars over its life, for certain."),
        _AGE,
        Column("ID", ".status.volumeID", priority=_WIDE, description="The provider's id."),
        Column("Policy", ".spec.deletionPolicy", priority=_WIDE, description="What deletion does to the data."),
        _REASON_WIDE,
        _MESSAGE,
    ),
)

FINE_TUNE_JOB = Kind(
    name="FineTuneJob",
    plural="finetunejobs",
    short_name="ftj",
    scope=Scope.NAMESPACED,
    model=fine_tune_job.FineTuneJob,
    conditions=fine_tune_job.CONDITIONS,
    columns=(
        Column("Model", ".status.modelName", description="The base model."),
        Column("Method", ".spec.method.type", description="What it learns from."),
        Column("State", ".status.state", description="One word from the conditions."),
        Column("Progress", ".status.progress.percent", "integer", description="Percent of the steps."),
        Column("Cluster", ".status.clusterName", description="The GPUCluster of the job."),
        _READY,
        _AGE,
        Column("GPUs", ".status.plan.gpus", "integer", priority=_WIDE, description="GPUs in all, as planned."),
        Column("Step", ".status.progress.step", "integer", priority=_WIDE, description="The last finished step."),
        Column("Loss", ".status.progress.loss", priority=_WIDE, description="Loss of the last step."),
        Column("Tokens/S", ".status.progress.tokensPerSecond", "integer", priority=_WIDE, description="Over all GPUs."),
        Column("ETA-S", ".status.progress.etaSeconds", "integer", priority=_WIDE, description="Seconds left, about."),
        Column(
            "MFU",
            ".status.progress.modelFLOPUtilization",
            priority=_WIDE,
            description="Part of the GPUs' peak that is reached.",
        ),
        Column("Checkpoint", ".status.checkpoint.step", "integer", priority=_WIDE, description="The newest's step."),
        Column("Output", ".status.output.path", priority=_WIDE, description="Where the result is."),
        _REASON_WIDE,
        _MESSAGE,
    ),
    selectable=(".spec.placement.type", ".spec.placement.cluster.name"),
)

CATALOG_MODEL = Kind(
    name="CatalogModel",
    plural="catalogmodels",
    short_name="cmodel",
    scope=Scope.CLUSTER,
    model=catalog_model.CatalogModel,
    conditions=catalog_model.CONDITIONS,
    columns=(
        Column("Model", ".spec.id", description="The provider's API string."),
        Column("Params-B", ".spec.parametersBillions", description="Parameters in billions."),
        Column("Context-SFT", ".spec.limits.contextLengthSFT", "integer", description="Longest row for SFT."),
        Column("Context-DPO", ".spec.limits.contextLengthDPO", "integer", description="Longest row for DPO."),
        Column("Min-Batch", ".spec.limits.minBatchSize", "integer", description="Smallest batch."),
        Column("Max-Batch", ".spec.limits.maxBatchSizeSFT", "integer", description="Largest batch for SFT."),
        _READY,
        _AGE,
        Column("Organization", ".spec.organization", priority=_WIDE, description="Who made it."),
        Column(
            "Max-Batch-DPO",
            ".spec.limits.maxBatchSizeDPO",
            "integer",
            priority=_WIDE,
            description="Largest batch for DPO.",
        ),
        Column("Precision", ".spec.precision", priority=_WIDE, description="Number formats of training."),
        Column("Weights", ".spec.weights.huggingFace.repo", priority=_WIDE, description="Where the weights are."),
        Column("Source", ".spec.source", priority=_WIDE, description="Who says so."),
    ),
    selectable=(".spec.source",),
)

GPU_REGION = Kind(
    name="GPURegion",
    plural="gpuregions",
    short_name="gpureg",
    scope=Scope.CLUSTER,
    model=gpu_region.GPURegion,
    conditions=gpu_region.CONDITIONS,
    columns=(
        Column("GPU-Types", ".status.offer", description="GPU types that the region has."),
        Column("Drivers", ".status.drivers", description="Drivers that can be chosen, as CUDA/driver."),
        Column("Refreshed", ".status.refreshedTime", "date", description="When the provider was last asked."),
        _READY,
        _AGE,
        _REASON_WIDE,
    ),
)

KINDS: tuple[Kind, ...] = (GPU_CLUSTER, SHARED_VOLUME, FINE_TUNE_JOB, CATALOG_MODEL, GPU_REGION)


def kind_named(name: str) -> Kind:
    """The kind of that name; KeyError when it is not ours."""
    return {kind.name: kind for kind in KINDS}[name]
