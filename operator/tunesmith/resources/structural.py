"""Whether a schema is structural, as the API server demands of CustomResourceDefinitions.

The rules are those of Kubernetes' page on CustomResourceDefinitions; general schema linters miss the worst of them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_LOGIC = ("allOf", "anyOf", "oneOf", "not")
_NOT_IN_LOGIC = {"description", "type", "default", "additionalProperties", "nullable"}
_FORBIDDEN = {
    "$ref",
    "$defs",
    "const",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "examples",
    "id",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "readOnly",
    "title",
    "writeOnly",
    "xml",
}
_TYPES = {"string", "integer", "boolean", "number", "object", "array"}
_AT_ROOT = {"type", "description", "properties", "required", "x-kubernetes-validations"}
# Go's RE2 has neither look-around nor back-references.
_NOT_RE2 = re.compile(r"\(\?[=!<]|\\[1-9]|\(\?P=")


def structural_problems(root: Mapping[str, Any]) -> tuple[str, ...]:
    """What keeps the root schema of a version with a status subresource from being structural; empty if nothing."""
    found = [f"the root may not have `{key}`" for key in root if key not in _AT_ROOT]
    metadata = root.get("properties", {}).get("metadata", {})
    found += [
        f"metadata.{name} may not be restricted"
        for name in metadata.get("properties", {})
        if name not in {"name", "generateName"}
    ]
    return (*found, *_node(root, ""))


def _node(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    place = path or "root"
    yield from _keywords(schema, place)
    yield from _logic(schema, place)
    if "default" in schema:
        yield from (f"{place}: the default {problem}" for problem in value_problems(schema["default"], schema))
    for name, inner in schema.get("properties", {}).items():
        yield from _node(inner, f"{path}.{name}")
    if isinstance(schema.get("items"), Mapping):
        yield from _node(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _node(schema["additionalProperties"], f"{path}{{}}")
    yield from _list_type(schema, place)


def _keywords(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    is_free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not is_free and (not isinstance(schema.get("type"), str) or schema["type"] not in _TYPES):
        yield f"{place}: `type` must be one of the six types"
    yield from (f"{place}: `{key}` is forbidden" for key in sorted(_FORBIDDEN & set(schema)))
    if schema.get("uniqueItems"):
        yield f"{place}: `uniqueItems` is forbidden"
    extra = schema.get("additionalProperties")
    if isinstance(extra, bool):
        yield f"{place}: `additionalProperties` must be a schema"
    if extra is not None and "properties" in schema:
        yield f"{place}: `properties` and `additionalProperties` exclude each other"
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        if key in schema and not isinstance(schema[key], bool):
            yield f"{place}: `{key}` must be a boolean"
    if "default" in schema and schema["default"] is None:
        yield f"{place}: `default` must not be null"
    if _NOT_RE2.search(schema.get("pattern", "")):
        yield f"{place}: `pattern` must be RE2"
    if schema.get("type") == "array" and not isinstance(schema.get("items"), Mapping):
        yield f"{place}: `items` must be one schema"


def _logic(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    for key in _LOGIC:
        if key not in schema:
            continue
        members = [schema[key]] if key == "not" else schema[key]
        for member in members:
            yield from (f"{place}: `{word}` may not be inside `{key}`" for word in sorted(_NOT_IN_LOGIC & set(member)))
            yield from (f"{place}: `{word}` is forbidden" for word in sorted(_FORBIDDEN & set(member)))
            outside = schema.get("properties", {})
            for name in member.get("properties", {}):
                if name not in outside:
                    yield f"{place}: `{name}` is inside `{key}` only"


def _list_type(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    kind = schema.get("x-kubernetes-list-type")
    items = schema.get("items", {})
    if kind == "set" and items.get("type") in {"object", "array"}:
        yield f"{place}: only scalars make a set"
    if kind != "map":
        return
    keys = schema.get("x-kubernetes-list-map-keys", [])
    if not keys or items.get("nullable"):
        yield f"{place}: a list map must have keys and items that are not nullable"
    for key in keys:
        if key not in items.get("required", []) and "default" not in items.get("properties", {}).get(key, {}):
            yield f"{place}: the key `{key}` must be required or have a default"


def value_problems(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Why a value does not fit a structural schema; unknown fields do not fit."""
    place = path or "value"
    if not _has_type(value, schema.get("type")):
        yield f"{place} must be of type {schema.get('type')}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} must be one of {schema['enum']}"
    if isinstance(value, str):
        yield from _text_problems(value, schema, place)
    elif isinstance(value, Mapping):
        yield from _object_problems(value, schema, path)
    elif isinstance(value, list):
        yield from _list_problems(value, schema, path)
    elif isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{place} must be between {schema.get('minimum')} and {schema.get('maximum')}"


def _has_type(value: Any, kind: str | None) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _PYTHON_TYPES.get(kind or "", ()))


_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "object": (Mapping,),
    "array": (list,),
}


def _text_problems(value: str, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{place} must have a length between {schema.get('minLength', 0)} and {schema.get('maxLength')}"
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        yield f"{place} must match {schema['pattern']}"


def _object_problems(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    place = path or "value"
    yield from (f"{place}.{name} must be set" for name in schema.get("required", []) if name not in value)
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        yield f"{place} must have between {schema.get('minProperties', 0)} and {schema.get('maxProperties')} entries"
    extra = schema.get("additionalProperties")
    for name, inner in value.items():
        known = extra if extra is not None else schema.get("properties", {}).get(name)
        if known is None:
            yield f"{path}.{name} is not a field"
        else:
            yield from value_problems(inner, known, f"{path}.{name}")


def _list_problems(value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    place = path or "value"
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{place} must have between {schema.get('minItems', 0)} and {schema.get('maxItems')} items"
    for index, inner in enumerate(value):
        yield from value_problems(inner, schema["items"], f"{path}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") in {"map", "set"}:
        marks = [
            repr([item.get(key) for key in keys]) if keys and isinstance(item, Mapping) else repr(item)
            for item in value
        ]
        if len(set(marks)) < len(marks):
            yield f"{place} must not have two items alike"
