"""Which driver a cluster is made with: the user's wish held against the region's catalogue, else its newest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunesmith.planning.provider import Driver, Region


@dataclass(frozen=True)
class DriverChoice:
    """A driver as an order names it: by the catalogue's id, or by both versions."""

    version_id: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None


def choose_driver(
    region: Region | None,
    *,
    version_id: str | None = None,
    cuda_version: str | None = None,
    driver_version: str | None = None,
) -> DriverChoice | str:
    """The driver to order, or a sentence that says why there is none."""
    catalogue = region.drivers if region is not None else ()
    if version_id is not None:
        found = [driver for driver in catalogue if driver.id == version_id]
        wish = f"driver '{version_id}'"
    elif cuda_version is not None or driver_version is not None:
        found = [d for d in catalogue if (d.cuda_version, d.driver_version) == (cuda_version, driver_version)]
        wish = f"CUDA '{cuda_version}' with driver '{driver_version}'"
    else:
        found, wish = list(catalogue), "any driver"
    if found:
        return _as_ordered(max(found, key=_newness))
    where = region.name if region is not None else "(unknown)"
    offers = ", ".join(f"'{d.id}' (CUDA {d.cuda_version}, driver {d.driver_version})" for d in catalogue) or "none"
    return f"Region '{where}' does not offer {wish}. Its catalogue: {offers}. Choose one of these in `spec.driver`."


def _as_ordered(driver: Driver) -> DriverChoice:
    if driver.id:
        return DriverChoice(version_id=driver.id)
    return DriverChoice(cuda_version=driver.cuda_version, driver_version=driver.driver_version)


def _newness(driver: Driver) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    return (_numbers(driver.cuda_version), _numbers(driver.driver_version), driver.id)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
