"""Numbers 0 to 59 that keep clusters on one machine apart: pod addresses, service addresses and ports.

A slot is a small file in the user's runtime directory. It is free again when neither the process that took it nor any
process of the cluster that it was taken for runs any more; nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.processes import is_running, own_identity, recorded, write_atomically

COUNT = 60
PORTS_PER_SLOT = 16
FIRST_PORT = 20_000  # below the range that Linux takes outgoing ports from, so nobody gets in between


@dataclass(frozen=True)
class Slot:
    """What one cluster may use for itself."""

    number: int
    runtime_directory: Path

    @property
    def service_range(self) -> str:
        """Addresses of Services (nothing routes them)."""
        return f"10.{64 + self.number}.0.0/16"

    @property
    def first_service_address(self) -> str:
        """What the Service `kubernetes` gets."""
        return f"10.{64 + self.number}.0.1"

    def pod_range(self, node_index: int) -> str:
        """Addresses of one node's pods: node 1 to 254."""
        if not 1 <= node_index <= 254:
            raise DevclusterError(f"A cluster takes 254 process nodes, not {node_index}. Use kwok nodes for more.")
        return f"127.{64 + self.number}.{node_index}.0/24"

    def free_ports(self, count: int) -> list[int]:
        """Ports of this slot's own block that nothing listens on."""
        first = FIRST_PORT + self.number * PORTS_PER_SLOT
        free = [port for port in range(first, first + PORTS_PER_SLOT) if _can_listen(port)]
        if len(free) < count:
            raise DevclusterError(
                f"Of ports {first} to {first + PORTS_PER_SLOT - 1} on 127.0.0.1 only {len(free)} are free and {count} "
                "are needed. End what listens there ('ss -ltnp' shows it)."
            )
        return free[:count]


def take(cluster_directory: Path, wanted: int | None = None) -> Slot:
    """Take a free slot, or the wanted one, for the cluster whose pid files lie under this directory."""
    with _locked() as directory:
        for number in range(COUNT) if wanted is None else (wanted,):
            if _is_taken(directory / f"{number}.json"):
                continue
            pid, started_ticks = own_identity()
            owner = {"directory": str(cluster_directory.resolve()), "pid": pid, "started_ticks": started_ticks}
            write_atomically(directory / f"{number}.json", json.dumps(owner))
            return _slot(directory, number)
    which = "All 60 slots are" if wanted is None else f"Slot {wanted} is"
    raise DevclusterError(f"{which} taken by running clusters; 'ls {directory}' shows by which. End one of them first.")


def of_number(number: int) -> Slot:
    """The slot that a running cluster has taken before."""
    with _locked() as directory:
        return _slot(directory, number)


def give_back(slot: Slot, cluster_directory: Path) -> None:
    """Let the slot go, if it is still this cluster's."""
    with _locked() as directory:
        file = directory / f"{slot.number}.json"
        if file.exists() and json.loads(file.read_text())["directory"] == str(cluster_directory.resolve()):
            file.unlink()


def pid_files(cluster_directory: Path) -> list[Path]:
    """Every pid file of a cluster: its components' and its nodes'."""
    return sorted(cluster_directory.rglob("*.pid"))


def _slot(directory: Path, number: int) -> Slot:
    runtime = directory / str(number)
    runtime.mkdir(mode=0o700, exist_ok=True)
    return Slot(number, runtime)


def _is_taken(file: Path) -> bool:
    if not file.exists():
        return False
    owner = json.loads(file.read_text())
    if is_running(owner["pid"], owner["started_ticks"]):
        return True
    processes = map(recorded, pid_files(Path(owner["directory"])))
    return any(process is not None and process.alive for process in processes)


@contextmanager
def _locked() -> Iterator[Path]:
    directory = _directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def _directory() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = Path(runtime) if runtime else Path(tempfile.gettempdir(), f"tunesmith-{os.getuid()}")
    return parent / "tunesmith-slots"


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
