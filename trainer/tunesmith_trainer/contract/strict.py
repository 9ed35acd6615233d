"""What every part of a document of the contract is: strict, frozen, in camel case on the wire."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/.*[^/]$", max_length=4096)]


class Strict(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )
