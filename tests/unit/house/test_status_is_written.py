"""A field of a job's status is written by a decision, or its description says that nobody tells it yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from tunesmith.resources.crd import root_schema
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus
from tunesmith.resources.kinds import FINE_TUNE_JOB
from tunesmith.resources.metadata import Status
from tunesmith.resources.not_implemented import NOT_WRITTEN_YET
from tunesmith.resources.schema import field_alias

PLANNING = Path(__file__).parents[3] / "operator/tunesmith/planning"
OF_EVERY_KIND = set(Status.model_fields)
LISTED = NOT_WRITTEN_YET["FineTuneJob"]


def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from parts_of(each)


def fields_of(model: type[BaseModel], path: str = "status") -> Iterator[tuple[str, str]]:
    """Every field below, as path and attribute."""
    for attribute, field in model.model_fields.items():
        if model is FineTuneJobStatus and attribute in OF_EVERY_KIND:
            continue
        below = f"{path}.{field_alias(attribute, field)}"
        yield below, attribute
        for part in parts_of(field.annotation):
            yield from fields_of(part, below)


FIELDS = tuple(fields_of(FineTuneJobStatus))
OF_JOBS = "".join(
    text
    for path in PLANNING.rglob("*.py")
    if re.search("fine_tune_job_status|job_observation", text := path.read_text(encoding="utf-8"))
)


def is_listed(path: str) -> bool:
    return any(path == listed or path.startswith(f"{listed}.") for listed in LISTED)


@pytest.mark.parametrize(("path", "attribute"), FIELDS, ids=lambda each: each)
def test_a_field_of_a_jobs_status_is_written_or_listed(path, attribute):
    written = re.search(rf'\b{attribute}=|"{attribute}"', OF_JOBS) is not None
    assert written or is_listed(path)


def test_what_is_listed_exists_and_says_so():
    assert set(LISTED) <= {path for path, _ in FIELDS}
    for path in (path for path, _ in FIELDS if is_listed(path)):
        node = root_schema(FINE_TUNE_JOB)
        for name in path.split("."):
            node = node.get("items", node)["properties"][name]
        assert node["description"].endswith("Not told yet.")
