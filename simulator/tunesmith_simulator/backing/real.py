"""Real control planes with process nodes behind the clusters, one thread each; ended when the clusters are.

State on disk: ``clusters/<cluster_id>`` lives as long as the cluster; ``volumes/<volume_id>`` is a shared volume's data
and outlives clusters and the simulator itself.
"""

import asyncio
import logging
import shutil
import threading
from datetime import timedelta
from pathlib import Path

from tunesmith_devcluster.cluster import Cluster as Devcluster
from tunesmith_devcluster.node_process import IMAGES
from tunesmith_simulator.backing import Report
from tunesmith_simulator.backing.bought_cluster import BoughtCluster, Wanted, WantedVolume
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.machines import NodePhase
from tunesmith_simulator.phases import ClusterPhase
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import World

logger = logging.getLogger(__name__)


class RealBacking:
    """Brings up, changes and ends real clusters as the world says."""

    real = True

    def __init__(self, state_directory: Path, node_images: Path | None = None) -> None:
        self._node_images = node_images or IMAGES
        self._clusters_directory = state_directory.resolve() / "clusters"
        self._volumes_directory = state_directory.resolve() / "volumes"
        self._clusters: dict[str, BoughtCluster] = {}
        self._removed_volumes: set[str] = set()
        self._report: Report | None = None

    def kube_config(self, cluster_id: str, name: str) -> str:
        """Not known before the control plane answers."""
        return ""

    def start(self, report: Report) -> None:
        """End what a killed run left behind, and begin."""
        self._report = report
        for directory in (self._clusters_directory, self._volumes_directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in self._clusters_directory.iterdir():
            logger.info("Ending the cluster that an earlier run left in %s.", directory)
            Devcluster.end(directory)
            shutil.rmtree(directory)

    def follow(self, world: World) -> None:
        """Tell each bought cluster what it is to be now."""
        for cluster in world.clusters.values():
            if cluster.gone_at is not None or cluster.phase is ClusterPhase.SCHEDULED:
                self._clusters.pop(cluster.cluster_id, None)
            else:
                self._bought(cluster).want(self._wanted(cluster, world))
        for volume in world.volumes.values():
            if volume.gone_at is not None and volume.volume_id not in self._removed_volumes:
                self._removed_volumes.add(volume.volume_id)
                directory = self._volumes_directory / volume.volume_id
                threading.Thread(target=shutil.rmtree, args=(directory,), kwargs={"ignore_errors": True}).start()

    async def leaving_first(self, cluster_id: str) -> frozenset[str]:
        """Hosts that are cordoned or carry the provider's annotation."""
        bought = self._clusters.get(cluster_id)
        return await asyncio.to_thread(bought.leaving_first) if bought else frozenset()

    async def renewed(self, cluster_id: str, kube_config: str, valid_for: timedelta) -> str:
        """The cluster's own authority signs it; a cluster that is not there any more keeps what it has."""
        bought = self._clusters.get(cluster_id)
        return await asyncio.to_thread(bought.renewed, kube_config, valid_for) if bought else kube_config

    async def close(self) -> None:
        """End all clusters, and wait until nothing of them runs."""
        for bought in self._clusters.values():
            bought.end()
        await asyncio.gather(*(asyncio.to_thread(bought.join) for bought in self._clusters.values()))

    def _bought(self, cluster: Cluster) -> BoughtCluster:
        if cluster.cluster_id not in self._clusters:
            if self._report is None:
                raise RuntimeError("The backing must be started before clusters are bought.")
            directory = self._clusters_directory / cluster.cluster_id
            bought = BoughtCluster(
                cluster.cluster_id, cluster.order.gpu_type, directory, self._report, self._node_images
            )
            self._clusters[cluster.cluster_id] = bought
        return self._clusters[cluster.cluster_id]

    def _wanted(self, cluster: Cluster, world: World) -> Wanted:
        volume = world.volumes.get(cluster.volume_id or "")
        return Wanted(
            nodes=frozenset(node.host_name for node in cluster.gpu_nodes),
            boots={node.host_name: node.boots for node in cluster.gpu_nodes},
            broken=frozenset(node.host_name for node in cluster.gpu_nodes if node.phase is NodePhase.FAILED),
            standing=frozenset(node.host_name for node in cluster.gpu_nodes if node.phase is NodePhase.PAUSED),
            missing_gpus={node.host_name: node.missing_gpus for node in cluster.gpu_nodes if node.missing_gpus},
            volume=self._wanted_volume(volume) if volume else None,
            ending=cluster.leaving,
        )

    def _wanted_volume(self, volume: Volume) -> WantedVolume:
        directory = self._volumes_directory / volume.volume_id
        return WantedVolume(name=volume.name, size_tib=volume.size_tib, directory=directory)
