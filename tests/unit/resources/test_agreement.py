"""Python and the API server judge alike: both take what is written or both refuse it, with the same defaults."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.resources.parsing import Invalid, parse
from tunesmith.resources.schema import to_raw
from tunesmith.resources.structural import value_problems

Schema = dict[str, Any]


def _value(schema: Schema, depth: int = 0) -> st.SearchStrategy[Any]:
    """Mostly good values of a schema, and now and then a bad one."""
    wrong = st.sampled_from(["", "Nonsense", "-1", -1, 0, 2**31, True, [], {}])
    good = _good_value(schema, depth)
    return st.integers(0, 15).flatmap(lambda draw: wrong if draw == 0 else good)


def _good_value(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    kind = schema["type"]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.sampled_from([schema["minimum"], min(schema["minimum"] + 2, schema["maximum"]), schema["maximum"]])
    if kind == "string":
        return _text(schema)
    if kind == "array":
        return st.lists(_value(schema["items"], depth + 1), min_size=schema.get("minItems", 0), max_size=2)
    if "additionalProperties" in schema:
        return st.dictionaries(st.sampled_from(["team", "zone"]), _value(schema["additionalProperties"], depth + 1))
    fields = schema.get("properties", {})
    required = {name: _value(fields[name], depth + 1) for name in schema.get("required", [])}
    optional = {name: _value(inner, depth + 1) for name, inner in fields.items() if name not in required}
    if depth > 2:
        optional = {}
    return st.fixed_dictionaries(required, optional=optional)


def _text(schema: Schema) -> st.SearchStrategy[str]:
    samples = [
        "a",
        "12.8",
        "0.5",
        "1",
        "0",
        "2026-01-31T09:00:00Z",
        "2026-02-31T09:00:00Z",
        "a/b",
        "../a",
        "a b",
        "x" * 70,
    ]
    samples += [
        "https://example.com/a",
        "https://me@example.com",
        "0 8 * * *",
        "a" * 64,
        "2e-5",
        "1e-12",
        "A.b",
        "\u00e9",
        "a\n",
    ]
    fitting = [text for text in samples if not list(value_problems(text, schema))]
    return st.sampled_from(fitting * 3 + samples)


@pytest.mark.parametrize("kind", ["GPUCluster", "SharedVolume", "FineTuneJob", "CatalogModel", "GPURegion"])
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_both_judge_alike(api_server, good, kind, data):
    manifest = good(kind)
    fields = api_server.schemas[kind]["properties"]["spec"].get("properties", {})
    for _ in range(data.draw(st.integers(0, 3))):
        if not fields:
            break
        name = data.draw(st.sampled_from(sorted(fields)))
        if data.draw(st.integers(0, 7)) == 0:
            manifest["spec"].pop(name, None)
        else:
            manifest["spec"][name] = data.draw(_value(fields[name]))
    problems = api_server.problems(manifest)
    told = parse(copy.deepcopy(manifest))
    assert isinstance(told, Invalid) is bool(problems), (manifest, problems, told)
    if not isinstance(told, Invalid):
        again = to_raw(told.spec)
        assert parse({**manifest, "spec": again}) == told
        assert parse({**manifest, "spec": api_server.defaulted(manifest)["spec"]}) == told


@pytest.mark.parametrize("kind", ["GPUCluster", "SharedVolume", "FineTuneJob", "CatalogModel", "GPURegion"])
def test_defaults_are_the_same_on_both_sides(api_server, good, kind):
    taken = parse(good(kind))
    assert not isinstance(taken, Invalid)
    assert to_raw(taken.spec) == api_server.defaulted(good(kind))["spec"]
    assert to_raw(taken.status) == api_server.defaulted(good(kind)).get("status")
