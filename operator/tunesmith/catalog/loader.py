"""The bundled catalogue: the models that the provider names, their limits, weights and shapes, as of a dated snapshot.

The data is `models.json` beside this module, with its provenance. Nothing here asks the provider; newer limits come as
CatalogModel resources of source `Provider`.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from tunesmith.catalog.shape import ModelShape, shape_from_row
from tunesmith.resources.catalog_model import (
    CatalogModelSpec,
    CatalogSource,
    Limits,
    ModelTask,
    Weights,
    WeightsRepository,
)
from tunesmith.resources.fine_tune_job_training import Precision
from tunesmith.resources.metadata import API_VERSION
from tunesmith.resources.schema import to_raw


@dataclass(frozen=True)
class BundledModel:
    """One row: the name of its CatalogModel object, that object's spec, and the shape, where it is known.

    `weights_confidence` is 'read' where the model's own files were seen, 'derived' where a sibling's were, None where
    nothing is known of the weights.
    """

    name: str
    spec: CatalogModelSpec
    shape: ModelShape | None
    weights_confidence: str | None

    def as_resource(self) -> dict[str, Any]:
        """The CatalogModel to apply, as the API takes it."""
        return {
            "apiVersion": API_VERSION,
            "kind": "CatalogModel",
            "metadata": {"name": self.name},
            "spec": to_raw(self.spec),
        }


def object_name(model_id: str) -> str:
    """Name of the CatalogModel of a provider's id: lower case, every other character a '-'."""
    return re.sub(r"[^a-z0-9]", "-", model_id.lower())


@cache
def bundled() -> tuple[BundledModel, ...]:
    """All bundled models, in the order of the provider's table."""
    document = _document()
    return tuple(_model(row, document["snapshotDate"]) for row in document["models"])


def find_bundled(name_or_id: str) -> BundledModel | None:
    """The bundled model of that object name, provider's id or repository of the Hub."""
    return _index().get(name_or_id)


def known_shape(model: CatalogModelSpec) -> ModelShape | None:
    """The shape of a row's model, whoever wrote the row: by the row's id, else by where its weights are."""
    names = (model.id, *(() if model.weights is None else (model.weights.hugging_face.repo,)))
    found = (find_bundled(name) for name in names)
    return next((each.shape for each in found if each is not None and each.shape is not None), None)


def snapshot_date() -> str:
    """The day of which the bundled rows speak, as YYYY-MM-DD."""
    return str(_document()["snapshotDate"])


def provenance() -> MappingProxyType[str, str]:
    """Where each part of the data comes from, in sentences."""
    return MappingProxyType(_document()["provenance"])


@cache
def _document() -> dict[str, Any]:
    text = files("tunesmith.catalog").joinpath("models.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def _index() -> MappingProxyType[str, BundledModel]:
    by_name = {model.name: model for model in bundled()}
    by_id = {model.spec.id: model for model in bundled()}
    by_repo = {model.spec.weights.hugging_face.repo: model for model in bundled() if model.spec.weights is not None}
    return MappingProxyType({**by_repo, **by_name, **by_id})


def _model(row: dict[str, Any], date: str) -> BundledModel:
    weights = row.get("weights")
    shape = row.get("shape")
    parameters = row.get("parametersBillions")
    precision = row.get("precision")
    return BundledModel(
        name=object_name(row["id"]),
        spec=CatalogModelSpec(
            id=row["id"],
            display_name=row["displayName"],
            organization=row["organization"],
            tasks=tuple(ModelTask(task) for task in row["tasks"]),
            parameters_billions=Decimal(parameters) if parameters else None,
            weights=_weights(weights) if weights else None,
            limits=Limits.model_validate(row["limits"]) if "limits" in row else None,
            precision=Precision(precision) if precision else None,
            snapshot_date=date,
            source=CatalogSource.BUNDLED,
        ),
        shape=shape_from_row(shape) if shape else None,
        weights_confidence=weights["confidence"] if weights else None,
    )


def _weights(row: dict[str, Any]) -> Weights:
    return Weights(
        hugging_face=WeightsRepository(repo=row["repo"]),
        gated=row["gated"],
        license=row["license"],
        source=f"{row['source']} ({row['confidence']})",
    )
