"""What a GPURegion shows: one region of the provider's list, with its GPU types and drivers. Nobody writes its spec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tunesmith.planning.circumstances import Circumstances, Known
from tunesmith.planning.decision import Decision, ErrorClass
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.provider import ProviderView, Region
from tunesmith.planning.verdict import Standing, Summary, told
from tunesmith.resources.gpu_region import CONDITIONS, DriverVersion, GPURegion, GPURegionStatus
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

REFRESHED_EVERY = timedelta(hours=6)
"""How often `refreshedTime` moves when nothing else does: status holds nothing that moves by itself."""
LOOK_SECONDS = 600.0
STALE_SECONDS = 3 * LOOK_SECONDS
"""What was read longer ago than this is said to be old."""


@dataclass(frozen=True)
class RegionObservation:
    """One GPURegion and what the installation's credential sees."""

    around: Circumstances
    resource: GPURegion
    provider: ProviderView
    has_credential: bool = True


def decide(seen: RegionObservation) -> Decision[GPURegionStatus]:
    """What the region's status says. Pure; touches nothing."""
    regions = seen.provider.regions
    if not seen.has_credential:
        message = f"The installation has no API key any more, so nothing is refreshed. {_last_read(seen)}"
        return _told(seen, seen.resource.status, Summary(Standing.STALLED, Reason.CREDENTIALS_MISSING, message))
    if not isinstance(regions, Known) or seen.around.monotonic - regions.as_of > STALE_SECONDS:
        return _looking(seen)
    found = next((r for r in regions.value if object_name(r) == seen.resource.metadata.name), None)
    if found is None:
        message = "The provider lists no such region any more."
        return _told(seen, seen.resource.status, Summary(Standing.STALLED, Reason.GONE, message))
    types = tuple(sorted(set(found.gpu_types)))
    status = seen.resource.status.model_copy(
        update={
            "region": found.name,
            "gpu_types": types,
            "offer": ", ".join(types),
            "drivers": ", ".join(f"{driver.cuda_version}/{driver.driver_version}" for driver in found.drivers) or None,
            "driver_versions": tuple(
                DriverVersion(
                    id=driver.id or f"{driver.cuda_version}-{driver.driver_version}",
                    cuda_version=driver.cuda_version or None,
                    driver_version=driver.driver_version or None,
                    os=driver.os or None,
                )
                for driver in found.drivers
            ),
        }
    )
    before, now = seen.resource.status.refreshed_time, seen.around.now
    if before is None or status != seen.resource.status or now - before >= REFRESHED_EVERY:
        status = status.model_copy(update={"refreshed_time": now})
    message = "The provider was asked and has answered."
    return _told(seen, status, Summary(Standing.DONE, Reason.REFRESHED, message))


def _looking(seen: RegionObservation) -> Decision[GPURegionStatus]:
    """Nothing is known, or what is known is old: look, and say so once a look has failed."""
    look = LookAtProvider(seen.around.monotonic)
    failed = seen.around.failure_of(look)
    if failed is None:
        return Decision(seen.resource.status, (look,), look_again_seconds=LOOK_SECONDS)
    told_by = f"{failed.failure.message} What is shown may be out of date. {_last_read(seen)}"
    summary = Summary(Standing.WORKING, Reason.PROVIDER_UNREACHABLE, f"{told_by} It is asked again.")
    if failed.failure.error in {ErrorClass.UNAUTHENTICATED, ErrorClass.FORBIDDEN}:
        summary = Summary(Standing.STALLED, Reason.CREDENTIALS_REFUSED, f"{told_by} Give the installation a valid key.")
    return _told(seen, seen.resource.status, summary).with_actions(look)


def _last_read(seen: RegionObservation) -> str:
    refreshed = seen.resource.status.refreshed_time
    return "It was never read." if refreshed is None else f"It was read last at {format_time(refreshed)} or later."


def object_name(region: Region) -> str:
    """The name of the resource that shows a region: its own, in the characters that Kubernetes allows."""
    return re.sub(r"[^a-z0-9.-]+", "-", region.name.lower()).strip("-.")[:253]


def manifest(region: Region) -> dict[str, Any]:
    """The resource that shows a region; the operator makes one for each."""
    return {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPURegion",
        "metadata": {"name": object_name(region), "labels": {"app.kubernetes.io/managed-by": "tunesmith"}},
        "spec": {},
    }


def _told(seen: RegionObservation, status: GPURegionStatus, summary: Summary) -> Decision[GPURegionStatus]:
    generation = seen.resource.metadata.generation
    after = told(status, summary, {}, order=CONDITIONS, generation=generation, now=seen.around.now)
    return Decision(after, look_again_seconds=LOOK_SECONDS)
