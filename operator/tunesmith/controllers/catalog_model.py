"""CatalogModel: the status of each row, and the bundled rows, applied when the operator starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.catalog.loader import bundled
from tunesmith.controllers.controller import Key, key_of
from tunesmith.controllers.ports import Ports
from tunesmith.kube.errors import KubeError
from tunesmith.planning.catalog_model import ModelObservation, decide, rows_to_apply
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Action, Decision, ErrorClass
from tunesmith.planning.model_row import stored_job_names
from tunesmith.resources.catalog_model import CatalogModel, CatalogModelStatus

Raw = Mapping[str, Any]
CATALOG = "Catalog"
BUNDLED = Key(CATALOG, "", "bundled")
NOT_LISTED_SECONDS = 1.0
OF_ONE_ROW = frozenset({ErrorClass.BAD_REQUEST, ErrorClass.INVALID, ErrorClass.CONFLICT})


class CatalogModelController:
    """Rows have no actions."""

    kind = "CatalogModel"

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> ModelObservation:
        """The row itself."""
        return ModelObservation(around, CatalogModel.model_validate(raw))

    def decide(self, seen: ModelObservation) -> Decision[CatalogModelStatus]:
        """The pure decision."""
        return decide(seen)

    async def act(self, seen: ModelObservation, action: Action) -> object:
        """A row has no actions of its own."""
        raise TypeError(f"{type(action).__name__} is not an action of a CatalogModel")

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """Jobs of this model."""
        for job in self._ports.cache.list("FineTuneJob"):
            if stored_job_names(job, raw):
                yield key_of(job)

    def forget(self, key: Key) -> None:
        """Nothing is remembered of a row."""


class BundledCatalog:
    """Works on the one key BUNDLED, to be woken once at start; also puts back what somebody deleted or bent."""

    kind = CATALOG

    def __init__(self, ports: Ports, look_again_seconds: float = 3600.0) -> None:
        self._ports = ports
        self._look_again_seconds = look_again_seconds

    async def work(self, key: Key) -> float | None:
        """Compare first, then apply only what differs: a restart writes nothing.

        A row that is refused keeps back no other: its `KubeError` is raised after all were tried.
        """
        if not self._ports.cache.synced("CatalogModel"):
            return NOT_LISTED_SECONDS
        present = {str(raw["metadata"]["name"]): raw for raw in self._ports.cache.list("CatalogModel")}
        refused: KubeError | None = None
        for manifest in rows_to_apply(bundled(), present):
            try:
                await self._ports.kube.apply(manifest)
            except KubeError as error:
                if error.failure.error not in OF_ONE_ROW:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused
        return self._look_again_seconds
