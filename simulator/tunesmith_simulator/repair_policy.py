"""What the provider does by itself about a node that is not well."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RepairPolicy(BaseModel):
    """Whether a failing node makes the provider propose a repair, and whether that waits for approval.

    provider: approval before repair is the default, with a cooldown of about 30 minutes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    proposes: bool = False
    needs_approval: bool = True
    cooldown_seconds: Annotated[float, Field(ge=0)] = 1800
