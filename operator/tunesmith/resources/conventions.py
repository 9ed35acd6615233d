"""Whether a schema keeps the Kubernetes API conventions, and the bounds that keep the cost of CEL rules low."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Yes-or-no fields that no third answer will ever join.
BOOLEANS = frozenset(
    {
        "dryRun",
        "enabled",
        "gated",
        "mergeModel",
        "normalizeLogratiosByLength",
        "packing",
        "private",
        "referenceFree",
        "suspend",
    }
)
_MAPS = frozenset({"matchLabels", "nodeSelector", "podAnnotations", "podLabels"})
_PASCAL = re.compile(r"^[A-Z][A-Za-z0-9]*$")
_BAD_NAME = re.compile(r"(Timestamp|Phase|phase|Reference|References|Duration|Timeout|Interval|Deadline)$|_")
_MESSAGE = re.compile(r"\b(must|must not|may not)\b")
CONDITION_FIELDS = {"type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"}


def convention_problems(root: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the root schema of a kind breaks a convention; empty when nowhere."""
    found: list[str] = []
    properties = root["properties"]
    found += [f"the root may not have a field `{name}`" for name in properties if name not in _ROOT_FIELDS]
    for name in ("spec", "status"):
        found += _field(name, properties[name], f".{name}")
    status = properties["status"]
    if status.get("required"):
        found.append(".status may have no required fields")
    if status.get("default") != {"observedGeneration": -1}:
        found.append(".status must default to {observedGeneration: -1}")
    found += _conditions(status["properties"]["conditions"])
    found += _rules(root, "")
    return tuple(found)


_ROOT_FIELDS = {"apiVersion", "kind", "metadata", "spec", "status"}


def _field(name: str, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if not schema.get("description", "").strip():
        yield f"{path} must have a description"
    if _BAD_NAME.search(name):
        yield f"{path} has a name that the conventions forbid"
    yield from _schema(name, schema, path)


def _schema(name: str, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _rules(schema, path)
    kind = schema.get("type")
    if kind == "number":
        yield f"{path} must not be a float"
    if kind == "boolean" and name not in BOOLEANS:
        yield f"{path} must be an enum, or stand on the list of booleans"
    if kind == "integer" and not {"format", "minimum", "maximum"} <= set(schema):
        yield f"{path} must have a format and bounds"
    if kind == "string":
        yield from _text(schema, path)
    if kind == "array":
        yield from _array(name, schema, path)
    if kind == "object":
        yield from _object(name, schema, path)


def _text(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "maxLength" not in schema and "enum" not in schema:
        yield f"{path} must have a `maxLength`"
    if schema.get("format", "date-time") != "date-time":
        yield f"{path} must not have the format '{schema['format']}'"
    is_status = path.endswith(".conditions[].status")
    yield from (
        f"{path}: '{value}' must begin with a capital"
        for value in schema.get("enum", [])
        if not is_status and not _PASCAL.match(value)
    )


def _array(name: str, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "maxItems" not in schema:
        yield f"{path} must have `maxItems`"
    if "x-kubernetes-list-type" not in schema:
        yield f"{path} must say how it is merged"
    if schema["items"].get("type") == "object" and not schema["items"].get("required"):
        yield f"{path}: items must have a required field"
    yield from _schema(name, schema["items"], f"{path}[]")


def _object(name: str, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "x-kubernetes-preserve-unknown-fields" in schema:
        yield f"{path} must not keep unknown fields"
    if name.endswith(("Ref", "Refs")) and "namespace" in schema.get("properties", {}):
        yield f"{path} must not reach into other namespaces"
    values = schema.get("additionalProperties")
    if values is not None:
        if name not in _MAPS or values.get("type") != "string":
            yield f"{path} must be a list of named objects, not a map"
        if "maxProperties" not in schema:
            yield f"{path} must have `maxProperties`"
        yield from _schema(name, values, f"{path}{{}}")
    for inner_name, inner in schema.get("properties", {}).items():
        if inner_name in schema.get("required", []) and "default" in inner:
            yield f"{path}.{inner_name} must not be required and have a default"
        yield from _field(inner_name, inner, f"{path}.{inner_name}")


def _conditions(schema: Mapping[str, Any]) -> Iterator[str]:
    if schema.get("x-kubernetes-list-type") != "map" or schema.get("x-kubernetes-list-map-keys") != ["type"]:
        yield ".status.conditions must be a list map by `type`"
    if set(schema["items"]["properties"]) != CONDITION_FIELDS:
        yield ".status.conditions must have the standard fields"


def _rules(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        if not _MESSAGE.search(rule["message"]):
            yield f"{path}: the message '{rule['message']}' must say what must or may not be"
        if not rule.get("reason"):
            yield f"{path}: the rule '{rule['rule']}' must have a reason"
