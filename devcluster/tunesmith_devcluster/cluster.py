"""A whole cluster on this machine: a control plane and its process nodes, as the demo, the simulator and tests use it.

All calls block; callers that must not wait use threads. Everything a cluster writes lies in its directory, and
everything it starts has a pid file there, so any process can open it and end it.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from tunesmith_devcluster import binaries, kwok, processes, slots
from tunesmith_devcluster.components import Binaries, Layout, Ports
from tunesmith_devcluster.control_plane import ControlPlane
from tunesmith_devcluster.environment import plain_environment
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_devcluster.node_process import IMAGES, NodeDirectory, end_nodes
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_devcluster.progress import Lines

NODES_READY_SECONDS = 120
RECORD = "cluster.json"


def in_silence(_: str) -> None:
    """Say nothing about progress."""


class Cluster:
    """A running cluster. Make one with `create`, get hold of a running one with `open`."""

    def __init__(self, directory: Path, name: str, plane: ControlPlane) -> None:
        self.directory = directory
        self.name = name
        self.plane = plane

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        name: str,
        nodes: Sequence[NodeSpec] = (),
        slot: int | None = None,
        say: Callable[[str], None] = in_silence,
        programs: Binaries | None = None,
        dead_node_seconds: int = 8,
        images: Path = IMAGES,
    ) -> Cluster:
        """Start a control plane and these nodes in a new directory, and wait until the nodes are Ready.

        `programs` are found or built unless given; a node counts as dead after `dead_node_seconds` without heartbeat;
        `images` is the table of what stands for each image (`nodes/images.py`).
        A directory of an earlier cluster that has ended is used anew. Raises `DevclusterError`, with nothing left
        running, when anything does not start.
        """
        directory = directory.resolve()
        programs = programs or binaries.ensure(Lines(say))
        _make_room(directory)
        taken = slots.take(directory, slot)
        try:
            plane = ControlPlane.prepare(directory, name=name, slot=taken, dead_node_seconds=dead_node_seconds)
            cluster = cls(directory, name, plane)
            cluster._write_record()
            say(f"starting the control plane of {name}")
            plane.start(programs, say)
        except BaseException:
            slots.give_back(taken, directory)
            raise
        try:
            cluster.add_nodes(nodes, say=say, images=images)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @classmethod
    def open(cls, directory: Path) -> Cluster:
        """Attach to a cluster that runs, whoever started it. Raises `DevclusterError` if none runs there."""
        if not cls.runs_in(directory):
            raise DevclusterError(f"No cluster runs in {directory}. 'tunesmith-devcluster up' starts one.")
        return cls._read_record(directory.resolve())

    @classmethod
    def runs_in(cls, directory: Path) -> bool:
        """Whether the API server of this directory's cluster runs."""
        process = processes.recorded(directory / "apiserver.pid")
        return (directory / RECORD).exists() and process is not None and process.alive

    @classmethod
    def is_left_in(cls, directory: Path) -> bool:
        """Whether any process of this directory's cluster runs, a half-started cluster's too."""
        found = map(processes.recorded, slots.pid_files(directory))
        return (directory / RECORD).exists() and any(process is not None and process.alive for process in found)

    @classmethod
    def end(cls, directory: Path) -> None:
        """End whatever still runs of the cluster in this directory, even if its control plane has died."""
        if (directory / RECORD).exists():
            cls._read_record(directory.resolve()).stop()

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig, everything embedded."""
        return self.plane.layout.kubeconfig("admin")

    @property
    def audit_log(self) -> Path:
        """One line per request that the API server answered."""
        return self.plane.layout.audit_log

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.plane.layout.server

    @property
    def slot(self) -> int:
        """The number that keeps this cluster's addresses and ports apart from others'."""
        return self.plane.layout.slot.number

    def kubeconfig_until(self, valid_for: timedelta) -> str:
        """The text of an administrator's kubeconfig with a new client certificate that ends after so long."""
        return self.plane.kubeconfig_for("admin", ["system:masters"], self.name, valid_for=valid_for)

    def api(self) -> KubernetesApi:
        """A new client with an administrator's rights; a context manager."""
        return KubernetesApi(self.kubeconfig)

    def node_directory(self, name: str) -> Path:
        """Where a process node's files lie: its spec, identity, log and its pods."""
        return self.directory / "nodes" / name

    def node_names(self) -> list[str]:
        """The process nodes that were added and not removed, dead ones too."""
        return [node.name for node in self._nodes()]

    def add_nodes(
        self, specs: Iterable[NodeSpec], *, say: Callable[[str], None] = in_silence, images: Path = IMAGES
    ) -> None:
        """Start process nodes and wait until pods can be put on them."""
        with self._locked():
            added = [self._prepare_node(spec, images) for spec in specs]
        if not added:
            return
        say(f"starting {len(added)} nodes")
        for node in added:
            node.start()
        deadline = time.monotonic() + NODES_READY_SECONDS
        with self.api() as api:
            while not all(node.is_ready(api) for node in added):
                if time.monotonic() > deadline:
                    raise DevclusterError(
                        f"Not all of {', '.join(node.name for node in added)} were Ready after "
                        f"{NODES_READY_SECONDS} s. Their logs are in {self.directory / 'nodes'}."
                    )
                time.sleep(0.1)

    def remove_nodes(self, names: Iterable[str]) -> None:
        """End these nodes with their pods' processes and take their Node objects away."""
        going = [NodeDirectory(self.node_directory(name)) for name in names]
        end_nodes(going)
        with self._locked(), self.api() as api:
            for node in going:
                api.delete(f"/api/v1/nodes/{node.name}")
                node.remove()

    def stop(self) -> None:
        """End everything that runs for this cluster; its logs stay. Fine if nothing runs any more."""
        end_nodes(self._nodes())
        self.stop_kwok()
        self.plane.stop()
        slots.give_back(self.plane.layout.slot, self.directory)

    def start_kwok(self) -> None:
        """Start kwok, which keeps fake nodes Ready and plays their pods; they are added by `add_fake_nodes`."""
        program = binaries.ensure_kwok(Lines(in_silence))
        layout = self.plane.layout
        processes.start(
            kwok.command(program, self.kubeconfig, lease_seconds=layout.dead_node_seconds),
            pid_file=layout.pid_file("kwok"),
            log=layout.log("kwok"),
            environment=plain_environment(),
        )

    def stop_kwok(self) -> None:
        """End kwok; its nodes stay as objects and turn NotReady."""
        processes.end([self.plane.layout.pid_file("kwok")], grace_seconds=1)

    def add_fake_nodes(self, specs: Iterable[NodeSpec]) -> None:
        """Make nodes that nothing runs on; returns at once, kwok makes them Ready."""
        with self.api() as api:
            kwok.add_nodes(api, specs)

    def _write_record(self) -> None:
        layout = self.plane.layout
        record = {
            "name": self.name,
            "slot": layout.slot.number,
            "ports": layout.ports,
            "dead_node_seconds": layout.dead_node_seconds,
        }
        processes.write_atomically(self.directory / RECORD, json.dumps(record))

    @classmethod
    def _read_record(cls, directory: Path) -> Cluster:
        record = json.loads((directory / RECORD).read_text())
        slot = slots.of_number(record["slot"])
        layout = Layout(directory, slot, Ports(*record["ports"]), record["dead_node_seconds"])
        return cls(directory, record["name"], ControlPlane.attach(layout))

    def _nodes(self) -> list[NodeDirectory]:
        return [NodeDirectory(file.parent) for file in sorted((self.directory / "nodes").glob("*/spec.json"))]

    def _prepare_node(self, spec: NodeSpec, images: Path) -> NodeDirectory:
        node = NodeDirectory(self.node_directory(spec.name))
        if node.path.exists():
            raise DevclusterError(f"Cluster {self.name} has a node '{spec.name}' already. Remove it first.")
        used = {other.pod_range for other in self._nodes()}
        slot = self.plane.layout.slot
        free = next(index for index in range(1, 256) if index > 254 or slot.pod_range(index) not in used)
        node.prepare(spec, slot.pod_range(free), self.plane, images)
        return node

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two callers that change the set of nodes take turns, in this process or in others."""
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make_room(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        if not (directory / RECORD).exists():
            raise DevclusterError(f"{directory} is not empty and holds no cluster of ours. Choose another directory.")
        if Cluster.is_left_in(directory):
            raise DevclusterError(f"A cluster runs in {directory} already. 'tunesmith-devcluster down' ends it.")
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
