"""How full the shared volumes are: asked of a node that mounts them, in the bought cluster, once a minute at most."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.controllers.controller import Key
from tunesmith.controllers.ports import Ports
from tunesmith.kube.errors import KubeError
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.volume_usage import VolumeUsage, mounting_nodes, usage_of_claim
from tunesmith.resources.shared_volume import SharedVolume

Raw = Mapping[str, Any]
Usage = Known[VolumeUsage] | Unknown

MEASURE_SECONDS = 60.0
NODES_ASKED = 3
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class _Measured:
    usage: Usage
    when: float


class VolumeUsages:
    """The newest figure of each volume."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._measured: dict[Key, _Measured] = {}

    async def of(self, key: Key, volume: SharedVolume) -> Usage:
        """How full it is; Unknown while no pod mounts it, or no node answers."""
        holder = volume.status.bound_to
        if holder is None or self._ports.cache.get("GPUCluster", key.namespace, holder) is None:
            self.forget(key)
            return Unknown("no GPUCluster has the volume")
        now, before = self._ports.clock.monotonic(), self._measured.get(key)
        if before is not None and now < before.when + MEASURE_SECONDS:
            return before.usage
        usage = await self._measure(RemoteCluster(key.namespace, holder), key.name, volume.status.size_tib or 0)
        self._measured[key] = _Measured(usage, now)
        return usage

    def forget(self, key: Key) -> None:
        """The volume is gone, or nobody has it."""
        self._measured.pop(key, None)

    async def _measure(self, where: RemoteCluster, claim: str, size_tib: int) -> Usage:
        pods, namespace = self._ports.remotes.view(where).pods, self._ports.installation.jobs_namespace
        if isinstance(pods, Unknown):
            return pods
        begun = self._ports.clock.monotonic()
        for node in mounting_nodes(pods.value, namespace, claim)[:NODES_ASKED]:
            found = await self._ask(where, node, namespace, claim)
            if found is not None and found.is_of(size_tib):
                return Known(found, begun)
        return Unknown("no node that mounts the volume tells its usage")

    async def _ask(self, where: RemoteCluster, node: str, namespace: str, claim: str) -> VolumeUsage | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                summary = await (await self._ports.remotes.kube(where)).node_summary(node)
        except (KubeError, TimeoutError):
            return None
        return usage_of_claim(summary, namespace, claim)
