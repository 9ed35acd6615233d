"""GPURegion: one region of the provider, as the operator last read it; nobody writes it but the operator."""

from typing import Annotated, Literal

from pydantic import Field

from tunesmith.resources.metadata import Resource, Status
from tunesmith.resources.schema import Line, ListOf, Part, StatusPart, Text, Time, doc, items

CONDITIONS = ("Ready", "Reconciling", "Stalled")


class GPURegionSpec(Part):
    """Nothing: a region is as the provider has it."""


class DriverVersion(StatusPart):
    """One driver of the region's catalogue."""

    id: Annotated[Line, doc("The provider's id; `spec.driver.versionID` of a GPUCluster.")]
    cuda_version: Annotated[Line | None, doc("Its CUDA version.")] = None
    driver_version: Annotated[Line | None, doc("Its NVIDIA driver version.")] = None
    os: Annotated[Line | None, doc("The operating system of the nodes.")] = None


class GPURegionStatus(Status):
    """What the provider offers in the region."""

    region: Annotated[Line | None, doc("The region, in the provider's words.")] = None
    gpu_types: Annotated[
        tuple[Line, ...],
        doc("GPU types that the region has; whether any is in stock, the provider does not tell."),
        items(64, least=0),
        ListOf("set"),
    ] = ()
    offer: Annotated[Text | None, doc("The same types in one line, for people.")] = None
    driver_versions: Annotated[
        tuple[DriverVersion, ...], doc("Drivers that can be chosen."), items(128, least=0), ListOf("map", keys=("id",))
    ] = ()
    drivers: Annotated[Text | None, doc("The same drivers in one line, as CUDA/driver, for people.")] = None
    refreshed_time: Annotated[Time | None, doc("When the provider was last asked.")] = None


class GPURegion(Resource[GPURegionSpec, GPURegionStatus]):
    """One region of the provider: its GPU types and drivers."""

    kind: Literal["GPURegion"] = "GPURegion"
    spec: GPURegionSpec = Field(default_factory=GPURegionSpec)
    status: GPURegionStatus = Field(default_factory=GPURegionStatus)
