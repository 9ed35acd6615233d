"""The generations of the provider's API that Tunesmith speaks, and the client of each."""

from __future__ import annotations

from enum import StrEnum

from tunesmith.cloud.g0 import G0Cloud
from tunesmith.cloud.g2 import G2Cloud
from tunesmith.cloud.interface import Cloud
from tunesmith.cloud.transport import Transport


class ApiGeneration(StrEnum):
    """G2 is what the provider serves now; G0 is what it served in September 2025."""

    G2 = "G2"
    G0 = "G0"


def cloud_of(generation: ApiGeneration, transport: Transport) -> Cloud:
    """The client of a generation."""
    return G0Cloud(transport) if generation is ApiGeneration.G0 else G2Cloud(transport)
