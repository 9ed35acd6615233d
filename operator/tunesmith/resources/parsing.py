"""From what the API returns to a typed resource, or to the one thing that is wrong with it. It never raises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.gpu_region import GPURegion
from tunesmith.resources.shared_volume import SharedVolume

AnyResource = GPUCluster | SharedVolume | FineTuneJob | CatalogModel | GPURegion

MODELS: dict[str, type[AnyResource]] = {
    "GPUCluster": GPUCluster,
    "SharedVolume": SharedVolume,
    "FineTuneJob": FineTuneJob,
    "CatalogModel": CatalogModel,
    "GPURegion": GPURegion,
}


@dataclass(frozen=True)
class Invalid:
    """A resource that cannot be read: where it is wrong, and what is wrong."""

    path: str
    message: str


def parse(raw: Mapping[str, Any]) -> AnyResource | Invalid:
    """The typed resource, or the first thing that is wrong. Unknown fields of a status are let pass."""
    kind = raw.get("kind")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return Invalid("kind", f"The kind '{kind}' is not one of Tunesmith's: {', '.join(MODELS)}.")
    try:
        return model.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        return _first(error)


def _first(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False, include_context=False)[0]
    path = ".".join(str(piece) for piece in first["loc"])
    return Invalid(path or "spec", first["msg"].removeprefix("Value error, "))
