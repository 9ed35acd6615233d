"""Process nodes of one cluster as operating-system processes: their directories, identities, start and end.

What such a process does is in `nodes/`.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster import processes
from tunesmith_devcluster.control_plane import ControlPlane
from tunesmith_devcluster.environment import plain_environment
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_devcluster.nodes.hosts import forget_node
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_devcluster.nodes.volumes import memory_directory

IMAGES = Path(__file__).parent / "nodes" / "images.yaml"
# A pod may take its own grace time; what a node did not end by then is killed.
ENDING_GRACE_SECONDS = 15


@dataclass(frozen=True)
class NodeDirectory:
    """Everything about one node on disk: identity, spec, pod address range, pid file, log."""

    path: Path

    @property
    def name(self) -> str:
        """The node's name."""
        return self.path.name

    @property
    def pid_file(self) -> Path:
        """Who runs as this node."""
        return self.path / "node.pid"

    @property
    def log(self) -> Path:
        """What the node process wrote."""
        return self.path / "node.log"

    @property
    def ready_file(self) -> Path:
        """Written by the node once it is registered."""
        return self.path / "ready"

    @property
    def pod_range(self) -> str:
        """Loopback addresses of the node's pods."""
        return (self.path / "pod-range").read_text().strip()

    @property
    def images(self) -> Path:
        """The table of images that the node knows."""
        return self.path / "images.yaml"

    def prepare(self, spec: NodeSpec, pod_range: str, plane: ControlPlane, images: Path = IMAGES) -> None:
        """Write the node's identity: the Node authorizer knows it by its certificate and lets it see its own pods."""
        self.path.mkdir(mode=0o700, parents=True)
        user = f"system:node:{spec.name}"
        serving = plane.authority.server(user, [spec.name, "127.0.0.1"])
        files = {
            "spec.json": spec.to_json(),
            "pod-range": pod_range,
            "images.yaml": images.read_text(),
            "kubeconfig": plane.kubeconfig_for(user, ["system:nodes"], spec.name),
            "kubelet.crt": serving.certificate,
            "kubelet.key": serving.key,
            "ca.crt": plane.authority.pair.certificate,
        }
        for name, text in files.items():
            processes.write_atomically(self.path / name, text)

    def start(self) -> None:
        """Start the node process, in a session of its own."""
        self.ready_file.unlink(missing_ok=True)
        argv: list[str | Path] = [
            *(sys.executable, "-m", "tunesmith_devcluster.nodes"),
            *("--kubeconfig", self.path / "kubeconfig"),
            *("--spec", self.path / "spec.json"),
            *("--directory", self.path),
            *("--pod-range", self.pod_range),
            *("--images", self.images),
        ]
        processes.start(argv, pid_file=self.pid_file, log=self.log, environment=plain_environment())

    def is_ready(self, api: KubernetesApi) -> bool:
        """Whether pods can be put on it: registered, Ready, and no taint keeps them off. Raises if its process died."""
        process = processes.recorded(self.pid_file)
        if process is None or not process.alive:
            tail = "    (it was never started)" if process is None else process.log_tail()
            raise DevclusterError(f"Node {self.name} ended while it was starting. Its last lines ({self.log}):\n{tail}")
        return self.ready_file.exists() and node_is_ready(api, self.name)

    def clear_memory(self) -> None:
        """Free the memory volumes of pods whose node was killed and could not do it itself."""
        for pod in self.path.glob("pods/*"):
            shutil.rmtree(memory_directory(pod.name), ignore_errors=True)

    def remove(self) -> None:
        """Take the directory away, and the other nodes' knowledge of its pods; the process must have ended."""
        forget_node(self.path.parent / "hosts.d", self.name)
        shutil.rmtree(self.path)


def end_nodes(directories: list[NodeDirectory]) -> None:
    """End these nodes' processes together; a node ends its pods' processes as it goes."""
    processes.end([directory.pid_file for directory in directories], grace_seconds=ENDING_GRACE_SECONDS)
    for directory in directories:
        directory.clear_memory()


def node_is_ready(api: KubernetesApi, name: str) -> bool:
    """Whether the API server shows a node as Ready and nothing keeps ordinary pods off it."""
    path = f"/api/v1/nodes/{name}"
    if not api.exists(path):
        return False
    node = api.get(path)
    conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")
