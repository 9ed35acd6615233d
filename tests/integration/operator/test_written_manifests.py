"""What the documents and `examples/` write down of our kinds is what a real API server takes, to the last field.

A block with `apiVersion` and `kind` is whole; one without is a piece, and the page says of what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.proof.stage import path_of

from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.kubeconfig import KubernetesApi

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
BEGINS = re.compile(r"^\s*apiVersion: *[\"']?tunesmith\.dev/", re.MULTILINE)


def ours(text: str) -> Iterator[dict[str, Any]]:
    """The resources of ours in a YAML text."""
    for document in yaml.safe_load_all(text):
        if isinstance(document, dict) and str(document.get("apiVersion")).startswith("tunesmith.dev/"):
            yield document


def written(file: Path) -> list[dict[str, Any]]:
    """The resources of ours in an example, or in the blocks of a page."""
    text = file.read_text()
    if file.suffix == ".yaml":
        return list(ours(text))
    return [found for block in FENCED.findall(text) if BEGINS.search(block) for found in ours(block)]


WRITTEN = [
    pytest.param(manifest, id=f"{file.relative_to(ROOT)}#{number}")
    for file in (*PAGES, *EXAMPLES)
    for number, manifest in enumerate(written(file))
]


def test_none_is_overlooked() -> None:
    for file in (*PAGES, *EXAMPLES):
        assert len(written(file)) == len(BEGINS.findall(file.read_text())), file.relative_to(ROOT)
    assert {file.suffix for file in (*PAGES, *EXAMPLES) if written(file)} == {".md", ".yaml"}


@pytest.mark.parametrize("manifest", WRITTEN)
def test_the_api_server_takes_it_as_it_is_written(installed: Cluster, manifest: dict[str, Any]) -> None:
    path = path_of(manifest["kind"], "default")
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    with KubernetesApi(installed.kubeconfig) as api:
        taken = api.post(f"{path}?dryRun=All&fieldValidation=Strict", {**manifest, "metadata": metadata})
    assert taken["spec"].keys() >= manifest["spec"].keys()
