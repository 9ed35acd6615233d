"""The operator's process, from start to end. Crash-only: whatever fails ends it, and the other replica goes on.

Order: HTTP server, lease, workers, feed. Everything is older than the feed, because kopf ends what is younger than it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from tunesmith.cloud.gate import Gates
from tunesmith.cloud.limiter import RateLimiter
from tunesmith.controllers.bought import Provider
from tunesmith.controllers.feed import run_feed
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.ports import Ports, SystemClock
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Chance, Reconciler
from tunesmith.controllers.refusal import refusal_of
from tunesmith.controllers.registry import Registered, register
from tunesmith.controllers.runtime import Pace, Runtime
from tunesmith.controllers.urgency import urgent_in
from tunesmith.garbage import look_now_and_then, look_seldom
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.connect import open_local, use_small_tls_buffers
from tunesmith.kube.events import EventRecorder
from tunesmith.kube.kinds import NAMESPACE
from tunesmith.kube.lease import Lease
from tunesmith.kube.remote import RemoteClusters, RemotePorts
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Installation
from tunesmith.serving.audit_log import configure_audit
from tunesmith.serving.limits_server import LimitsServer
from tunesmith.serving.logs import Redactor, configure_logging
from tunesmith.serving.metrics import Metrics, Readings
from tunesmith.serving.models_seen import ModelsSeen
from tunesmith.serving.rate import RateLimit
from tunesmith.serving.server import HttpServer
from tunesmith.settings import ApiKeyFile, Settings, derived_installation_id

LOST_LEASE_EXIT = 70
DEAD_FEED_EXIT = 71
CONNECTS_A_SECOND = 20
CONNECTS_AT_ONCE = 40
"""A new connection to a bought cluster costs some 25 ms of a core: keys, four handshakes, three lists."""

log = logging.getLogger(__name__)


async def run(settings: Settings, kubeconfig: Path | None) -> None:
    """Run until SIGTERM. Returns after the lease was given back; raises whatever made it impossible to go on."""
    redactor = Redactor()
    configure_logging(redactor, settings.log_level)
    configure_audit(redactor, settings.audit_path)
    use_small_tls_buffers()
    look_seldom()
    looking = asyncio.create_task(look_now_and_then(), name="garbage")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _current_task().cancel)
    async with AsyncExitStack() as ends:
        ends.callback(looking.cancel)
        operator = await _Operator.assemble(settings, kubeconfig, redactor, ends)
        try:
            await operator.lead()
        except asyncio.CancelledError:
            log.info("Asked to end before this process was the active one.")
            return
        await run_feed(operator.intake.seen, kubeconfig)
        log.info("The feed has ended; so does the process.")


class _Operator:
    """The parts, put together. Nothing runs before `lead`."""

    def __init__(self, lease: Lease, runtime: Runtime, intake: Intake, ends: AsyncExitStack) -> None:
        self.intake = intake
        self._lease = lease
        self._runtime = runtime
        self._ends = ends

    @classmethod
    async def assemble(
        cls, settings: Settings, kubeconfig: Path | None, redactor: Redactor, ends: AsyncExitStack
    ) -> _Operator:
        """Build everything; what must be ended is put on `ends`."""
        clock, cache = SystemClock(), Cache()
        queue = WorkQueue(clock.monotonic, random.random, urgent_in(cache))
        intake = Intake(cache, queue)
        state = _State()
        gates = Gates()
        metrics = Metrics(
            Readings(
                lambda: queue.depth,
                lambda: queue.in_flight,
                lambda: state.leading,
                cache.list,
                gates.breakers,
                state.orphans_counted,
            )
        )
        gates.waited = metrics.cloud_held
        kube = await open_local(kubeconfig, metrics.kube_request)
        ends.push_async_callback(kube.close)
        server = HttpServer(
            settings.listen_address,
            settings.listen_port,
            registry=metrics.registry,
            ready=lambda: state.ready,
            dead=lambda: state.dead,
        )
        await ends.enter_async_context(server)
        log.info("Serving.", extra={"address": settings.listen_address, "port": server.port})
        await _serve_limits(settings, ModelsSeen(cache, kube, lambda: state.leading, clock.monotonic), clock, ends)
        identity = f"{settings.pod_name or socket.gethostname()}_{secrets.token_hex(4)}"
        recorder = EventRecorder(kube, now=clock.now, monotonic=clock.monotonic, instance=identity)
        remotes = RemoteClusters(
            RemotePorts(
                local=kube,
                secret_name=lambda remote: kubeconfig_secret_name(cache, remote),
                changed=intake.child_changed,
                secret=redactor.remember,
                monotonic=clock.monotonic,
                jitter=random.random,
                allow_loopback=settings.allow_loopback,
                cluster_id=lambda remote: provider_cluster_id(cache, remote),
                turn=RateLimiter(CONNECTS_A_SECOND, CONNECTS_AT_ONCE, monotonic=clock.monotonic).take,
            )
        )
        installation = await _installation(kube, settings)
        ports = Ports(cache, kube, remotes, installation, intake.wake, clock, redactor.remember, redactor.redacted)
        key = ApiKeyFile(settings.api_key_file)
        provider = Provider(
            settings.base_url, settings.project_id, key.read, metrics.cloud_request, gates, settings.api_generation
        )
        registered = register(ports, provider, recorder.record)
        state.orphans = registered.orphans
        reconciler = Reconciler(
            cache=cache,
            intake=intake,
            kube=kube,
            kube_actions=KubeActions(kube, remotes, intake.wrote),
            installation=installation,
            clock=clock,
            chance=Chance(random.random, lambda: secrets.token_hex(8)),
            recorder=recorder,
            refusal=refusal_of,
        )
        _make_known(registered, reconciler, intake)
        runtime = Runtime(
            cache=cache,
            queue=queue,
            intake=intake,
            kube=kube,
            remotes=remotes,
            reconciler=reconciler,
            recorder=recorder,
            key_workers=registered.key_workers,
            first_keys=registered.first_keys,
            clock=clock,
            jitter=random.random,
            instruments=metrics,
            feed_is_dead=_exit_with(DEAD_FEED_EXIT),
            pace=Pace(settings.workers, settings.resync_seconds),
        )
        lease = Lease(
            kube,
            settings.operator_namespace,
            settings.lease_name,
            identity,
            lost=_exit_with(LOST_LEASE_EXIT),
            now=clock.now,
            monotonic=clock.monotonic,
        )
        state.lease, state.runtime = lease, runtime
        return cls(lease, runtime, intake, ends)

    async def lead(self) -> None:
        """Wait for the lease, then start to work."""
        self._ends.push_async_callback(self._lease.release)
        await self._lease.acquire()
        self._ends.push_async_callback(self._runtime.stop)
        await self._runtime.start()


class _State:
    """What the HTTP server says of the process: a standby is ready to take over; the active one when it has listed."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.runtime: Runtime | None = None
        self.orphans: Callable[[], Mapping[str, int]] = dict

    def orphans_counted(self) -> Mapping[str, int]:
        return self.orphans()

    @property
    def leading(self) -> bool:
        return self.lease is not None and self.lease.held

    @property
    def ready(self) -> bool:
        return not self.leading or (self.runtime is not None and self.runtime.synced)

    @property
    def dead(self) -> str | None:
        """What of the active process has died without ending it."""
        return self.runtime.dead_watch() if self.leading and self.runtime is not None else None


def kubeconfig_secret_name(cache: Cache, remote: RemoteCluster) -> str | None:
    """The Secret that a GPUCluster's kubeconfig lies in; None when there is no such GPUCluster."""
    raw = cache.get("GPUCluster", remote.namespace, remote.name)
    if raw is None:
        return None
    for part in ("status", "spec"):
        name = (raw.get(part) or {}).get("kubeconfigSecretName")
        if name:
            return str(name)
    return f"{remote.name}-kubeconfig"


def provider_cluster_id(cache: Cache, remote: RemoteCluster) -> str | None:
    """The provider's id of the cluster that a GPUCluster has now; None when it has none."""
    raw = cache.get("GPUCluster", remote.namespace, remote.name) or {}
    return (raw.get("status") or {}).get("clusterID") or None


async def _installation(kube: Kube, settings: Settings) -> Installation:
    """The installation; without an id of its own it has one that follows from the cluster and the release."""
    if settings.installation_id is not None:
        return settings.installation(settings.installation_id)
    kube_system = await kube.get(NAMESPACE, None, "kube-system")
    if kube_system is None:
        raise RuntimeError("There is no namespace kube-system to derive an id from. Set TUNESMITH_INSTALLATION_ID.")
    return settings.installation(derived_installation_id(str(kube_system["metadata"]["uid"]), settings.release))


async def _serve_limits(settings: Settings, models: ModelsSeen, clock: SystemClock, ends: AsyncExitStack) -> None:
    """On a port of its own, if the administrator wants it; a minute's requests may come in ten seconds."""
    if settings.limits_port is None:
        return
    per_minute = settings.limits_requests_per_minute
    rate = RateLimit(per_minute / 60, max(1, per_minute // 6), clock.monotonic)
    server = LimitsServer(settings.listen_address, settings.limits_port, models=models, rate=rate)
    await ends.enter_async_context(server)
    log.info("Serving the models' limits.", extra={"address": settings.listen_address, "port": server.port})


def _make_known(registered: Registered, reconciler: Reconciler, intake: Intake) -> None:
    for controller in registered.controllers:
        reconciler.register(controller)
    for worker in registered.key_workers:
        intake.serve(worker.kind, lambda raw: ())
    for key in registered.first_keys:
        intake.wake(key)


def _exit_with(code: int) -> Callable[[str], None]:
    """End at once, without a last write: this process owns nothing any more."""

    def end(why: str) -> None:
        log.critical(why)
        logging.shutdown()
        os._exit(code)

    return end


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task
