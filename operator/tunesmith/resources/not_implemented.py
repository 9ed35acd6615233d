"""The tables of fields that nothing acts on, or that nobody writes yet; and the question which of them a resource sets.

A resource that sets one is refused (`Stalled`, reason `NotImplemented`, the field's path) rather than half obeyed. A
value equal to the default is not "set". An entry is removed in the change that makes its field work.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from tunesmith.resources.parsing import AnyResource
from tunesmith.resources.schema import field_alias

# A path names a field and all that is below it.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "FineTuneJob": (
        "spec.output.publish",
        "spec.resources.gpuType",
        "spec.resources.preemptible",
        "spec.placement.selector",
        "spec.placement.template.budget",
        "spec.placement.onClusterLost",
        "spec.queue",
        "spec.suspend",
        "spec.recovery.lowUtilization",
        "spec.recovery.holdOnFailureSeconds",
        "spec.preflight",
        "spec.budget",
        "spec.retention",
    ),
}

# Fields of the status that are always absent. A path names a field and all that is below it.
NOT_WRITTEN_YET: Final[Mapping[str, tuple[str, ...]]] = {
    "FineTuneJob": (
        "status.pinned.imageDigest",
        "status.output.published",
        "status.cost",
    ),
}


def set_but_not_implemented(resource: AnyResource) -> tuple[str, ...]:
    """The paths of the table that the resource sets to something other than their default."""
    return tuple(path for path in FIELDS.get(resource.kind, ()) if _differs(resource, path.split(".")))


def _differs(part: BaseModel, path: list[str]) -> bool:
    name, *rest = path
    attribute, default = _field(part, name)
    value: Any = getattr(part, attribute)
    if not rest:
        return bool(value != default)
    return isinstance(value, BaseModel) and _differs(value, rest)


def _field(part: BaseModel, name: str) -> tuple[str, Any]:
    for attribute, field in type(part).model_fields.items():
        if field_alias(attribute, field) == name:
            return attribute, field.get_default(call_default_factory=True, validated_data={})
    raise KeyError(f"{type(part).__name__} has no field '{name}': mend the table in not_implemented.py")
