"""How full a pod's claims are, in the words of a kubelet's `stats/summary`.

A claim of a process node is a folder of this machine. Its capacity is said to be its PersistentVolume's, as a CSI
driver with quotas says it, not the machine's disk.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith_devcluster.nodes.volumes import MountedClaim

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_UNITS |= {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTP", start=1)}
_QUANTITY = re.compile(r"(\d+)([a-zA-Z]*)")


async def volume_stats(claims: Mapping[str, MountedClaim]) -> list[dict[str, Any]]:
    """One entry for each claim, by its volume's name in the pod."""
    found = []
    for name, claim in claims.items():
        used, capacity = await asyncio.to_thread(used_bytes, claim.path), quantity_bytes(claim.size)
        found.append(
            {
                "name": name,
                "pvcRef": {"name": claim.name, "namespace": claim.namespace},
                "capacityBytes": capacity,
                "usedBytes": used,
                "availableBytes": max(capacity - used, 0),
            }
        )
    return found


def used_bytes(folder: Path) -> int:
    """What the files below a folder hold. Files that vanish meanwhile count nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(Path(place) / file).st_size
            except FileNotFoundError:
                continue
    return total


def quantity_bytes(text: str) -> int:
    """A whole quantity of Kubernetes, such as '2Ti', in bytes; 0 for what cannot be read."""
    found = _QUANTITY.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found is not None and found[2] in _UNITS else 0
