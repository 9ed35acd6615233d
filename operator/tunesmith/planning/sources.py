"""What of a job is fetched, from where, and which keys of which Secrets open it. Knows names of Secrets, no content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tunesmith.planning.circumstances import Installation
from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.fine_tune_job import FineTuneJobSpec
from tunesmith.resources.fine_tune_job_inputs import DatasetSource, DatasetType, ModelType

MODEL, TRAINING, VALIDATION = "model", "training", "validation"
ROLES = (TRAINING, VALIDATION)
# The seeds promise causal language models of the Hub under this size; a row of the catalogue speaks for the others.
MOST_PARAMETERS = 100_000_000_000
AWS_ENDPOINT = "https://s3.amazonaws.com"
FETCHED = frozenset({DatasetType.HUGGING_FACE, DatasetType.HTTP, DatasetType.S3})


@dataclass(frozen=True, order=True)
class SecretKey:
    """One key of a Secret in the job's own namespace."""

    name: str
    key: str


@dataclass(frozen=True)
class SecretUse:
    """An environment variable of the trainer's container that a Secret's key fills."""

    variable: str
    source: SecretKey
    field: str  # the field of the spec that names the Secret


def fetches_model(spec: FineTuneJobSpec, model: CatalogModel | None) -> bool:
    """Whether the weights must be brought to the storage."""
    return _model(spec, model) is not None


def fetched_repository(spec: FineTuneJobSpec, model: CatalogModel | None) -> str | None:
    """The repository of the Hub that the weights come from; None when they are not fetched."""
    wanted = _model(spec, model)
    return None if wanted is None else wanted["repo"]


def fetches_data(source: DatasetSource | None) -> bool:
    """Whether a dataset file must be brought to the storage."""
    return source is not None and source.type in FETCHED


def dataset_sources(spec: FineTuneJobSpec) -> dict[str, DatasetSource]:
    """The job's dataset files by role."""
    dataset = spec.dataset
    return {TRAINING: dataset.training} | ({VALIDATION: dataset.validation} if dataset.validation is not None else {})


def fetch_section(
    spec: FineTuneJobSpec, model: CatalogModel | None, installation: Installation
) -> dict[str, Any] | None:
    """The `fetch` part of a preparation's configuration; None when everything lies on the storage already."""
    endpoint = {} if installation.hub_endpoint is None else {"endpoint": installation.hub_endpoint}
    wanted, section = _model(spec, model), dict[str, Any]()
    if wanted is not None:
        limit = {"maxParameters": MOST_PARAMETERS} if model is None else {}
        section["model"] = {"type": "HuggingFace", "huggingFace": {**wanted, **endpoint}, **limit}
    fetched = {role: one for role, one in dataset_sources(spec).items() if fetches_data(one)}
    if fetched:
        section["datasets"] = {role: _dataset(one, endpoint) for role, one in fetched.items()}
    return section or None


def secret_uses(spec: FineTuneJobSpec) -> tuple[SecretUse, ...]:
    """Every key of a Secret that the preparation needs, with the variable that carries it."""
    uses = list(_model_secrets(spec))
    for role, source in dataset_sources(spec).items():
        uses.extend(_dataset_secrets(role, source))
    return tuple(uses)


def _model(spec: FineTuneJobSpec, model: CatalogModel | None) -> dict[str, str] | None:
    """Repository and revision of the weights, when they are not on the storage."""
    if spec.weights_path is not None:
        return None
    if spec.model.type is ModelType.HUGGING_FACE and spec.model.hugging_face is not None:
        return {"repo": spec.model.hugging_face.repo, "revision": spec.model.hugging_face.revision}
    if spec.model.type is ModelType.CATALOG and model is not None and model.spec.weights is not None:
        published = model.spec.weights.hugging_face
        return {"repo": published.repo, "revision": published.revision}
    return None


def _dataset(source: DatasetSource, endpoint: dict[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = {"type": source.type.value}
    if source.hugging_face is not None:
        hub = source.hugging_face
        subset = {} if hub.subset is None else {"subset": hub.subset}
        written["huggingFace"] = {"repo": hub.repo, "revision": hub.revision, "split": hub.split, **subset, **endpoint}
    if source.http is not None:
        written["http"] = {"url": source.http.url, "sha256": source.http.sha256}
    if source.s3 is not None:
        stored = source.s3
        written["s3"] = {"endpoint": stored.endpoint or AWS_ENDPOINT, "bucket": stored.bucket, "key": stored.key}
    return written


def _model_secrets(spec: FineTuneJobSpec) -> Iterator[SecretUse]:
    hub = spec.model.hugging_face
    if hub is not None and hub.token_secret_ref is not None and spec.weights_path is None:
        reference = hub.token_secret_ref
        field = "spec.model.huggingFace.tokenSecretRef"
        yield SecretUse("TUNESMITH_MODEL_TOKEN", SecretKey(reference.name, reference.key), field)


def _dataset_secrets(role: str, source: DatasetSource) -> Iterator[SecretUse]:
    prefix, field = f"TUNESMITH_{role.upper()}", f"spec.dataset.{role}"
    if source.hugging_face is not None and source.hugging_face.token_secret_ref is not None:
        reference = source.hugging_face.token_secret_ref
        key = SecretKey(reference.name, reference.key)
        yield SecretUse(f"{prefix}_TOKEN", key, f"{field}.huggingFace.tokenSecretRef")
    if source.s3 is not None and source.s3.credentials_secret_ref is not None:
        name, where = source.s3.credentials_secret_ref.name, f"{field}.s3.credentialsSecretRef"
        yield SecretUse(f"{prefix}_ACCESS_KEY_ID", SecretKey(name, "accessKeyID"), where)
        yield SecretUse(f"{prefix}_SECRET_ACCESS_KEY", SecretKey(name, "secretAccessKey"), where)
