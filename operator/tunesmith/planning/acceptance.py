"""Whether a job can be done as it is written, and if so its plan: sizes, batch, paths; before GPUs are taken."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.planning.attempt import on_storage
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.manifests import DATASETS_MAX_BYTES
from tunesmith.planning.sources import fetches_model
from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.fine_tune_job_inputs import ModelType
from tunesmith.resources.fine_tune_job_running import PlacementType
from tunesmith.resources.fine_tune_job_training import StorageType

GPUS_PER_NODE = 8  # provider: one node is 8 GPUs
VALUES_NAMED = 12


@dataclass(frozen=True)
class Plan:
    """What is resolved once and used by every attempt.

    `model_path` is as the pod sees it; None as long as the weights are to be fetched.
    """

    pods: int
    gpus_per_pod: int
    processes_per_pod: int
    batch_size: int
    context_length: int
    model_path: str | None

    @property
    def world(self) -> int:
        """Number of processes that train together."""
        return self.pods * self.processes_per_pod

    @property
    def micro_batch(self) -> int:
        """Sequences of one process in one step; accumulation starts at 1."""
        return self.batch_size // self.world


@dataclass(frozen=True)
class Refusal:
    """Why the job cannot be done as it is written, and what would help."""

    reason: str
    message: str


def plan_of(seen: JobObservation) -> Plan | Refusal:
    """The plan, or the first thing that stands against it."""
    for question in (_placement, _image, _limits):
        refusal = question(seen)
        if refusal is not None:
            return refusal
    path = _model_path(seen)
    if isinstance(path, Refusal):
        return path
    shape = _shape(seen)
    if isinstance(shape, Refusal):
        return shape
    pods, gpus_per_pod = shape
    processes = gpus_per_pod if not seen.around.installation.simulated_gpus else 1
    batch = _batch_size(seen, pods * processes)
    if isinstance(batch, Refusal):
        return batch
    context = seen.spec.training.context_length or _most_context(seen.model)
    if context is None:
        return Refusal(
            "ContextLengthUnknown",
            "No table of limits knows this model. Set `spec.training.contextLength`.",
        )
    return Plan(pods, gpus_per_pod, processes, batch, context, path)


def _placement(seen: JobObservation) -> Refusal | None:
    """Storage and placement must belong together: a bought cluster has its volume, a local job a claim."""
    storage, placement = seen.spec.storage, seen.spec.placement
    local = placement.type is PlacementType.LOCAL
    if local and storage.type is not StorageType.CLAIM:
        return Refusal(
            "StorageMismatch",
            "A job with placement 'Local' needs `spec.storage.type: Claim`: a SharedVolume is only on its GPUCluster.",
        )
    if not local and storage.type is not StorageType.SHARED_VOLUME:
        return Refusal(
            "StorageMismatch",
            "A job on a GPUCluster needs `spec.storage.type: SharedVolume`, the volume of that cluster.",
        )
    return None


def _image(seen: JobObservation) -> Refusal | None:
    installation, image = seen.around.installation, seen.spec.image
    if image is None or image == installation.trainer_image or image in installation.allowed_images:
        return None
    allowed = ", ".join(f"'{one}'" for one in installation.allowed_images) or "only the installation's own"
    return Refusal("ImageNotAllowed", f"`spec.image` '{image}' is not allowed here; allowed: {allowed}.")


def _model_path(seen: JobObservation) -> str | Refusal | None:
    spec = seen.spec
    if spec.model.type is ModelType.PATH and spec.model.path is not None:
        return on_storage(spec.model.path)
    if spec.weights_path is not None and spec.model.type is ModelType.HUGGING_FACE:
        return on_storage(spec.weights_path)
    name = spec.model.catalog.name if spec.model.catalog is not None else ""
    if spec.model.type is ModelType.CATALOG and seen.model is None:
        return Refusal(
            "ModelUnknown",
            f"There is no CatalogModel '{name}'. `kubectl get catalogmodels` prints those there are; "
            "make one of source 'User' for a model of your own, or use `spec.model.type: Path`.",
        )
    if spec.weights_path is not None:
        return on_storage(spec.weights_path)
    if fetches_model(spec, seen.model):
        return _gated(seen) or (seen.status.pinned.model_path if seen.status.pinned is not None else None)
    return Refusal(
        "WeightsUnknown",
        f"It is not known where the weights of '{name}' are published. Put them on the job's storage and name the "
        "directory in `spec.weightsPath`, or set `weights.huggingFace` in a CatalogModel of your own.",
    )


def _gated(seen: JobObservation) -> Refusal | None:
    """A row of the catalogue has no place for a token; a mirror of the Hub asks for none."""
    weights = seen.model.spec.weights if seen.model is not None else None
    if weights is None or not weights.gated or seen.around.installation.hub_endpoint is not None:
        return None
    repo = weights.hugging_face.repo
    return Refusal(
        "WeightsGated",
        f"'{repo}' gives its weights only to those who accepted its licence. Name it by `spec.model.type: "
        "HuggingFace` with a token in `spec.model.huggingFace.tokenSecretRef`, or put the weights on the job's storage "
        "and name the directory in `spec.weightsPath`.",
    )


def _limits(seen: JobObservation) -> Refusal | None:
    """What the catalogue limits besides the batch."""
    model, spec = seen.model, seen.spec
    limits = None if model is None else model.spec.limits
    if limits is None:
        return None
    context, most = spec.training.context_length, limits.context_length_sft
    if context is not None and most is not None and context > most:
        return Refusal(
            "ContextTooLong",
            f"`spec.training.contextLength` is {context}; this model is trained with at most {most} tokens.",
        )
    rank = spec.tuning.adapter.rank
    if limits.max_lora_rank is not None and rank > limits.max_lora_rank:
        return Refusal(
            "RankTooHigh", f"`spec.tuning.lora.rank` is {rank}; this model allows at most {limits.max_lora_rank}."
        )
    return None


def _shape(seen: JobObservation) -> tuple[int, int] | Refusal:
    """Pods, and GPUs of each."""
    wanted = seen.spec.resources
    gpus = wanted.gpus or _default_gpus(seen)
    per_pod = wanted.gpus_per_pod or min(gpus, GPUS_PER_NODE)
    if gpus % per_pod:
        return Refusal(
            "GPUsDoNotDivide",
            f"`spec.resources.gpus` {gpus} is not a multiple of `gpusPerPod` {per_pod}: all pods must be alike.",
        )
    return gpus // per_pod, per_pod


def _default_gpus(seen: JobObservation) -> int:
    template = seen.spec.placement.template
    return template.nodes * GPUS_PER_NODE if template is not None else GPUS_PER_NODE


def _batch_size(seen: JobObservation, world: int) -> int | Refusal:
    """The global batch: what the user wants, or the largest that the model allows and the processes divide."""
    least, most = _batch_limits(seen.model)
    wanted = seen.spec.training.batch_size
    if wanted is None and most is None:
        return Refusal("BatchSizeUnknown", "No table of limits knows this model. Set `spec.training.batchSize`.")
    allowed = range(-(-least // world) * world, (most or max(wanted or 0, world)) + 1, world)
    if wanted is None and allowed:
        return allowed[-1]
    if wanted is not None and wanted in allowed:
        return wanted
    return Refusal("BatchSizeOutOfRange", _batch_message(wanted, world, least, most, allowed))


def _batch_message(wanted: int | None, world: int, least: int, most: int | None, allowed: range) -> str:
    limits = f"from {least} to {most}" if most is not None else f"{least} or more"
    if not allowed:
        return (
            f"No batch size {limits} divides among {world} processes. Ask for fewer GPUs in `spec.resources.gpus`: "
            f"at most {most} processes can share a batch."
        )
    named = ", ".join(map(str, allowed[:VALUES_NAMED]))
    rest = f", and so on in steps of {world}" if len(allowed) > VALUES_NAMED or most is None else ""
    return (
        f"`spec.training.batchSize` is {wanted}; this model allows {limits}, and {world} processes must share it "
        f"evenly: {named}{rest}."
    )


def _batch_limits(model: CatalogModel | None) -> tuple[int, int | None]:
    limits = None if model is None else model.spec.limits
    if limits is None:
        return 1, None
    return limits.min_batch_size or 1, limits.max_batch_size_sft


def _most_context(model: CatalogModel | None) -> int | None:
    limits = None if model is None else model.spec.limits
    return None if limits is None else limits.context_length_sft


def files_too_large(files: dict[str, str]) -> Refusal | None:
    """Datasets from ConfigMaps travel in one ConfigMap, which Kubernetes limits."""
    size = sum(len(text.encode()) for text in files.values())
    if size <= DATASETS_MAX_BYTES:
        return None
    return Refusal(
        "DatasetTooLarge",
        f"The datasets from ConfigMaps have {size} bytes together; at most {DATASETS_MAX_BYTES} can travel so. "
        "Put them on the job's storage and use `type: Path`.",
    )
