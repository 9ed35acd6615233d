"""The API server's judgement in Python (defaults, schema, CEL), and one good manifest of every kind."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cel
import pytest

from tunesmith.resources.crd import root_schema
from tunesmith.resources.kinds import KINDS
from tunesmith.resources.structural import value_problems
from tunesmith.resources.timestamps import parse_time

Raw = dict[str, Any]


class ApiServer:
    """Judges manifests by the generated schemas, as the real one does on create and update."""

    def __init__(self) -> None:
        self.schemas = {kind.name: root_schema(kind) for kind in KINDS}

    def defaulted(self, manifest: Raw) -> Raw:
        """The manifest with the schema's defaults filled in."""
        result = copy.deepcopy(manifest)
        _fill(result, self.schemas[manifest["kind"]])
        return result

    def problems(self, manifest: Raw, old: Raw | None = None) -> list[str]:
        """Why it would be refused; empty when it is taken."""
        schema = self.schemas[manifest["kind"]]
        after = self.defaulted(manifest)
        before = self.defaulted(old) if old is not None else None
        found = [
            problem
            for part in ("spec", "status")
            if part in after
            for problem in value_problems(after[part], schema["properties"][part], f".{part}")
        ]
        if "spec" in schema.get("required", []) and "spec" not in after:
            found.append(".spec must be set")
        return found or list(_rule_problems(after, before, schema, ""))


def _fill(value: Any, schema: Mapping[str, Any]) -> None:
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                _fill(value[name], inner)
    elif isinstance(value, list):
        for item in value:
            _fill(item, schema.get("items", {}))


def _rule_problems(value: Any, old: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        is_transition = "oldSelf" in rule["rule"]
        if is_transition and old is None:
            continue
        facts = {"self": value, **({"oldSelf": old} if is_transition else {})}
        if cel.evaluate(rule["rule"], facts) is not True:
            yield f"{path}: {rule['message']}"
    if schema.get("format") == "date-time":
        try:
            parse_time(value)
        except ValueError as error:
            yield f"{path}: {error}"
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                before = old.get(name) if isinstance(old, dict) else None
                yield from _rule_problems(value[name], before, inner, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _rule_problems(item, None, schema.get("items", {}), f"{path}[]")


def _manifest(kind: str, name: str, spec: Raw) -> Raw:
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


_GOOD: dict[str, Raw] = {
    "GPUCluster": _manifest("GPUCluster", "trainers", {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 2}),
    "SharedVolume": _manifest("SharedVolume", "data", {"region": "us-central-8", "sizeTiB": 2}),
    "FineTuneJob": _manifest(
        "FineTuneJob",
        "support-bot",
        {
            "model": {"type": "Catalog", "catalog": {"name": "Qwen/Qwen3-0.6B"}},
            "dataset": {"training": {"type": "Path", "path": "data/train.jsonl"}},
            "storage": {"type": "SharedVolume", "sharedVolume": {"name": "data"}},
            "placement": {"type": "Cluster", "cluster": {"name": "trainers"}},
        },
    ),
    "CatalogModel": _manifest(
        "CatalogModel",
        "ours",
        {"id": "ours/small", "displayName": "Small", "organization": "Ours", "tasks": ["FineTune"]},
    ),
    "GPURegion": _manifest("GPURegion", "us-central-8", {}),
}


@pytest.fixture(scope="session")
def api_server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def good() -> Callable[..., Raw]:
    """A manifest that is taken; keyword arguments replace fields of its spec, None removes them."""

    def build(kind: str, **changes: Any) -> Raw:
        manifest = copy.deepcopy(_GOOD[kind])
        for name, value in changes.items():
            if value is None:
                manifest["spec"].pop(name, None)
            else:
                manifest["spec"][name] = value
        return manifest

    return build
