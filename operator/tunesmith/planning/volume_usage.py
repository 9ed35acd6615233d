"""How full a SharedVolume is, by the word of the nodes that mount it, and what follows from that for its size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.resources.shared_volume import SharedVolumeSpec

Raw = Mapping[str, Any]
TIB = 2**40
STEP_PERCENT = 1
"""`status.usedBytes` moves by this much of the size at least: status holds nothing that moves by itself."""
FOREIGN_CAPACITY = 2
"""A file system more than this many times as large as the volume is not the volume's own, nor is its usage."""


@dataclass(frozen=True)
class VolumeUsage:
    """What one node says of a mounted volume, in bytes."""

    used_bytes: int
    capacity_bytes: int

    def is_of(self, size_tib: int) -> bool:
        """Whether the node speaks of the volume itself, not of a larger file system that it is a folder of."""
        return 0 < self.capacity_bytes <= FOREIGN_CAPACITY * max(size_tib, 1) * TIB


def mounting_nodes(pods: Iterable[Raw], namespace: str, claim: str) -> tuple[str, ...]:
    """The nodes with a running pod that mounts the claim, sorted."""
    return tuple(
        sorted(
            {
                pod["spec"]["nodeName"]
                for pod in pods
                if pod["metadata"].get("namespace") == namespace
                and (pod.get("status") or {}).get("phase") == "Running"
                and pod["spec"].get("nodeName")
                and _mounts(pod["spec"], claim)
            }
        )
    )


def usage_of_claim(summary: Raw, namespace: str, claim: str) -> VolumeUsage | None:
    """What a kubelet's `stats/summary` says of one claim; None while no pod of the node mounts it.

    kubelet: a volume's figures stand with each pod that mounts it, with `pvcRef` when it came by a claim.
    """
    wanted = {"namespace": namespace, "name": claim}
    for volume in _volumes(summary):
        if volume.get("pvcRef") == wanted and isinstance(volume.get("usedBytes"), int):
            return VolumeUsage(volume["usedBytes"], int(volume.get("capacityBytes") or 0))
    return None


def shown_bytes(before: int | None, usage: VolumeUsage, size_tib: int) -> int:
    """What the status says: the old figure as long as the new one differs by less than a step."""
    step = max(size_tib, 1) * TIB * STEP_PERCENT // 100
    return usage.used_bytes if before is None or abs(usage.used_bytes - before) >= step else before


def used_percent(usage: VolumeUsage, size_tib: int) -> int:
    """Whole percent of the volume's size, rounded down."""
    return usage.used_bytes * 100 // (max(size_tib, 1) * TIB)


def size_by_use(spec: SharedVolumeSpec, usage: VolumeUsage, size_tib: int) -> int:
    """The size in TiB that `spec.growth` asks for, given what is used: one more at a time, never above `maxTiB`."""
    growth = spec.growth
    if growth is None or used_percent(usage, size_tib) < growth.when_used_percent:
        return size_tib
    return max(size_tib, min(size_tib + 1, growth.max_tib))


def _volumes(summary: Raw) -> Iterable[Raw]:
    for pod in summary.get("pods") or ():
        yield from pod.get("volume") or ()


def _mounts(spec: Raw, claim: str) -> bool:
    claims = ((each.get("persistentVolumeClaim") or {}).get("claimName") for each in spec.get("volumes") or ())
    return claim in claims
