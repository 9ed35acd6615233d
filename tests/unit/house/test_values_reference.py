"""The page of the chart's values is what the values say."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPEC = importlib.util.spec_from_file_location("values_reference", ROOT / "tools" / "values_reference.py")
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)


def test_the_page_is_current():
    assert (ROOT / reference.PAGE).read_text() == reference.page((ROOT / reference.VALUES).read_text())


def test_a_value_without_a_comment_is_refused_by_its_path():
    with pytest.raises(reference.UndescribedValueError, match=r"`metrics\.port`"):
        reference.page("metrics:\n  # Whether.\n  enabled: true\n  port: 8080\n")


def test_a_mapping_that_is_described_as_a_whole_is_one_row():
    page = reference.page("# What it may use.\nresources:\n  requests:\n    cpu: 100m\n")
    assert '| `resources` | `{"requests": {"cpu": "100m"}}` | What it may use. |' in page
