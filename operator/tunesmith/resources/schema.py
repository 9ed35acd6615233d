"""The vocabulary in which resources are written: base classes, bounded types, and markers that the CRD generator reads.

A `Rule` carries both of its forms, the CEL expression for the API server and its Python twin for everybody else, side
by side where the fields stand. It holds no resource of its own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from tunesmith.resources.timestamps import TIME_PATTERN, format_time, parse_time

INT32_MAX = 2**31 - 1
# Integers above 2^53 lose digits in JSON readers that use doubles.
INT_JSON_MAX = 2**53 - 1

_ACRONYMS = {
    "api": "API",
    "dpo": "DPO",
    "gib": "GiB",
    "gpu": "GPU",
    "gpus": "GPUs",
    "id": "ID",
    "lora": "LoRA",
    "sft": "SFT",
    "sha256": "SHA256",
    "tib": "TiB",
    "uid": "UID",
    "url": "URL",
    "usd": "USD",
}


def camel_case(name: str) -> str:
    """The API's name of a Python attribute: `project_id` is `projectID`, `size_tib` is `sizeTiB`."""
    first, *rest = name.split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


@dataclass(frozen=True)
class Rule:
    """One CEL rule of a node.

    `holds` is the same rule over the parsed node; it is absent exactly for transition rules (those that name
    `oldSelf`), which only the API server can judge. `field_path` points kubectl at the field, relative to the node.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None
    field_path: str | None = None
    reason: Literal["FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate"] = (
        "FieldValueInvalid"
    )

    @property
    def is_transition(self) -> bool:
        """True when the rule compares with the old object."""
        return "oldSelf" in self.cel

    def as_schema(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        path = {"fieldPath": self.field_path} if self.field_path else {}
        return {"rule": self.cel, "message": self.message, "reason": self.reason, **path}


@dataclass(frozen=True)
class Immutable:
    """Marks a field that may not change after creation, nor be added or removed later.

    The rule is put on the parent, because a rule on an optional field is skipped when the field comes or goes.
    """


IMMUTABLE = Immutable()


@dataclass(frozen=True)
class ListOf:
    """How server-side apply merges an array. Arrays without this marker are `atomic`."""

    merge: Literal["map", "set"]
    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse two items alike, as the API server does."""
        return no_info_after_validator_function(self._without_twins, handler(source))

    def _without_twins(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        marks = [tuple(getattr(item, key) for key in self.keys) if self.keys else item for item in values]
        if len(set(marks)) < len(marks):
            raise ValueError("must not have two items alike")
        return values

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the `x-kubernetes-list-…` keywords."""
        schema = handler(core)
        schema["x-kubernetes-list-type"] = self.merge
        if self.keys:
            schema["x-kubernetes-list-map-keys"] = list(self.keys)
        return schema


class Part(BaseModel):
    """A node of a spec: frozen, unknown fields refused, rules judged when it is parsed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=camel_case,
        populate_by_name=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _judge(self) -> Self:
        broken = [rule.message for rule in self.rules if rule.holds is not None and not rule.holds(self)]
        if broken:
            raise ValueError(" ".join(broken))
        return self

    @classmethod
    def all_rules(cls) -> tuple[Rule, ...]:
        """The node's own rules and those that its immutable fields make."""
        frozen = (
            _immutability(
                field_alias(name, field), always_present=field.is_required() or field.default not in (None, ())
            )
            for name, field in cls.model_fields.items()
            if any(isinstance(marker, Immutable) for marker in field.metadata)
        )
        return (*cls.rules, *frozen)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rules to the node's schema."""
        reference = handler(core)
        rules = cls.all_rules()
        if rules:
            schema = handler.resolve_ref_schema(reference)
            schema["x-kubernetes-validations"] = [rule.as_schema() for rule in rules]
        return reference


class StatusPart(Part):
    """A node of a status: like `Part`, but unknown fields are let pass: a newer operator may have written them."""

    model_config = ConfigDict(extra="ignore")


def _immutability(name: str, *, always_present: bool) -> Rule:
    same = f"self.{name} == oldSelf.{name}"
    if not always_present:
        same = f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || {same})"
    return Rule(
        cel=same,
        message=f"`{name}` may not be changed, added or removed after creation: make another resource instead.",
        field_path=None if not always_present else f".{name}",
        reason="FieldValueForbidden",
    )


def union(values: type[StrEnum], *, needed: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """The rules of a union: `type`, and at most one member, named like it.

    `needed` are the types whose member must be there, `optional` those whose member may be left out; names are values
    of the enum.
    """
    rules: list[Rule] = []
    for value in (*needed, *optional):
        values(value)
        member, attribute = _member_of(value)
        rules.append(
            Rule(
                cel=f"self.type == '{value}' || !has(self.{member})",
                message=f"`{member}` must not be set unless `type` is '{value}'.",
                holds=_only_with(value, attribute),
                reason="FieldValueForbidden",
            )
        )
        if value in needed:
            rules.append(
                Rule(
                    cel=f"self.type != '{value}' || has(self.{member})",
                    message=f"`{member}` must be set when `type` is '{value}'.",
                    holds=_present_with(value, attribute),
                    reason="FieldValueRequired",
                )
            )
    return tuple(rules)


def _member_of(value: str) -> tuple[str, str]:
    if value == "LoRA" or value.isupper():
        return value.lower(), value.lower()
    snake = re.sub(r"(?<!^)([A-Z])", r"_\1", value).lower()
    return camel_case(snake), snake


def _only_with(value: str, attribute: str) -> Callable[[Any], bool]:
    return lambda part: part.type == value or not getattr(part, attribute)


def _present_with(value: str, attribute: str) -> Callable[[Any], bool]:
    return lambda part: part.type != value or bool(getattr(part, attribute))


def at_most_one(*names: str, attributes: tuple[str, ...]) -> Rule:
    """Of two fields, not both."""
    first, second = names
    one, other = attributes
    return Rule(
        cel=f"!has(self.{first}) || !has(self.{second})",
        message=f"`{first}` and `{second}` must not be set together.",
        holds=lambda part: not getattr(part, one) or not getattr(part, other),
        reason="FieldValueForbidden",
    )


def exactly_one(*names: str, attributes: tuple[str, ...]) -> Rule:
    """Of two fields, one and not both."""
    first, second = names
    one, other = attributes
    return Rule(
        cel=f"has(self.{first}) != has(self.{second})",
        message=f"Exactly one of `{first}` and `{second}` must be set.",
        holds=lambda part: bool(getattr(part, one)) != bool(getattr(part, other)),
    )


def doc(description: str, **constraints: Any) -> Any:
    """A field's description, for `kubectl explain` and the reference, with bounds if any."""
    return Field(description=description, **constraints)


def between(least: int, most: int) -> Any:
    """Bounds of an integer, both included."""
    return Field(ge=least, le=most, strict=True)


def items(most: int, *, least: int = 1) -> Any:
    """Bounds of an array. Specs have no empty arrays: leave the field out instead."""
    return Field(min_length=least, max_length=most)


def _text_must_match(pattern: str) -> Callable[[object], object]:
    compiled = re.compile(pattern)

    def check(value: object) -> object:
        if isinstance(value, Decimal):
            return value
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(f"must be a decimal number in quotes that matches {pattern}")
        return value

    return check


def _decimal(pattern: str) -> tuple[Any, ...]:
    schema = {"type": "string", "pattern": pattern, "maxLength": 48}
    plain = PlainSerializer(lambda value: format(value, "f"), return_type=str)
    return (BeforeValidator(_text_must_match(pattern)), plain, WithJsonSchema(schema))


# Decimals are strings in the API, because a JSON number is a double. Fractions have room for what
# `format(value, "f")` writes.
_EXPONENT = "([eE]-?[0-9])?"
_ABOVE_ZERO = _decimal(rf"^([1-9][0-9]{{0,8}}(\.[0-9]{{1,24}})?|0\.0{{0,23}}[1-9][0-9]{{0,23}}){_EXPONENT}$")
_NOT_NEGATIVE = _decimal(rf"^[0-9]{{1,9}}(\.[0-9]{{1,24}})?{_EXPONENT}$")
_ANY_SIGN = _decimal(rf"^-?[0-9]{{1,15}}(\.[0-9]{{1,24}})?{_EXPONENT}$")
_UNIT_INTERVAL = _decimal(r"^(0(\.[0-9]{1,24})?|1(\.0{1,24})?)$")
_BELOW_ONE = _decimal(r"^0(\.[0-9]{1,24})?$")
_MONEY = _decimal(r"^[0-9]{1,12}(\.[0-9]{1,6})?$")

PositiveDecimal = Annotated[Decimal, *_ABOVE_ZERO]
NonNegativeDecimal = Annotated[Decimal, *_NOT_NEGATIVE]
SignedDecimal = Annotated[Decimal, *_ANY_SIGN]
Ratio = Annotated[Decimal, *_UNIT_INTERVAL]
RatioBelowOne = Annotated[Decimal, *_BELOW_ONE]
Dollars = Annotated[Decimal, *_MONEY]


def _read_time(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a time such as '2026-01-31T09:00:00Z'")
    return parse_time(value)


Time = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": TIME_PATTERN, "maxLength": 40}),
]

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, between(0, INT32_MAX)]
PositiveCount = Annotated[int, between(1, INT32_MAX)]
Size = Annotated[int, between(0, INT_JSON_MAX)]
Seconds = Annotated[int, between(1, INT32_MAX)]
Percent = Annotated[int, between(0, 100)]

DNSLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
DNSName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    ),
]
DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
ProviderID = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")]
ProviderName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._/-]+$")]
ModelID = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text = Annotated[str, StringConstraints(max_length=4096)]
LongText = Annotated[str, StringConstraints(max_length=16384)]
URL = Annotated[str, StringConstraints(min_length=8, max_length=2048, pattern=r"^https?://[!-?A-~]+$")]
SHA256 = Annotated[str, StringConstraints(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")]
# A path below the root of the storage; the pattern has no room for `..`, so no path climbs out.
StoragePath = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=1024,
        pattern=r"^/?([A-Za-z0-9_-][A-Za-z0-9._-]*|\.[A-Za-z0-9_-][A-Za-z0-9._-]*)(/([A-Za-z0-9_-][A-Za-z0-9._-]*|\.[A-Za-z0-9_-][A-Za-z0-9._-]*))*/?$",
    ),
]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
LabelValue = Annotated[str, StringConstraints(max_length=63)]
AnnotationValue = Annotated[str, StringConstraints(max_length=4096)]


def to_raw(part: BaseModel) -> dict[str, Any]:
    """The node as the API writes it: camelCase, decimals and times as strings, nothing absent, no empty lists."""
    raw = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: _without_empty_lists(value) for name, value in raw.items() if value != []}


def _without_empty_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_empty_lists(inner) for name, inner in value.items() if inner != []}
    if isinstance(value, list):
        return [_without_empty_lists(inner) for inner in value]
    return value


def field_alias(name: str, field: FieldInfo) -> str:
    """The API's name of a model's field."""
    return field.alias or camel_case(name)
