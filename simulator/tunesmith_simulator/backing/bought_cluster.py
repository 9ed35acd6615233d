"""One bought cluster that is really there: a thread that makes a control plane and nodes what they are wanted to be.

The thread looks at the newest wish only; each step that took effect is reported, and the cluster's phases wait for it.
"""

import base64
import logging
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from tunesmith_devcluster.cluster import Cluster as Devcluster
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.nodes import fault
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_simulator import world as worlds
from tunesmith_simulator.backing import Report
from tunesmith_simulator.machines import GPUS_PER_NODE, NODE_CPUS, NODE_MEMORY_GIB, PREEMPTIBLE_PREFIX

logger = logging.getLogger(__name__)

DELETE_FIRST_ANNOTATION = "node.together.ai/delete-node-on-scale-down"
"""provider: a node with this annotation set to "true" leaves first on a scale-down; so does a cordoned one."""

PREEMPTIBLE_LABEL = "together.ai/compute-class"
"""provider: preemptible nodes carry this label with the value "preemptible"."""

GPU_PRODUCTS = {
    "H100_SXM": "NVIDIA-H100-80GB-HBM3",
    "H100_SXM_INF": "NVIDIA-H100-80GB-HBM3",
    "H200_SXM": "NVIDIA-H200",
    "B200_SXM": "NVIDIA-B200",
    "B300_SXM": "NVIDIA-B300",
    "GB200_SXM": "NVIDIA-GB200",
    "L40_PCIE": "NVIDIA-L40",
    "RTX_6000_PCI": "NVIDIA-RTX-6000-Ada-Generation",
}
"""GPU feature discovery's names of what the provider sells."""

STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    # provider: the class that its older clusters served shared volumes through
    "metadata": {"name": "shared-storage-class"},
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "Immediate",
}


@dataclass(frozen=True)
class WantedVolume:
    """The shared volume of a cluster; its data lie in ``directory``."""

    name: str
    size_tib: int
    directory: Path


@dataclass(frozen=True)
class Wanted:
    """What a cluster is to be: these nodes, of which the ``broken`` are dead; or, when ``ending``, nothing.

    ``boots`` says how often each node was started again. The ``standing`` are paused: they are off until they no longer
    are. ``missing_gpus`` are what nodes lack of eight.
    """

    nodes: frozenset[str]
    boots: Mapping[str, int]
    broken: frozenset[str]
    standing: frozenset[str]
    missing_gpus: Mapping[str, int]
    volume: WantedVolume | None
    ending: bool


class BoughtCluster:
    """A real cluster in ``directory``; all methods but ``join`` and ``leaving_first`` return at once."""

    def __init__(self, cluster_id: str, gpu_type: str, directory: Path, report: Report, node_images: Path) -> None:
        self._cluster_id = cluster_id
        self._gpu_product = GPU_PRODUCTS[gpu_type]
        self._directory = directory
        self._node_images = node_images
        self._report = report
        self._wanted: Wanted | None = None
        self._ending = False
        self._news = threading.Condition()
        self._real: Devcluster | None = None
        self._volume: WantedVolume | None = None
        self._killed: set[str] = set()
        self._boots: dict[str, int] = {}
        self._standing: set[str] = set()
        self._missing_gpus: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"cluster-{cluster_id}", daemon=True)
        self._thread.start()

    def want(self, wanted: Wanted) -> None:
        """Say what the cluster is to be."""
        with self._news:
            self._ending = self._ending or wanted.ending
            if wanted != self._wanted:
                self._wanted = wanted
                self._news.notify()

    def end(self) -> None:
        """End it whatever was wanted."""
        with self._news:
            self._ending = True
            self._news.notify()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def leaving_first(self) -> frozenset[str]:
        """Hosts that are cordoned or annotated to leave first; none while its API does not answer."""
        if self._real is None:
            return frozenset()
        try:
            with self._real.api() as api:
                nodes = api.get("/api/v1/nodes")["items"]
        except Exception as error:
            logger.warning("Cluster %s cannot be asked which nodes may leave: %s", self._cluster_id, error)
            return frozenset()
        return frozenset(
            node["metadata"]["name"]
            for node in nodes
            if node["spec"].get("unschedulable")
            or node["metadata"].get("annotations", {}).get(DELETE_FIRST_ANNOTATION) == "true"
        )

    def renewed(self, kube_config: str, valid_for: timedelta) -> str:
        """Its kubeconfig with a new client certificate that ends after so long; the old one while it is not up."""
        if self._real is None:
            return kube_config
        return base64.b64encode(self._real.kubeconfig_until(valid_for).encode()).decode()

    def _run(self) -> None:
        done: Wanted | None = None
        while True:
            with self._news:
                self._news.wait_for(partial(self._has_news, done))
                wanted, ending = self._wanted, self._ending
            if ending:
                return self._take_down()
            if wanted is not None:
                self._try(wanted)
            done = wanted

    def _has_news(self, done: Wanted | None) -> bool:
        return self._ending or self._wanted != done

    def _try(self, wanted: Wanted) -> None:
        try:
            self._make(wanted)
        except Exception as error:
            logger.exception("The real cluster behind %s could not be brought up or changed", self._cluster_id)
            self._tell(partial(worlds.backing_failed, error=str(error)))

    def _make(self, wanted: Wanted) -> None:
        real = self._real or self._brought_up()
        if wanted.volume is not None and wanted.volume != self._volume:
            self._attach(real, wanted.volume)
        present = set(real.node_names())
        if missing := sorted(wanted.nodes - present):
            real.add_nodes((self._spec(name) for name in missing), images=self._node_images)
        for name in sorted(wanted.nodes):
            self._start_again(real, name, wanted.boots[name])
        self._follow_missing_gpus(real, wanted)
        self._tell(partial(worlds.nodes_up, boots=wanted.boots))
        for name in wanted.broken - self._killed:
            fault.kill(real.node_directory(name))
            self._killed.add(name)
        self._follow_pauses(real, wanted)
        if leaving := sorted(present - wanted.nodes):
            real.remove_nodes(leaving)

    def _start_again(self, real: Devcluster, name: str, boots: int) -> None:
        """A restart ends the node and all its pods at once, and brings it back under its name."""
        if boots > self._boots.get(name, 0):
            fault.kill(real.node_directory(name))
            fault.start(real.node_directory(name))
            self._killed.discard(name)
            self._missing_gpus.pop(name, None)
        self._boots[name] = boots

    def _follow_pauses(self, real: Devcluster, wanted: Wanted) -> None:
        for name in wanted.standing - self._standing:
            fault.kill(real.node_directory(name))
            self._standing.add(name)
        for name in self._standing - wanted.standing:
            if name in wanted.nodes:
                fault.start(real.node_directory(name))
                self._missing_gpus.pop(name, None)
            self._standing.discard(name)
        self._follow_missing_gpus(real, wanted)

    def _follow_missing_gpus(self, real: Devcluster, wanted: Wanted) -> None:
        for name in wanted.nodes - wanted.broken - wanted.standing:
            count = wanted.missing_gpus.get(name, 0)
            if count != self._missing_gpus.get(name, 0):
                fault.restore_gpus(real.node_directory(name))
                fault.lose_gpus(real.node_directory(name), count)
                self._missing_gpus[name] = count

    def _brought_up(self) -> Devcluster:
        # The context's name has the provider's form.
        real = Devcluster.create(self._directory, name=f"t-{self._cluster_id}", say=logger.info)
        self._real = real
        with real.api() as api:
            api.post("/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
        kube_config = base64.b64encode(real.kubeconfig.read_bytes()).decode()
        self._tell(partial(worlds.control_plane_up, kube_config=kube_config))
        return real

    def _attach(self, real: Devcluster, volume: WantedVolume) -> None:
        """provider: the shared volume is a static PersistentVolume of its name."""
        volume.directory.mkdir(parents=True, exist_ok=True)
        path = "/api/v1/persistentvolumes"
        capacity = {"storage": f"{volume.size_tib}Ti"}
        with real.api() as api:
            if api.exists(f"{path}/{volume.name}"):
                api.merge_patch(f"{path}/{volume.name}", {"spec": {"capacity": capacity}})
            else:
                api.post(path, _persistent_volume(volume, capacity))
        self._volume = volume
        self._tell(worlds.volume_attached)

    def _take_down(self) -> None:
        try:
            Devcluster.end(self._directory)
            shutil.rmtree(self._directory, ignore_errors=True)
            self._tell(worlds.ended)
        except (DevclusterError, OSError) as error:
            logger.exception("The real cluster behind %s could not be ended", self._cluster_id)
            self._tell(partial(worlds.backing_failed, error=str(error)))

    def _tell(self, change: worlds.ReportedChange) -> None:
        self._report(lambda world, now: change(world, cluster_id=self._cluster_id, now=now))

    def _spec(self, name: str) -> NodeSpec:
        return NodeSpec(
            name=name,
            gpus=GPUS_PER_NODE,
            gpu_product=self._gpu_product,
            cpus=NODE_CPUS,
            memory_gib=NODE_MEMORY_GIB,
            labels=_labels(name),
        )


def _labels(name: str) -> dict[str, str]:
    return {PREEMPTIBLE_LABEL: "preemptible"} if name.startswith(PREEMPTIBLE_PREFIX) else {}


def _persistent_volume(volume: WantedVolume, capacity: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume.name},
        "spec": {
            "capacity": capacity,
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "hostPath": {"path": str(volume.directory), "type": "DirectoryOrCreate"},
        },
    }
