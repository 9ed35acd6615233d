"""Hypothesis strategies for whole resources, read off the structural schemas of our definitions.

Every value fits its field; what several fields demand together is the API server's to judge. Names that lead anywhere
(regions, GPU types, Secrets, volumes) are often those that exist, so that what is generated gets past the first
refusal and deep into the operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import strategies as st
from tests.integration.proof.stage import ROOT

Schema = Mapping[str, Any]
Strategy = st.SearchStrategy[Any]

DEEPEST = 5
LONGEST_TEXT = 60
WHAT_EXISTS: Mapping[str, tuple[str, ...]] = {
    "region": ("us-central-8", "us-central-4"),
    "gpuType": ("H100_SXM", "H200_SXM", "B200_SXM"),
    "projectID": ("proj-acme",),
    "id": ("nvidia-570-22", "pool-acme", "meta-llama/Llama-3-8B"),
    "poolID": ("pool-acme",),
    "cudaVersion": ("12.8", "13.0"),
    "nvidiaDriverVersion": ("570", "595"),
    "timeZone": ("Europe/Berlin", "America/New_York", "Nowhere/At_All"),
    "start": ("0 8 * * 1-5", "0 0 31 2 *", "*/7 * * * *", "61 * * * *"),
    "stop": ("0 18 * * 1-5", "0 0 29 2 *", "not a schedule"),
    "name": ("key", "volume", "rows", "no-such-thing", "vector"),
}
SMALL = {"nodes": 3, "maxNodes": 4, "sizeTiB": 3, "preemptibleNodes": 2, "reservedNodes": 2, "gpus": 16}
"""Numbers that are mostly kept small, so that there is stock for them."""
TEXTS = (
    "a",
    "0",
    "1",
    "12.8",
    "0.5",
    "2e-5",
    "1e-12",
    "A.b",
    "a/b",
    "..",
    "2026-01-31T09:00:00Z",
    "2026-02-31T09:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-10-25T02:30:00+02:00",
    "0 8 * * *",
    "https://example.com/a",
    "https://[::1",
    "{}",
    "{{",
    "x: [",
    "\u0000",
    "\U0001f680",
    "\u202e",
    " ",
    "%s%n",
    "-",
    "true",
)
ANNOTATIONS = (
    "provider-name",
    "paused",
    "abandon",
    "deletion-protection",
    "keep-alive-until",
    "reconcile-requested-at",
    "reacquire-requested-at",
)


def schema_of(kind: str) -> Schema:
    """The structural schema of a kind's spec."""
    for file in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(file.read_text())
        if definition["spec"]["names"]["kind"] == kind:
            spec: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            return spec
    raise KeyError(kind)


def specs(kind: str) -> Strategy:
    """Specs of a kind."""
    return _value(schema_of(kind), "spec", 0)


def annotations() -> Strategy:
    """Annotations of ours with any text, as a user may write them."""
    value = st.one_of(st.sampled_from((*TEXTS, "x" * 300)), st.text(max_size=20))
    names = st.sampled_from([f"tunesmith.dev/{name}" for name in ANNOTATIONS])
    return st.one_of(st.just({}), st.dictionaries(names, value, max_size=2))


def _value(schema: Schema, name: str, depth: int) -> Strategy:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return _number(schema, name)
        case "string":
            return _text(schema, name)
        case "array":
            return _array(schema, name, depth)
    return _object(schema, depth)


def _number(schema: Schema, name: str) -> Strategy:
    low, high = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)
    ordinary = st.integers(low, max(low, min(high, SMALL.get(name, low + 10))))
    edges = st.sampled_from(sorted({low, low + 1 if low < high else low, high}))
    return st.one_of(ordinary, ordinary, ordinary, edges, st.integers(low, high))


def _text(schema: Schema, name: str) -> Strategy:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", LONGEST_TEXT)
    known = [text for text in WHAT_EXISTS.get(name, ()) if shortest <= len(text) <= longest]
    if "pattern" in schema:
        odd = st.from_regex(schema["pattern"], fullmatch=False).map(lambda text: text[:longest].rstrip("\n"))
    else:
        fitting = [text for text in TEXTS if shortest <= len(text) <= longest] or ["x" * max(shortest, 1)]
        # U+0000 and lone surrogates do not travel in JSON; the API server never stores them.
        odd = st.one_of(
            st.sampled_from(fitting),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=shortest, max_size=min(longest, LONGEST_TEXT)),
            st.just("x" * min(longest, 4096)),
        )
    return st.one_of(st.sampled_from(known), st.sampled_from(known), odd) if known else odd


def _array(schema: Schema, name: str, depth: int) -> Strategy:
    least = schema.get("minItems", 0)
    items = _value(schema["items"], name, depth + 1)
    return st.lists(items, min_size=least, max_size=max(least, min(3, schema.get("maxItems", 3))))


def _object(schema: Schema, depth: int) -> Strategy:
    if "additionalProperties" in schema:
        most = min(2, schema.get("maxProperties", 2))
        return st.dictionaries(
            st.sampled_from(["team", "zone", "a.b/c"]),
            _value(schema["additionalProperties"], "", depth + 1),
            min_size=schema.get("minProperties", 0),
            max_size=most,
        )
    fields = schema.get("properties", {})
    required = {name: _value(fields[name], name, depth + 1) for name in schema.get("required", ())}
    optional = {
        name: _value(inner, name, depth + 1)
        for name, inner in fields.items()
        if name not in required and depth < DEEPEST
    }
    if not optional:
        return st.fixed_dictionaries(required)
    # Each optional field is there in one case of four: with all of them at a coin's toss hardly any spec is accepted.
    chosen = st.lists(st.sampled_from(sorted(optional)), max_size=max(2, len(optional) // 4), unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries(required | {name: optional[name] for name in names}))
