"""CatalogModel: rows of the bundled catalogue are kept as they came with the operator; users' rows are left alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.catalog.loader import BundledModel
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Decision
from tunesmith.planning.verdict import Standing, Summary, told
from tunesmith.resources.catalog_model import CONDITIONS, CatalogModel, CatalogModelStatus, CatalogSource


@dataclass(frozen=True)
class ModelObservation:
    """One row."""

    around: Circumstances
    model: CatalogModel


def decide(seen: ModelObservation) -> Decision[CatalogModelStatus]:
    """A row that can be read can be named by jobs: there is nothing to wait for."""
    status = told(
        seen.model.status,
        Summary(Standing.DONE, "Catalogued", "Jobs can name this model."),
        {},
        order=CONDITIONS,
        generation=seen.model.metadata.generation,
        now=seen.around.now,
    )
    return Decision(status=status)


def rows_to_apply(
    bundled: Iterable[BundledModel], present: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """Manifests of bundled rows that are absent or differ from the resource of their name (`present`, as stored).

    A row that a user wrote, or that was refreshed from the provider, keeps what it says.
    """
    manifests = (model.as_resource() for model in bundled)
    return tuple(row for row in manifests if _is_ours_and_differs(row, present.get(row["metadata"]["name"])))


def _is_ours_and_differs(row: Mapping[str, Any], stored: Mapping[str, Any] | None) -> bool:
    if stored is None:
        return True
    spec = stored.get("spec") or {}
    return spec.get("source") == CatalogSource.BUNDLED.value and spec != row["spec"]
