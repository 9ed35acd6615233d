"""The generated definitions are current, structural, conventional, bounded and small; their tables show something."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from tunesmith.resources.conventions import convention_problems
from tunesmith.resources.crd import NotRepresentableError, custom_resource_definition, root_schema, structural_form
from tunesmith.resources.generator import generated_files, main, stale_files, write_files
from tunesmith.resources.kinds import KINDS, Kind
from tunesmith.resources.structural import structural_problems

ROOT = Path(__file__).parents[3]
Schema = dict[str, Any]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def test_the_generated_files_are_what_the_models_say():
    assert stale_files(ROOT) == ()


def test_check_names_a_stale_file_and_writing_mends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--check"]) == 1
    assert "run `make generate`" in capsys.readouterr().err
    write_files(tmp_path)
    assert main(["--check"]) == 0
    (tmp_path / "crds" / "old.yaml").write_text("left over")
    assert stale_files(tmp_path) == (Path("crds/old.yaml"),)


def test_the_chart_has_the_same_definitions_and_keeps_them():
    for path, text in generated_files().items():
        if "templates" not in path.parts:
            continue
        assert text.splitlines()[1] == "{{- if .Values.crds.enabled }}"
        assert "helm.sh/resource-policy: keep" in text
        assert "argocd.argoproj.io/sync-options" in text
        plain = yaml.safe_load(re.sub(r"^\s*\{\{.*\}\}\n", "", text, flags=re.MULTILINE))
        assert plain["spec"] == yaml.safe_load((ROOT / "crds" / path.name).read_text())["spec"]


@by_kind
def test_a_schema_is_structural_and_conventional(kind):
    assert structural_problems(root_schema(kind)) == ()
    assert convention_problems(root_schema(kind)) == ()


@by_kind
def test_a_definition_is_small_and_holds_no_pod(kind):
    text = json.dumps(custom_resource_definition(kind))
    assert len(text.encode()) < 256 * 1024
    assert "preserve-unknown" not in text
    assert '"initContainers"' not in text


@by_kind
def test_a_definition_has_status_category_and_a_table(kind):
    spec = custom_resource_definition(kind)["spec"]
    version = spec["versions"][0]
    names = {column["name"] for column in version["additionalPrinterColumns"]}
    assert version["subresources"]["status"] == {}
    assert spec["names"]["categories"] == ["tunesmith"]
    assert {"Age", "Ready"} <= names
    assert len(names) >= 4
    assert len(version.get("selectableFields", [])) <= 8
    shown = [column for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert len(shown) <= 8


def test_short_names_are_unique_and_nobody_elses():
    ours = [kind.short_name for kind in KINDS]
    assert ours == ["gpuc", "shvol", "ftj", "cmodel", "gpureg"]
    assert not set(ours) & {"po", "svc", "no", "ns", "cm", "pv", "pvc", "sa", "ds", "rs", "cj", "hpa", "gc", "sv", "ft"}


def _at(schema: Schema, path: str) -> Schema:
    condition = re.fullmatch(r"\.status\.conditions\[\?\(@\.type==\"[A-Za-z]+\"\)\]\.(\w+)", path)
    if condition:
        return schema["properties"]["status"]["properties"]["conditions"]["items"]["properties"][condition[1]]
    for name in path.strip(".").split("."):
        schema = schema["properties"][name]
    return schema


@by_kind
def test_every_column_shows_a_field_of_its_type(kind):
    for column in kind.columns:
        if column.path == ".metadata.creationTimestamp":
            continue
        field = _at(root_schema(kind), column.path)
        expected = {"date": "string", "string": ("string", "array")}.get(column.type, column.type)
        assert field["type"] in expected, column.name
        if column.type == "date":
            assert field["format"] == "date-time"


FILLED: dict[str, Schema] = {
    "GPUCluster": {
        "spec": {"gpuType": "H100_SXM", "region": "us-central-8"},
        "status": {
            "nodes": {"desired": 2, "ready": 2},
            "cost": {"hourlyUSD": "35.84", "computeUSD": "99.00", "idleUSD": "1.00", "uncertainUSD": "0.50"},
            "clusterID": "c-1",
            "choice": {"region": "us-central-8", "gpuType": "H100_SXM"},
            "providerName": "ts-a-b",
        },
    },
    "SharedVolume": {
        "spec": {"deletionPolicy": "Retain"},
        "status": {
            "sizeTiB": 2,
            "region": "us-central-8",
            "boundTo": "trainers",
            "volumeID": "v-1",
            "cost": {"hourlyUSD": "0.45", "computeUSD": "12.00"},
        },
    },
    "FineTuneJob": {
        "spec": {"method": {"type": "SFT"}, "resources": {"gpus": 16}},
        "status": {
            "modelName": "Qwen/Qwen3-0.6B",
            "state": "Training",
            "progress": {
                "percent": 40,
                "step": 4,
                "loss": "1.25",
                "tokensPerSecond": 9000,
                "etaSeconds": 60,
                "modelFLOPUtilization": "0.25",
            },
            "clusterName": "trainers",
            "plan": {"gpus": 16},
            "checkpoint": {"step": 3},
            "output": {"path": "outputs/a"},
        },
    },
    "CatalogModel": {
        "spec": {
            "id": "a/b",
            "organization": "A",
            "parametersBillions": "0.6",
            "precision": "AMP",
            "source": "Bundled",
            "weights": {"huggingFace": {"repo": "a/b"}},
            "limits": {
                "contextLengthSFT": 1024,
                "contextLengthDPO": 1024,
                "minBatchSize": 8,
                "maxBatchSizeSFT": 8,
                "maxBatchSizeDPO": 8,
            },
        },
        "status": {},
    },
    "GPURegion": {
        "spec": {},
        "status": {
            "gpuTypes": ["H100_SXM"],
            "offer": "H100_SXM",
            "drivers": "570",
            "refreshedTime": "2026-01-01T00:00:00Z",
        },
    },
}
READY = {"type": "Ready", "status": "True", "reason": "InOrder", "message": "All is well."}


def _shown(value: Any, path: str) -> Any:
    condition = re.fullmatch(r"\.status\.conditions\[\?\(@\.type==\"([A-Za-z]+)\"\)\]\.(\w+)", path)
    if condition:
        return next(c[condition[2]] for c in value["status"]["conditions"] if c["type"] == condition[1])
    for name in path.strip(".").split("."):
        value = value[name]
    return value


@by_kind
def test_no_column_of_a_filled_resource_is_blank(kind: Kind):
    resource = copy.deepcopy(FILLED[kind.name])
    resource["status"]["conditions"] = [READY]
    resource["metadata"] = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    python = {"integer": int, "string": str, "date": str}
    for column in kind.columns:
        shown = _shown(resource, column.path)
        assert isinstance(shown, python[column.type]), column.name
        assert shown not in ("", [])


def test_scale_reads_integers_and_a_string():
    kind = KINDS[0]
    assert kind.scale is not None
    schema = root_schema(kind)
    assert _at(schema, kind.scale.spec_path)["type"] == "integer"
    assert _at(schema, kind.scale.status_path)["type"] == "integer"
    assert _at(schema, kind.scale.selector_path)["type"] == "string"


def _spec(change: Callable[[Schema], None]) -> Schema:
    schema = root_schema(KINDS[1])
    change(schema["properties"]["spec"])
    return schema


MUTATIONS: dict[str, Callable[[Schema], Any]] = {
    "no type": lambda spec: spec["properties"]["region"].pop("type"),
    "reference": lambda spec: spec["properties"]["region"].update({"$ref": "#/x"}),
    "or null": lambda spec: spec["properties"]["region"].update(anyOf=[{"type": "string"}, {"type": "null"}]),
    "null default": lambda spec: spec["properties"]["region"].update(default=None),
    "const": lambda spec: spec["properties"]["region"].update(const="a"),
    "closed object": lambda spec: spec["properties"]["growth"].update(additionalProperties=False),
    "open object": lambda spec: spec["properties"]["growth"].update(additionalProperties=True),
    "object and map": lambda spec: spec["properties"]["growth"].update(additionalProperties={"type": "string"}),
    "numeric exclusive": lambda spec: spec["properties"]["sizeTiB"].update(exclusiveMinimum=0),
    "unique items": lambda spec: spec["properties"]["regions"].update(uniqueItems=True),
    "tuple": lambda spec: spec["properties"]["regions"].update(prefixItems=[{"type": "string"}]),
    "title": lambda spec: spec["properties"]["region"].update(title="Region"),
    "discriminator": lambda spec: spec["properties"]["growth"].update(discriminator={"propertyName": "type"}),
    "property names": lambda spec: spec["properties"]["growth"].update(propertyNames={"maxLength": 3}),
    "look-ahead": lambda spec: spec["properties"]["region"].update(pattern="^(?!a).*$"),
    "back-reference": lambda spec: spec["properties"]["region"].update(pattern=r"^(a)\1$"),
    "wrong default": lambda spec: spec["properties"]["bindingMode"].update(default="Sometime"),
    "unknown in default": lambda spec: spec["properties"]["growth"].update(
        default={"whenUsedPercent": 80, "maxTiB": 1, "x": 1}
    ),
    "type inside logic": lambda spec: spec["properties"]["growth"].update(oneOf=[{"type": "object"}]),
    "field inside logic only": lambda spec: spec["properties"]["growth"].update(
        anyOf=[{"properties": {"other": {"minimum": 1}}}]
    ),
    "set of objects": lambda spec: spec["properties"]["regions"].update(
        {"x-kubernetes-list-type": "set", "items": {"type": "object"}}
    ),
    "map without keys": lambda spec: spec["properties"]["regions"].update({"x-kubernetes-list-type": "map"}),
}


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_the_checker_finds_every_form_that_is_not_structural(change):
    assert structural_problems(_spec(change)) != ()


def test_the_checker_guards_root_and_metadata():
    schema = root_schema(KINDS[1])
    assert structural_problems({**schema, "oneOf": [{}]}) != ()
    schema["properties"]["metadata"] = {"type": "object", "properties": {"labels": {"type": "object"}}}
    assert structural_problems(schema) != ()


BROKEN_CONVENTIONS: dict[str, Callable[[Schema], Any]] = {
    "float": lambda spec: spec["properties"]["sizeTiB"].update(type="number"),
    "boolean": lambda spec: spec["properties"].update(wanted={"type": "boolean", "description": "a"}),
    "no description": lambda spec: spec["properties"]["region"].pop("description"),
    "lower-case enum": lambda spec: spec["properties"]["bindingMode"].update(enum=["immediate"]),
    "unbounded string": lambda spec: spec["properties"]["region"].pop("maxLength"),
    "unbounded list": lambda spec: spec["properties"]["regions"].pop("maxItems"),
    "unbounded integer": lambda spec: spec["properties"]["sizeTiB"].pop("maximum"),
    "no list type": lambda spec: spec["properties"]["regions"].pop("x-kubernetes-list-type"),
    "map": lambda spec: spec["properties"].update(
        things={"type": "object", "description": "a", "additionalProperties": {"type": "string", "maxLength": 1}}
    ),
    "name": lambda spec: spec["properties"].update(
        startTimestamp={"type": "string", "description": "a", "maxLength": 9}
    ),
    "foreign namespace": lambda spec: spec["properties"]["credentialsRef"]["properties"].update(
        namespace={"type": "string", "description": "a", "maxLength": 9}
    ),
    "required and defaulted": lambda spec: spec.update(required=["bindingMode"]),
    "message": lambda spec: spec["x-kubernetes-validations"][0].update(message="nope"),
}


@pytest.mark.parametrize("change", BROKEN_CONVENTIONS.values(), ids=BROKEN_CONVENTIONS.keys())
def test_the_linter_finds_every_broken_convention(change):
    assert convention_problems(_spec(change)) != ()


class _Free(BaseModel):
    anything: dict[str, Any] = Field(default_factory=dict)


class _Mixed(BaseModel):
    either: int | str = 0


class _Pair(BaseModel):
    pair: tuple[int, str] = (0, "")


class _Float(BaseModel):
    share: float = 0.5


class _Tree(BaseModel):
    children: tuple["_Tree", ...] = ()


@pytest.mark.parametrize("model", [_Free, _Mixed, _Pair, _Float, _Tree])
def test_what_no_structural_schema_can_say_is_refused(model):
    with pytest.raises(NotRepresentableError):
        structural_form(model)
