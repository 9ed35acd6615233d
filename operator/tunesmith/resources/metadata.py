"""What every resource has round its spec and status: the object metadata that decisions read."""

from typing import Annotated, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tunesmith.resources.conditions import Condition
from tunesmith.resources.schema import ListOf, Rule, StatusPart, Time, between, camel_case, doc, items

GROUP = "tunesmith.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "tunesmith"

# -1: not yet observed. Without it kstatus calls an object that no operator has seen "Current".
NOT_YET_OBSERVED = -1


class OwnerReference(BaseModel):
    """An owner of the object."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=camel_case, populate_by_name=True)

    api_version: str = ""
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(BaseModel):
    """The part of Kubernetes' object metadata that the operator reads. Unknown fields are let pass."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=camel_case, populate_by_name=True)

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def is_being_deleted(self) -> bool:
        """True once somebody asked for the object's deletion."""
        return self.deletion_timestamp is not None


class Status(StatusPart):
    """What all statuses share. Nothing in it is required."""

    observed_generation: Annotated[
        Annotated[int, between(-1, 2**53 - 1)],
        doc("The generation of the spec that this status speaks of; -1 until the operator has seen the resource."),
    ] = NOT_YET_OBSERVED
    conditions: Annotated[
        tuple[Condition, ...],
        doc("What is known about the resource, one statement each."),
        items(32, least=0),
        ListOf("map", keys=("type",)),
    ] = ()


SpecType = TypeVar("SpecType", bound=BaseModel)
StatusType = TypeVar("StatusType", bound=Status)


class Resource(BaseModel, Generic[SpecType, StatusType]):
    """One custom resource as it was read from the API. `rules` are those that need more than the spec alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=camel_case, populate_by_name=True)
    rules: ClassVar[tuple[Rule, ...]] = ()

    api_version: str = API_VERSION
    kind: str
    metadata: Metadata
    spec: SpecType
    status: StatusType

    @model_validator(mode="after")
    def _judge(self) -> Self:
        broken = [rule.message for rule in self.rules if rule.holds is not None and not rule.holds(self)]
        if broken:
            raise ValueError(" ".join(broken))
        return self

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The object's namespace; empty for kinds of the whole cluster."""
        return self.metadata.namespace or ""
