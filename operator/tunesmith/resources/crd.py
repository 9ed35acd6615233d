"""From a kind's pydantic model to its CustomResourceDefinition, with a structural schema; `generator` writes the files.

pydantic's own JSON schema is never a legal CRD schema (`$ref`, `anyOf … null`, `default: null`, `additionalProperties:
false`); what it emits is rewritten here, and what cannot be rewritten is refused.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tunesmith.resources.kinds import Kind
from tunesmith.resources.metadata import CATEGORY, GROUP, NOT_YET_OBSERVED, VERSION
from tunesmith.resources.not_implemented import NOT_WRITTEN_YET
from tunesmith.resources.schema import INT32_MAX

Schema = dict[str, Any]

_NOISE = {"title", "examples", "deprecated", "$defs", "propertyNames", "discriminator"}


class NotRepresentableError(ValueError):
    """A model uses a form that no structural schema has."""


def custom_resource_definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind, as a plain mapping in the usual order of keys."""
    subresources: Schema = {"status": {}}
    if kind.scale is not None:
        subresources["scale"] = {
            "specReplicasPath": kind.scale.spec_path,
            "statusReplicasPath": kind.scale.status_path,
            "labelSelectorPath": kind.scale.selector_path,
        }
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root_schema(kind)},
        "subresources": subresources,
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                "description": column.description,
                **({"priority": column.priority} if column.priority else {}),
            }
            for column in kind.columns
        ],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "scope": kind.scope.value,
            "versions": [version],
        },
    }


def root_schema(kind: Kind) -> Schema:
    """The schema of the whole object."""
    fields = kind.model.model_fields
    spec = _schema_of(fields["spec"].annotation)
    status = _schema_of(fields["status"].annotation)
    status["default"] = {"observedGeneration": NOT_YET_OBSERVED}
    root: Schema = {
        "type": "object",
        "description": _first_paragraph(kind.model),
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of the API, 'tunesmith.dev/v1alpha1'."},
            "kind": {"type": "string", "description": f"Always '{kind.name}'."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    if fields["spec"].is_required():
        root["required"] = ["spec"]
    for path in NOT_WRITTEN_YET.get(kind.name, ()):
        _mark_not_told(root, path.split("."))
    if kind.model.rules:
        root["x-kubernetes-validations"] = [rule.as_schema() for rule in kind.model.rules]
    return root


def _mark_not_told(node: Schema, path: list[str]) -> None:
    """Say of the field at this path, and of all below it, that it is always absent so far."""
    fields: Schema = node.get("items", node).get("properties", {})
    for name in path[:1] or tuple(fields):
        if not path[1:]:
            fields[name]["description"] += " Not told yet."
        _mark_not_told(fields[name], path[1:])


def structural_form(model: type[BaseModel]) -> Schema:
    """The structural schema of a model; NotRepresentableError when it has a form that none can say."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _node(raw, raw.get("$defs", {}), ())


def _schema_of(model: Any) -> Schema:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise NotRepresentableError(f"{model} must be a model")
    return structural_form(model)


def _node(raw: Mapping[str, Any], definitions: Mapping[str, Any], above: tuple[str, ...]) -> Schema:
    """One node of pydantic's schema as a structural one."""
    raw, above = _inlined(raw, definitions, above)
    schema: Schema = {}
    if "description" in raw:
        schema["description"] = " ".join(str(raw["description"]).split())
    if raw.get("type") == "object":
        schema.update(_object(raw, definitions, above))
    elif raw.get("type") == "array":
        schema.update(_array(raw, definitions, above))
    else:
        schema.update(_scalar(raw))
    schema.update({key: value for key, value in raw.items() if key.startswith("x-kubernetes-")})
    if schema["type"] == "array":
        schema.setdefault("x-kubernetes-list-type", "atomic")
    if raw.get("default") not in (None, [], ()):
        schema["default"] = _pruned(raw["default"])
    return schema


def _inlined(
    raw: Mapping[str, Any], definitions: Mapping[str, Any], above: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The node with references replaced by what they name, and `X or null` by X; what stands beside them wins."""
    while "$ref" in raw or "anyOf" in raw or "allOf" in raw:
        beside = {key: value for key, value in raw.items() if key not in {"$ref", "anyOf", "allOf"}}
        if "$ref" in raw:
            name = str(raw["$ref"]).rsplit("/", 1)[-1]
            if name in above:
                raise NotRepresentableError(f"{name} contains itself, which no structural schema can say")
            above = (*above, name)
            inner = definitions[name]
        else:
            members = [member for member in raw.get("anyOf", raw.get("allOf", [])) if member.get("type") != "null"]
            if len(members) != 1:
                raise NotRepresentableError(
                    f"a field must have one type, not {len(members)}: write a union with `type` instead"
                )
            inner = members[0]
        raw = {**inner, **beside}
    return raw, above


def _object(raw: Mapping[str, Any], definitions: Mapping[str, Any], above: tuple[str, ...]) -> Schema:
    schema: Schema = {"type": "object"}
    values = raw.get("additionalProperties")
    if isinstance(values, Mapping):
        schema["additionalProperties"] = _node(values, definitions, above)
        schema.update({key: raw[key] for key in ("minProperties", "maxProperties") if key in raw})
        return schema
    if values is True and "properties" not in raw:
        raise NotRepresentableError("a map must say the type of its values")
    required = [name for name in raw.get("required", []) if "default" not in raw["properties"][name]]
    if required:
        schema["required"] = required
    properties = raw.get("properties", {})
    if properties:
        schema["properties"] = {name: _node(value, definitions, above) for name, value in properties.items()}
    return schema


def _array(raw: Mapping[str, Any], definitions: Mapping[str, Any], above: tuple[str, ...]) -> Schema:
    if "prefixItems" in raw or "items" not in raw or raw.get("uniqueItems"):
        raise NotRepresentableError("an array must have items of one type: write tuple[X, ...]")
    schema: Schema = {"type": "array", "items": _node(raw["items"], definitions, above)}
    schema.update({key: raw[key] for key in ("minItems", "maxItems") if key in raw})
    return schema


def _scalar(raw: Mapping[str, Any]) -> Schema:
    unknown = set(raw) - _NOISE - _SCALAR_KEYS - {key for key in raw if key.startswith("x-kubernetes-")}
    if unknown or raw.get("type") not in {"string", "integer", "boolean"}:
        raise NotRepresentableError(f"no structural schema for {dict(raw)}")
    schema: Schema = {"type": raw["type"]}
    if "const" in raw:
        schema["enum"] = [raw["const"]]
    schema.update({key: raw[key] for key in _KEPT if key in raw})
    if raw["type"] == "integer":
        schema["format"] = "int32" if raw.get("maximum", INT32_MAX + 1) <= INT32_MAX else "int64"
    return schema


_KEPT = ("enum", "format", "pattern", "minLength", "maxLength", "minimum", "maximum")
_SCALAR_KEYS = {"type", "description", "default", "const", *_KEPT}


def _pruned(value: Any) -> Any:
    """A default without what is absent."""
    if isinstance(value, Mapping):
        return {key: _pruned(inner) for key, inner in value.items() if inner not in (None, [], ())}
    return value


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())
