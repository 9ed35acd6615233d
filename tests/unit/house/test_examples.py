"""Every manifest under `examples/` is one that the operator acts on."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tunesmith.resources.not_implemented import set_but_not_implemented
from tunesmith.resources.parsing import Invalid, parse

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "examples").rglob("*.yaml"))
GITOPS_GROUPS = ("argoproj.io/", "kustomize.toolkit.fluxcd.io/")
DOCUMENTS = [(file, document) for file in FILES for document in yaml.safe_load_all(file.read_text())]
OURS = [each for each in DOCUMENTS if each[1]["apiVersion"].startswith("tunesmith.dev/")]
KUBERNETES = [each for each in DOCUMENTS if not each[1]["apiVersion"].startswith(("tunesmith.dev/", *GITOPS_GROUPS))]


def each_of(documents):
    """A test's `document`, one by one."""
    names = [f"{file.stem}-{document['kind']}-{document['metadata']['name']}" for file, document in documents]
    return pytest.mark.parametrize("document", [document for _, document in documents], ids=names)


every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "examples")))


@every_file
def test_a_manifest_begins_by_saying_what_it_is_for(file):
    assert file.read_text().startswith("# ")


@each_of(DOCUMENTS)
def test_nothing_is_written_down_that_is_empty(document):
    """A null, {} or [] is pruned or defaulted by the API server, and shows up in GitOps tools as a change for ever."""
    assert not list(_empty(document, ""))


@each_of(OURS)
def test_our_kinds_are_read_without_complaint_and_set_nothing_that_is_refused(document):
    resource = parse(document)
    assert not isinstance(resource, Invalid), resource
    assert set_but_not_implemented(resource) == ()


@each_of(KUBERNETES)
def test_kubernetes_own_kinds_are_valid(document):
    kubernetes_validate.validate(document, "1.33", strict=True)


def test_what_a_gitops_tool_would_delete_and_buy_again_is_nowhere():
    for file in (ROOT / "examples" / "gitops").glob("*.yaml"):
        for document in yaml.safe_load_all(file.read_text()):
            written = yaml.safe_dump(document["spec"])
            assert not [option for option in ("force: true", "Force=true", "Replace=true") if option in written]


def _empty(value: Any, path: str) -> Any:
    if value is None or value == {} or value == []:
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _empty(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _empty(inner, f"{path}[{index}]")
