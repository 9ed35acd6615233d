"""The bought clusters: a client and a view of nodes, pods and jobs for each, from the kubeconfig Secret beside it.

Each cluster has tasks, connections, a breaker and a cache of its own: one that is dead delays nobody else. Nothing here
waits for a cluster but the caller of `kube`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tunesmith.kube.breaker import Breaker
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.connect import open_remote
from tunesmith.kube.credential_life import facts_of
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import JOB, NAMESPACE, NODE, POD, SECRET
from tunesmith.kube.kubeconfig import KubeconfigRefused, read_kubeconfig
from tunesmith.kube.reflector import Reflector, keep_all
from tunesmith.kube.stored_kubeconfig import StoredKubeconfig, stored_kubeconfig
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Known, NotYet, OtherCluster, Refused, Rejected, Unknown
from tunesmith.planning.cluster_observation import KubeconfigFacts
from tunesmith.planning.decision import ErrorClass, Failure

Raw = Mapping[str, Any]
PROBE_SECONDS = 10.0
PROBES_A_SECOND = 50
"""All clusters together: of more than five hundred each is asked less often. A look costs the operator milliseconds."""
SECRET_SECONDS = 300.0
"""How old the reading of a Secret may be while its cluster answers. Every pass reads it too, and says what differs."""
RETIRING_SECONDS = 60.0  # longer than any request may take
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
    kubeconfig_hash: str = ""  # of the kubeconfig that this was seen with; empty: not connected
    kube_system_uid: str = ""  # of the cluster that answered; empty: none did yet


@dataclass(frozen=True)
class RemotePorts:
    """What bought clusters need of the rest. `secret_name` is None when there is no such GPUCluster.

    `cluster_id` is the provider's id of the cluster that the GPUCluster has now: a Secret of another is not used.
    `turn` waits until one more cluster may be connected to: a restarted operator that greets two thousand at once has
    no time left for its lease.
    """

    local: Kube
    secret_name: Callable[[RemoteCluster], str | None]
    changed: Callable[[RemoteCluster, Raw], None]
    secret: Callable[[str], None]
    monotonic: Callable[[], float]
    jitter: Callable[[], float]
    allow_loopback: bool = False
    cluster_id: Callable[[RemoteCluster], str | None] | None = None
    turn: Callable[[], Awaitable[None]] | None = None


class RemoteClusters:
    """All bought clusters, connected to when they are first asked for."""

    def __init__(self, ports: RemotePorts) -> None:
        self._ports = ports
        self._connections: dict[RemoteCluster, _Connection] = {}

    def view(self, remote: RemoteCluster) -> RemoteView:
        """What is known of it. Returns at once; `changed` tells when there is more."""
        return self._connection(remote).view()

    def judge(self, kubeconfig: str) -> KubeconfigFacts:
        """What reading a kubeconfig says of it: whether it may be used, and until when."""
        return facts_of(kubeconfig, allow_loopback=self._ports.allow_loopback)

    def look_now(self, remote: RemoteCluster) -> None:
        """Its Secret is another than the one that it is seen with: read it at once."""
        self._connection(remote).probe_now()

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
            self._connections[remote] = _Connection(remote, self._ports, self._probe_seconds)
        return self._connections[remote]

    def _probe_seconds(self) -> float:
        """How long a cluster is left alone between two looks: one that answers, and that nobody asks for."""
        return max(PROBE_SECONDS, len(self._connections) / PROBES_A_SECOND)


class _Connection:
    """One bought cluster. A task connects, probes, and connects anew when the Secret's content changes.

    A client counts only once the cluster behind it was seen to be the one that was bought.
    """

    def __init__(self, remote: RemoteCluster, ports: RemotePorts, probe_seconds: Callable[[], float]) -> None:
        self._remote = remote
        self._ports = ports
        self._probe_seconds = probe_seconds
        self._breaker = Breaker(ports.monotonic)
        self._cache = Cache()
        self._kube: Kube | None = None
        self._stored: StoredKubeconfig | None = None
        self._kube_system_uid = ""
        self._reachable: Known[bool] | Unknown = NOT_ASKED
        self._reflectors: list[asyncio.Task[None]] = []
        self._retiring: dict[asyncio.Task[None], Kube] = {}
        self._connecting = asyncio.Lock()
        self._probe_now = asyncio.Event()
        self._secret_read = 0.0
        self._keeper = asyncio.create_task(self._keep(), name=f"remote {remote.namespace}/{remote.name}")

    def view(self) -> RemoteView:
        """What is known: Unknown as long as the API does not answer, or once the resource has another cluster."""
        if not self._is_of_present_cluster():
            return RemoteView(NOT_ASKED, NOT_ASKED, NOT_ASKED, NOT_ASKED)
        return RemoteView(
            self._reachable,
            self._known("Node"),
            self._known("Pod"),
            self._known("Job"),
            kubeconfig_hash=self._stored.hash if self._stored is not None and self._kube is not None else "",
            kube_system_uid=self._kube_system_uid,
        )

    def probe_now(self) -> None:
        """There is a reason to look at once: do not wait for the next turn."""
        self._probe_now.set()

    async def kube(self) -> Kube:
        """The client of the cluster that was bought; connected on first use."""
        if self._kube is None or not self._is_of_present_cluster():
            await self._connect()
        if not self._kube_system_uid:
            with suppress(_NoAnswerError):
                await self._identify()
        if self._kube is None:
            if isinstance(self._reachable, Refused):
                raise KubeError(Failure(ErrorClass.INVALID, self._reachable.why))
            raise _missing(f"The connection to GPUCluster '{self._remote.name}' was lost; it is tried again.")
        return self._kube

    async def close(self) -> None:
        """End the tasks and the connections."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        await self._disconnect()
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for kube in retiring.values():
            await kube.close()  # a task that is cancelled before its first step closes nothing

    def _is_of_present_cluster(self) -> bool:
        """The resource still has the cluster that this connection was made for."""
        if self._stored is None or self._ports.cluster_id is None:
            return True
        return self._stored.cluster_id == self._ports.cluster_id(self._remote)

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
            asked = self._probe_now.is_set()
            self._probe_now.clear()
            self._reachable = await self._looked(asked=asked)
            if _said(before) != _said(self._reachable):
                self._ports.changed(self._remote, {})
            with suppress(TimeoutError):
                async with asyncio.timeout(self._probe_seconds() * (0.8 + 0.4 * self._ports.jitter())):
                    await self._probe_now.wait()

    async def _looked(self, *, asked: bool) -> Known[bool] | Unknown:
        """What a probe said, as a fact. `asked`: somebody wants it, because something is not as it was."""
        try:
            return await self._probe(asked=asked)
        except _OtherClusterError as other:
            return OtherCluster(other.failure.message)
        except KubeError as error:
            match error.failure.error:
                case ErrorClass.INVALID:
                    return Refused(error.failure.message)
                case ErrorClass.UNAUTHENTICATED:
                    return Rejected("The cluster's API server does not accept the kubeconfig.")
                case _:
                    return Unknown(error.failure.message)
        except Exception:
            log.exception("Looking after a bought cluster failed.", extra={"remote": self._remote.name})
            return Unknown("looking after the cluster failed; see the operator's log")

    async def _probe(self, *, asked: bool) -> Known[bool]:
        """Read the Secret again if it may be another, and ask the cluster something small: who it is."""
        if asked or not self._is_settled():
            await self._connect()
        begun = self._ports.monotonic()
        try:
            await self._identify()
        except _NoAnswerError:
            return Known(False, begun)
        return Known(True, begun)

    def _is_settled(self) -> bool:
        """The cluster answered as the one that its Secret says, and the Secret was read not long ago."""
        answered = isinstance(self._reachable, Known) and self._reachable.value
        known = self._kube is not None and self._stored is not None and bool(self._stored.kube_system_uid)
        fresh = self._ports.monotonic() - self._secret_read < SECRET_SECONDS
        return answered and known and fresh and self._is_of_present_cluster()

    async def _identify(self) -> None:
        """See that the cluster is the one that was bought; only then is it watched. Raises `KubeError`."""
        kube, stored = self._kube, self._stored
        if kube is None or stored is None:
            raise _NoAnswerError
        try:
            found = await kube.get(NAMESPACE, None, "kube-system")
        except KubeError as error:
            if error.failure.error is ErrorClass.UNAVAILABLE:
                raise _NoAnswerError from error
            raise
        uid = str(((found or {}).get("metadata") or {}).get("uid", ""))
        if kube is not self._kube:
            raise _NoAnswerError  # it was replaced meanwhile; the next probe speaks for the new one
        if stored.kube_system_uid and uid != stored.kube_system_uid:
            await self._disconnect()
            raise _OtherClusterError(self._remote.name, stored.kube_system_uid, uid)
        self._kube_system_uid = uid
        if not self._reflectors:
            self._start_reflectors(kube)

    async def _connect(self) -> None:
        async with self._connecting:
            stored = await self._read_stored()
            self._secret_read = self._ports.monotonic()
            same = self._stored is not None and stored.is_same_access(self._stored)
            if self._kube is not None and same:
                self._stored = stored  # the uid may have been recorded meanwhile
                return
            await self._disconnect()
            if self._ports.turn is not None:
                await self._ports.turn()
            try:
                self._kube = self._opened(stored.text)
            except KubeconfigRefused as refusal:
                message = f"The kubeconfig of GPUCluster '{self._remote.name}' is not used: {refusal}."
                raise KubeError(Failure(ErrorClass.INVALID, message)) from refusal
            self._stored = stored

    def _opened(self, text: str) -> Kube:
        access = read_kubeconfig(text, allow_loopback=self._ports.allow_loopback)
        for secret in (text, access.token, access.client_key_pem):
            self._ports.secret(secret)
        self._breaker = Breaker(self._ports.monotonic)
        return open_remote(
            access,
            allow_loopback=self._ports.allow_loopback,
            observer=self._observe,
            gate=self._breaker.gate,
        )

    def _observe(self, verb: str, kind: str, outcome: str, seconds: float) -> None:
        """Any request that is not let in (401) is a reason to look at once, unless that is known already."""
        self._breaker.observe(verb, kind, outcome, seconds)
        if outcome == "401" and isinstance(self._reachable, Known):
            self.probe_now()

    async def _read_stored(self) -> StoredKubeconfig:
        name = self._ports.secret_name(self._remote)
        if name is None:
            raise _missing(f"There is no GPUCluster '{self._remote.name}'.")
        secret = await self._ports.local.get(SECRET, self._remote.namespace, name)
        stored = stored_kubeconfig(secret, name)
        if stored is None:
            raise _missing(f"The kubeconfig Secret '{name}' of GPUCluster '{self._remote.name}' does not exist yet.")
        if self._ports.cluster_id is not None and stored.cluster_id != self._ports.cluster_id(self._remote):
            message = (
                f"The Secret '{name}' holds the kubeconfig of another cluster than GPUCluster '{self._remote.name}' "
            )
            raise _missing(message + "has now; it is not used.")
        return stored

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
        self._stored = None
        self.probe_now()

    async def _disconnect(self) -> None:
        """Forget the cluster at once; requests that are in flight to it may end."""
        for task in self._reflectors:
            task.cancel()
        await asyncio.gather(*self._reflectors, return_exceptions=True)
        self._reflectors.clear()
        self._cache = Cache()
        self._stored, self._kube_system_uid = None, ""
        kube, self._kube = self._kube, None
        if kube is not None:
            retiring = asyncio.create_task(kube.close_when_idle(RETIRING_SECONDS), name=f"retire {self._remote.name}")
            self._retiring[retiring] = kube
            retiring.add_done_callback(lambda task: self._retiring.pop(task, None))


def uses_gpus_or_is_ours(pod: Raw) -> bool:
    """Whether planning wants to know of a pod."""
    if (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "tunesmith":
        return True
    spec = pod.get("spec") or {}
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    return any(GPU_RESOURCE in ((each.get("resources") or {}).get("limits") or {}) for each in containers)


class _NoAnswerError(Exception):
    """Nobody answered; nothing is known of who is there."""


class _OtherClusterError(KubeError):
    """Another cluster answered than the one that was bought."""

    def __init__(self, name: str, bought: str, found: str) -> None:
        message = (
            f"The kubeconfig of GPUCluster '{name}' leads to another Kubernetes (kube-system '{found[:64]}') than the "
        )
        super().__init__(Failure(ErrorClass.INVALID, f"{message}one that was bought ('{bought[:64]}')."))


def _missing(message: str) -> KubeError:
    return KubeError(Failure(ErrorClass.NOT_FOUND, message))


def _said(reachable: Known[bool] | Unknown) -> object:
    return reachable.value if isinstance(reachable, Known) else reachable.why
