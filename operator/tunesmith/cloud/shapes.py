"""How an answer of the provider is read: strictly in what names a thing or counts it, leniently in all the rest.

The provider adds fields and words as it likes. A list that is not a list, or an object without its id, proves nothing;
but a time or an event in a form that we do not know must not hide the clusters beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, WrapValidator
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

Model = TypeVar("Model", bound=BaseModel)


class Wire(BaseModel):
    """One object of an answer. Fields that we do not know are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


class NotUnderstoodError(Exception):
    """An answer that does not have the shape it must have. It proves nothing, least of all that something is gone."""


def validated(model: type[Model], body: object) -> Model:
    """The body as this model. Raises `NotUnderstoodError`, which names the field and never holds the value."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise NotUnderstoodError(f"the answer's '{where}' is not as the API says") from None


def without_none(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a request without what is not given."""
    return {key: value for key, value in body.items() if value is not None}


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


_TIME = TypeAdapter(datetime)


def _time(value: object) -> datetime | None:
    if not value:  # most of a list's are absent, and an exception for each would cost more than all the rest
        return None
    try:
        time = _TIME.validate_python(value)
    except ValidationError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _entries(value: object) -> object:
    return value if isinstance(value, list) else []


Moment = Annotated[datetime | None, BeforeValidator(_time)]
"""A time in UTC; None when it is absent, empty or not a time."""

Text = Annotated[str | None, WrapValidator(_or_none)]
"""A text; None when it is absent or something else."""

Truth = Annotated[bool | None, WrapValidator(_or_none)]
"""True or false; None when it is absent or something else."""

Number = Annotated[int | None, WrapValidator(_or_none)]
"""A whole number of no consequence; None when it is absent or something else."""

Entry = TypeVar("Entry")
Maybe = Annotated[Entry | None, WrapValidator(_or_none)]
"""An object; None when it is absent or has another shape."""

Some = Annotated[tuple[Maybe[Entry], ...], BeforeValidator(_entries)]
"""A list, of which the entries in an unknown shape are None; empty when it is no list."""
