"""Whether a job can be done as it is written, and if so its plan: sizes, batch, paths; before GPUs are taken."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tunesmith.planning.attempt import on_storage
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.manifests import DATASETS_MAX_BYTES
from tunesmith.planning.memory.batch import Batch
from tunesmith.planning.refusal import Refusal
from tunesmith.planning.sizing import Sizes, sizes_of
from tunesmith.planning.sources import fetches_model
from tunesmith.resources.fine_tune_job_inputs import ModelType
from tunesmith.resources.fine_tune_job_running import PlacementType
from tunesmith.resources.fine_tune_job_training import StorageType


@dataclass(frozen=True)
class Plan:
    """What is resolved once and used by every attempt.

    `model_path` is as the pod sees it; None as long as the weights are to be fetched.
    """

    sizes: Sizes
    model_path: str | None

    @property
    def pods(self) -> int:
        """Pods of an attempt."""
        return self.sizes.pods

    @property
    def gpus_per_pod(self) -> int:
        """GPUs of each."""
        return self.sizes.gpus_per_pod

    @property
    def processes_per_pod(self) -> int:
        """One for each GPU; one in all where GPUs are simulated."""
        return self.sizes.processes_per_pod

    @property
    def world(self) -> int:
        """Number of processes that train together."""
        return self.pods * self.processes_per_pod

    @property
    def batch(self) -> Batch:
        """The rows of a step."""
        return self.sizes.batch

    @property
    def context_length(self) -> int:
        """Tokens of the longest row."""
        return self.sizes.context_length


def plan_of(seen: JobObservation) -> Plan | Refusal:
    """The plan, or the first thing that stands against it."""
    for question in (_placement, _image):
        refusal = question(seen)
        if refusal is not None:
            return refusal
    path = _model_path(seen)
    if isinstance(path, Refusal):
        return path
    sizes = sizes_of(seen)
    return sizes if isinstance(sizes, Refusal) else Plan(sizes, path)


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
    if image is None or image == installation.trainer_image:
        return None
    if any(fnmatchcase(image, pattern) for pattern in installation.allowed_images):
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
    named = seen.spec.model.type is ModelType.CATALOG
    weights = seen.model.spec.weights if seen.model is not None and named else None
    if weights is None or not weights.gated or seen.around.installation.hub_endpoint is not None:
        return None
    repo = weights.hugging_face.repo
    return Refusal(
        "WeightsGated",
        f"'{repo}' gives its weights only to those who accepted its licence. Name it by `spec.model.type: "
        "HuggingFace` with a token in `spec.model.huggingFace.tokenSecretRef`, or put the weights on the job's storage "
        "and name the directory in `spec.weightsPath`.",
    )


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
