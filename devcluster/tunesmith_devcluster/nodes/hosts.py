"""Names of pods without a DNS: a shared directory of who lives where, and each pod's `/etc/hosts` made from it.

A node may not list other nodes' pods, so each writes its own into the cluster's `hosts.d`, one file per pod, and reads
the others' from there.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tunesmith_devcluster.nodes.api import Json
from tunesmith_devcluster.nodes.pod_object import PodObject

_HEADER = "# Kept by the process node.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


@dataclass(frozen=True)
class Resident:
    """One pod with an address."""

    node: str
    namespace: str
    hostname: str
    subdomain: str
    ip: str


class HostsBoard:
    """The shared directory, as one node uses it."""

    def __init__(self, directory: Path, node: str) -> None:
        self._directory = directory
        self._node = node
        self._seen: tuple[tuple[str, int], ...] = ()
        self._residents: tuple[Resident, ...] = ()
        directory.mkdir(parents=True, exist_ok=True)
        forget_node(directory, node)

    def add(self, pod: PodObject, ip: str) -> None:
        """Tell everyone where a pod lives."""
        resident = Resident(self._node, pod.namespace, pod.hostname, pod.subdomain, ip)
        fresh = self._directory / f".{pod.uid}"
        fresh.write_text(json.dumps(asdict(resident)), encoding="utf-8")
        fresh.rename(self._directory / f"{pod.uid}.json")

    def remove(self, uid: str) -> None:
        """A pod is gone."""
        (self._directory / f"{uid}.json").unlink(missing_ok=True)

    def look(self) -> bool:
        """Read the board again when it changed; returns whether it did."""
        entries = _entries(self._directory)
        seen = tuple((path.name, written) for written, path in entries)
        if seen == self._seen:
            return False
        self._seen = seen
        self._residents = tuple(resident for _, path in entries if (resident := _read(path)))
        return True

    def hosts_file(self, pod: PodObject, ip: str) -> str:
        """The content of one pod's `/etc/hosts`: itself, its aliases, and every pod of a headless Service."""
        lines = [
            _HEADER,
            _line(ip, _names(pod.hostname, pod.subdomain, pod.namespace, pod.namespace) or [pod.hostname]),
        ]
        if pod.subdomain:
            lines.append(_line(ip, [pod.hostname]))
        aliases: list[Json] = pod.spec.get("hostAliases") or []
        lines += [_line(alias["ip"], alias["hostnames"]) for alias in aliases]
        for other in self._residents:
            names = _names(other.hostname, other.subdomain, other.namespace, pod.namespace)
            if names and other.ip != ip:
                lines.append(_line(other.ip, names))
        return "".join(lines)


def forget_node(directory: Path, node: str) -> None:
    """Remove what a node that was killed has left on the board."""
    for _, path in _entries(directory):
        resident = _read(path)
        if resident is not None and resident.node == node:
            path.unlink(missing_ok=True)


def _entries(directory: Path) -> list[tuple[int, Path]]:
    """Newest first: where two pods have one name, the older is on its way out."""
    found = []
    for path in directory.glob("[!.]*.json"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return sorted(found, reverse=True)


def _read(path: Path) -> Resident | None:
    try:
        return Resident(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # removed meanwhile


def _names(hostname: str, subdomain: str, namespace: str, seen_from: str) -> list[str]:
    """The names that cluster DNS would give a pod of a headless Service, the search path of the asking pod applied."""
    if not subdomain:
        return []
    base = f"{hostname}.{subdomain}"
    full = [f"{base}.{namespace}.svc.cluster.local", f"{base}.{namespace}.svc", f"{base}.{namespace}"]
    return [*full, base] if namespace == seen_from else full


def _line(ip: str, names: list[str]) -> str:
    return f"{ip}\t{' '.join(names)}\n"
