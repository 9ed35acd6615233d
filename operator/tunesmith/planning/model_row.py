"""Which row of the catalogue speaks of a job's model: the one that it names, or the one of the same repository.

A user who names a repository of the Hub gets what is known of it, as if the row had been named. Of several rows of one
repository the user's own counts, then the provider's newest word, then what came with the operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.resources.catalog_model import CatalogSource
from tunesmith.resources.fine_tune_job import FineTuneJob

Row = Mapping[str, Any]  # a CatalogModel as stored
PRECEDENCE = (CatalogSource.USER, CatalogSource.PROVIDER, CatalogSource.BUNDLED)


def row_of(job: FineTuneJob, rows: Iterable[Row]) -> Row | None:
    """The row of the job's model, if there is one."""
    return min((row for row in rows if names_model(job, row)), key=lambda row: _rank(job, row), default=None)


def names_model(job: FineTuneJob, row: Row) -> bool:
    """Whether the row speaks of the job's model: by object name, by the provider's id, or by where the weights are."""
    model = job.spec.model
    named = model.catalog.name if model.catalog is not None else None
    return _speaks_of(row, named, model.hugging_face.repo if model.hugging_face is not None else None)


def stored_job_names(job: Mapping[str, Any], row: Row) -> bool:
    """The same of a job as it is stored: when the catalogue changes, each of its rows asks this of every job."""
    model = (job.get("spec") or {}).get("model") or {}
    return _speaks_of(row, (model.get("catalog") or {}).get("name"), (model.get("huggingFace") or {}).get("repo"))


def _speaks_of(row: Row, named: str | None, repository: str | None) -> bool:
    spec = row.get("spec") or {}
    if named is not None:
        return named in {_name(row), spec.get("id")}
    published = ((spec.get("weights") or {}).get("huggingFace") or {}).get("repo")
    if repository is None or not isinstance(published, str):
        return False
    # The Hub answers to any spelling of a name, in capitals or not.
    return published.casefold() == repository.casefold()


def _rank(job: FineTuneJob, row: Row) -> tuple[int, str]:
    """The lowest counts. Of rows that a job names the object's name is surer than an id, which two may have."""
    named = job.spec.model.catalog
    if named is not None:
        return 0 if named.name == _name(row) else 1, _name(row)
    source = (row.get("spec") or {}).get("source", CatalogSource.USER)
    return PRECEDENCE.index(source) if source in PRECEDENCE else len(PRECEDENCE), _name(row)


def _name(row: Row) -> str:
    return str((row.get("metadata") or {}).get("name", ""))
