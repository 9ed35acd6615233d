"""A region: which GPUs are sold there, which driver versions its images carry. Pure."""

from dataclasses import dataclass

from tunesmith_simulator.refusals import invalid

BARE_CUDA_OS = "ubuntu-22.04"
"""provider: a bare CUDA number such as 12.5 means the image of this system."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One entry of a region's driver catalogue."""

    version_id: str
    cuda_version: str
    nvidia_driver_version: str
    os: str


@dataclass(frozen=True, slots=True)
class Region:
    """A region. Clusters land in ``cluster_partition``; volumes that are made alone in ``volume_partition``.

    Where the two differ, such a volume cannot be attached: the provider's known pitfall.
    """

    name: str
    gpu_types: tuple[str, ...]
    drivers: tuple[Driver, ...]
    cluster_partition: str
    volume_partition: str


def chosen_driver(
    region: Region, *, version_id: str | None, cuda_version: str | None, driver_version: str | None
) -> Driver:
    """The catalogue entry that an order names, by id or by both versions.

    Raises RefusedError when neither is complete, when there is no such entry, or when the two name different ones.
    """
    by_versions = _by_versions(region, cuda_version, driver_version)
    if version_id is None:
        if cuda_version is None or driver_version is None:
            raise invalid("cuda version and nvidia driver version are required")
        if by_versions is None:
            raise invalid(
                f"cuda version {cuda_version!r} with nvidia driver version {driver_version!r} "
                f"is not available in region {region.name!r}"
            )
        return by_versions
    by_id = next((driver for driver in region.drivers if driver.version_id == version_id), None)
    if by_id is None:
        raise invalid(f"nvidia version id {version_id!r} is not available in region {region.name!r}")
    if (cuda_version or driver_version) and by_versions != by_id:
        raise invalid(
            f"nvidia version id {version_id!r} and cuda version {cuda_version!r} with nvidia driver version "
            f"{driver_version!r} do not name the same entry"
        )
    return by_id


def _by_versions(region: Region, cuda_version: str | None, driver_version: str | None) -> Driver | None:
    for driver in region.drivers:
        names = {f"{driver.cuda_version}-{driver.os}"}
        if driver.os == BARE_CUDA_OS:
            names.add(driver.cuda_version)
        if cuda_version in names and driver.nvidia_driver_version == driver_version:
            return driver
    return None
