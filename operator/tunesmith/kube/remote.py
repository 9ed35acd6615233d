"""The bought clusters: a client and a view of nodes, pods and jobs for each, from the kubeconfig Secret beside it.

Each cluster has tasks, connections, a breaker and a cache of its own: one that is dead delays nobody else. Nothing here
waits for a cluster but the caller of `kube`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.kube.breaker import Breaker
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.connect import open_remote
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import JOB, NAMESPACE, NODE, POD, SECRET
from tunesmith.kube.kubeconfig import KubeconfigRefused, read_kubeconfig
from tunesmith.kube.reflector import Reflector, keep_all
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Known, NotYet, Refused, Unknown
from tunesmith.planning.decision import ErrorClass, Failure

Raw = Mapping[str, Any]
PROBE_SECONDS = 10.0
OWN_JOBS = "app.kubernetes.io/managed-by=tunesmith"
GPU_RESOURCE = "nvidia.com/gpu"
NOT_ASKED = NotYet("the cluster has not been asked yet")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteView:
    """What is known of a bought cluster. A list is Unknown until it was read whole, and while nobody answers."""

    reachable: Known[bool] | Unknown
    nodes: Known[tuple[Raw, ...]] | Unknown
    pods: Known[tuple[Raw, ...]] | Unknown  # those that ask for GPUs or are ours, of all namespaces
    jobs: Known[tuple[Raw, ...]] | Unknown  # ours


@dataclass(frozen=True)
class RemotePorts:
    """What bought clusters need of the rest. `secret_name` is None when there is no such GPUCluster."""

    local: Kube
    secret_name: Callable[[RemoteCluster], str | None]
    changed: Callable[[RemoteCluster, Raw], None]
    secret: Callable[[str], None]
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    allow_loopback: bool = False


class RemoteClusters:
    """All bought clusters, connected to when they are first asked for."""

    def __init__(self, ports: RemotePorts) -> None:
        self._ports = ports
        self._connections: dict[RemoteCluster, _Connection] = {}

    def view(self, remote: RemoteCluster) -> RemoteView:
        """What is known of it. Returns at once; `changed` tells when there is more."""
        return self._connection(remote).view()

    async def kube(self, remote: RemoteCluster) -> Kube:
        """The client. Raises `KubeError` when there is no usable kubeconfig."""
        return await self._connection(remote).kube()

    async def kube_for(self, where: RemoteCluster | None) -> Kube:
        """The client of a bought cluster, or of the local one for None."""
        return self._ports.local if where is None else await self.kube(where)

    async def stop(self, remote: RemoteCluster) -> None:
        """The GPUCluster is gone: end what runs for it."""
        connection = self._connections.pop(remote, None)
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """End what runs for all of them."""
        for remote in list(self._connections):
            await self.stop(remote)

    def _connection(self, remote: RemoteCluster) -> _Connection:
        if remote not in self._connections:
            self._connections[remote] = _Connection(remote, self._ports)
        return self._connections[remote]


class _Connection:
    """One bought cluster. A task connects, probes, and connects anew when the Secret's content changes."""

    def __init__(self, remote: RemoteCluster, ports: RemotePorts) -> None:
        self._remote = remote
        self._ports = ports
        self._breaker = Breaker(ports.monotonic)
        self._cache = Cache()
        self._kube: Kube | None = None
        self._fingerprint = ""
        self._reachable: Known[bool] | Unknown = NOT_ASKED
        self._refused: Failure | None = None
        self._reflectors: list[asyncio.Task[None]] = []
        self._connecting = asyncio.Lock()
        self._keeper = asyncio.create_task(self._keep(), name=f"remote {remote.namespace}/{remote.name}")

    def view(self) -> RemoteView:
        """What is known, Unknown as long as the API does not answer."""
        return RemoteView(self._reachable, self._known("Node"), self._known("Pod"), self._known("Job"))

    async def kube(self) -> Kube:
        """The client, connected on first use."""
        if self._kube is None:
            await self._connect()
        assert self._kube is not None
        return self._kube

    async def close(self) -> None:
        """End the tasks and the connections."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        await self._disconnect()

    def _known(self, kind: str) -> Known[tuple[Raw, ...]] | Unknown:
        if isinstance(self._reachable, Unknown):
            return self._reachable
        if not self._reachable.value:
            return Unknown("the cluster's API server does not answer")
        if not self._cache.synced(kind):
            return NotYet(f"the cluster's {kind}s have not been listed yet")
        return Known(tuple(self._cache.list(kind)), self._reachable.as_of)

    async def _keep(self) -> None:
        while True:
            before = self._reachable
            try:
                self._reachable = await self._probe()
            except KubeError as error:
                refused = error.failure.error is ErrorClass.INVALID
                self._reachable = (Refused if refused else Unknown)(error.failure.message)
            except Exception:
                log.exception("Looking after a bought cluster failed.", extra={"remote": self._remote.name})
                self._reachable = Unknown("looking after the cluster failed; see the operator's log")
            if _said(before) != _said(self._reachable):
                self._ports.changed(self._remote, {})
            await asyncio.sleep(PROBE_SECONDS * (0.8 + 0.4 * self._ports.jitter()))

    async def _probe(self) -> Known[bool]:
        """Read the Secret again (it may have been renewed) and ask the cluster something small."""
        await self._connect()
        assert self._kube is not None
        begun = self._ports.monotonic()
        try:
            await self._kube.get(NAMESPACE, None, "kube-system")
        except KubeError as error:
            if error.failure.error is ErrorClass.UNAVAILABLE:
                return Known(False, begun)
            raise
        return Known(True, begun)

    async def _connect(self) -> None:
        async with self._connecting:
            text = await self._kubeconfig_text()
            fingerprint = hashlib.sha256(text.encode()).hexdigest()
            if self._kube is not None and fingerprint == self._fingerprint:
                return
            await self._disconnect()
            try:
                self._kube = self._opened(text)
            except KubeconfigRefused as refusal:
                message = f"The kubeconfig of GPUCluster '{self._remote.name}' is not used: {refusal}."
                raise KubeError(Failure(ErrorClass.INVALID, message)) from refusal
            self._fingerprint = fingerprint
            self._start_reflectors(self._kube)

    def _opened(self, text: str) -> Kube:
        access = read_kubeconfig(text, allow_loopback=self._ports.allow_loopback)
        for secret in (text, access.token, access.client_key_pem):
            self._ports.secret(secret)
        self._breaker = Breaker(self._ports.monotonic)
        return open_remote(
            access,
            allow_loopback=self._ports.allow_loopback,
            observer=self._breaker.observe,
            gate=self._breaker.gate,
        )

    async def _kubeconfig_text(self) -> str:
        name = self._ports.secret_name(self._remote)
        if name is None:
            raise _missing(f"There is no GPUCluster '{self._remote.name}'.")
        secret = await self._ports.local.get(SECRET, self._remote.namespace, name)
        encoded = ((secret or {}).get("data") or {}).get("value")
        if not encoded:
            raise _missing(f"The kubeconfig Secret '{name}' of GPUCluster '{self._remote.name}' does not exist yet.")
        try:
            return base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            message = f"The kubeconfig Secret '{name}' holds no text."
            raise KubeError(Failure(ErrorClass.INVALID, message)) from error

    def _start_reflectors(self, kube: Kube) -> None:
        watched = ((NODE, "", keep_all), (POD, "", uses_gpus_or_is_ours), (JOB, OWN_JOBS, keep_all))
        for kind, selector, keep in watched:
            reflector = Reflector(
                kube,
                kind,
                self._cache,
                changed=lambda raw: self._ports.changed(self._remote, raw),
                monotonic=self._ports.monotonic,
                jitter=self._ports.jitter,
                label_selector=selector,
                keep=keep,
            )
            name = f"remote {self._remote.name} {kind.plural}"
            task = asyncio.create_task(reflector.run(), name=name)
            task.add_done_callback(self._reflector_ended)
            self._reflectors.append(task)

    def _reflector_ended(self, task: asyncio.Task[None]) -> None:
        """It never ends by itself. Whatever ended it, the next probe connects anew: no list grows old unseen."""
        if task.cancelled():
            return
        log.error("A watch of a bought cluster ended.", extra={"task": task.get_name()}, exc_info=task.exception())
        self._fingerprint = ""

    async def _disconnect(self) -> None:
        for task in self._reflectors:
            task.cancel()
        await asyncio.gather(*self._reflectors, return_exceptions=True)
        self._reflectors.clear()
        self._cache = Cache()
        if self._kube is not None:
            await self._kube.close()
            self._kube = None


def uses_gpus_or_is_ours(pod: Raw) -> bool:
    """Whether planning wants to know of a pod."""
    if (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "tunesmith":
        return True
    spec = pod.get("spec") or {}
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    return any(GPU_RESOURCE in ((each.get("resources") or {}).get("limits") or {}) for each in containers)


def _missing(message: str) -> KubeError:
    return KubeError(Failure(ErrorClass.NOT_FOUND, message))


def _said(reachable: Known[bool] | Unknown) -> object:
    return reachable.value if isinstance(reachable, Known) else reachable.why
