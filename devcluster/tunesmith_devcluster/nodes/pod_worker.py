"""The life of one pod on this node: admitted, its volumes made, its containers run in order, reported, removed."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tunesmith_devcluster.nodes.api import ApiError, Json, Unreachable
from tunesmith_devcluster.nodes.clock import now_text
from tunesmith_devcluster.nodes.environment import ConfigurationError, PodAddress
from tunesmith_devcluster.nodes.hosts import HostsBoard
from tunesmith_devcluster.nodes.pod_object import PodObject, gpus_of, is_sidecar
from tunesmith_devcluster.nodes.resources import Addresses, Gpus
from tunesmith_devcluster.nodes.runner import ContainerRunner, Household, PodHome
from tunesmith_devcluster.nodes.status import PodFacts, Role, Terminated, Verdict, pod_status
from tunesmith_devcluster.nodes.volumes import PodVolumes

_log = logging.getLogger(__name__)
_VOLUME_RETRY_SECONDS = 1.0
_REFRESH_SECONDS = 5.0
_REPORT_GAP_SECONDS = 0.1
_REPORT_RETRY_SECONDS = 0.5


class PodWorker:
    """One pod. `run` returns when the pod is gone from the API server and from this machine."""

    def __init__(
        self, pod: PodObject, household: Household, gpus: Gpus, addresses: Addresses, board: HostsBoard
    ) -> None:
        self.runners: dict[str, ContainerRunner] = {}
        directory = household.directory / "pods" / pod.uid
        address = PodAddress("", household.host_ip, household.node_name)
        volumes = PodVolumes(directory / "volumes", household.api, household.keys)
        self.home = PodHome(household, pod, volumes, directory, address, self._changed)
        self._gpus, self._addresses, self._board = gpus, addresses, board
        self._dirty = asyncio.Event()
        self._leaving = asyncio.Event()
        self._stopping = asyncio.Event()
        self._gone = False
        self._over = pod.is_over
        self._volumes_ready = False
        self._told_ip = pod.status.get("podIP", "")
        self._verdict: Verdict | None = None
        self._start_time = pod.status.get("startTime") or now_text()
        self._last_sent: Json = pod.status

    @property
    def pod(self) -> PodObject:
        """The pod as last seen."""
        return self.home.pod

    def update(self, pod: PodObject) -> None:
        """The API server has a newer version of the pod."""
        self.home.pod = pod
        if pod.is_deleted:
            self._leaving.set()

    def vanish(self) -> None:
        """The API server has the pod no more (deleted by force, or while this node was cut off)."""
        self._gone = True
        self._leaving.set()

    async def run(self) -> None:
        """Live, report, and leave when asked to."""
        self.update(self.pod)
        reporter = asyncio.create_task(self._report())
        life = asyncio.create_task(self._live())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait({life, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not life.done():
                await self._stop(self.pod.grace_seconds)
            await life
            await leaving
        finally:
            for task in (reporter, life, leaving):
                task.cancel()
            self._release()
        await self._leave()

    async def kill(self) -> None:
        """End the processes now, tell nobody: the node itself ends."""
        await asyncio.gather(*(runner.stop(0) for runner in self.runners.values()))

    def write_hosts(self) -> None:
        """Write `/etc/hosts` again: in place, because it is mounted."""
        if not self.home.address.pod_ip:
            return
        content = self._board.hosts_file(self.pod, self.home.address.pod_ip).encode()
        mode = "r+b" if self.home.hosts_file.exists() else "w+b"
        with self.home.hosts_file.open(mode) as hosts:
            hosts.write(content)
            hosts.truncate()

    async def _live(self) -> None:
        if self._over:
            return
        try:
            await self._live_within_deadline()
        except Exception as error:
            _log.exception("pod %s/%s", self.pod.namespace, self.pod.name)
            self._verdict = Verdict("Failed", "NodeError", f"{type(error).__name__}: {error}")
            await self._stop(0)
        self._over = True
        self._release()
        self._changed()

    async def _live_within_deadline(self) -> None:
        held = self._gpus.take(self.pod.uid, self.pod.gpus)
        if held is None:
            message = (
                "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. "
                f"Requested: {self.pod.gpus}, Available: {self._gpus.left}, which is unexpected"
            )
            self._verdict = Verdict("Failed", "UnexpectedAdmissionError", message)
            self.home.household.events.warning(self.pod, "UnexpectedAdmissionError", message)
            return
        self._settle(held)
        deadline = self.pod.spec.get("activeDeadlineSeconds")
        work = asyncio.create_task(self._work())
        done, _ = await asyncio.wait({work}, timeout=float(deadline) if deadline else None)
        if not done:
            message = "Pod was active on the node longer than the specified deadline"
            self._verdict = Verdict("Failed", "DeadlineExceeded", message)
            await self._stop(self.pod.grace_seconds)
        await work

    def _settle(self, held: list[int]) -> None:
        """Give the pod its address, directory and runners."""
        on_host_network = bool(self.pod.spec.get("hostNetwork"))
        household = self.home.household
        ip = household.host_ip if on_host_network else self._addresses.take()
        self._told_ip = ip
        self.home.address = PodAddress(ip, household.host_ip, household.node_name)
        self.home.directory.mkdir(parents=True, exist_ok=True)
        self._board.add(self.pod, ip)
        self.write_hosts()
        status = self.pod.status
        earlier = {
            one["name"]: one for key in ("initContainerStatuses", "containerStatuses") for one in status.get(key) or []
        }
        for container in self.pod.init_containers:
            role: Role = "sidecar" if is_sidecar(container) else "init"
            indices = held[: gpus_of(container)]
            self._add_runner(ContainerRunner(self.home, container, role, indices, earlier.get(container["name"])))
        for container in self.pod.containers:
            indices, held = held[: gpus_of(container)], held[gpus_of(container) :]
            self._add_runner(ContainerRunner(self.home, container, "main", indices, earlier.get(container["name"])))
        self._changed()

    def _add_runner(self, runner: ContainerRunner) -> None:
        self.runners[runner.view.name] = runner

    async def _work(self) -> None:
        """Volumes, init containers one after the other, then all containers at once, until the last has ended."""
        if not await self._volumes():
            return
        refreshing = asyncio.create_task(self._refresh_volumes())
        sidecars: list[asyncio.Task[None]] = []
        try:
            if await self._initialize(sidecars):
                main = [runner for runner in self.runners.values() if runner.view.role == "main"]
                await asyncio.gather(*(runner.run() for runner in main))
        finally:
            refreshing.cancel()
            for runner in reversed(list(self.runners.values())):
                if runner.view.role == "sidecar":
                    await runner.stop(self.pod.grace_seconds)
            await asyncio.gather(*sidecars)

    async def _initialize(self, sidecars: list[asyncio.Task[None]]) -> bool:
        """Run the init containers in order; False when one failed or the pod is stopping."""
        for runner in self.runners.values():
            if self._stopping.is_set():
                return False
            if runner.view.role == "sidecar":
                sidecars.append(asyncio.create_task(runner.run()))
                await self._first_of(runner.started.wait(), self._stopping.wait())
            elif runner.view.role == "init":
                await runner.run()
                if not runner.view.succeeded:
                    return False
        return not self._stopping.is_set()

    async def _volumes(self) -> bool:
        while not self._stopping.is_set():
            try:
                await self.home.volumes.prepare(self.pod, self.home.address)
            except (ConfigurationError, ApiError, Unreachable, OSError) as error:
                self.home.household.events.warning(self.pod, "FailedMount", f"MountVolume.SetUp failed: {error}")
                await self._first_of(self._stopping.wait(), asyncio.sleep(_VOLUME_RETRY_SECONDS))
                continue
            self._volumes_ready = True
            self._changed()
            return True
        return False

    async def _refresh_volumes(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            with contextlib.suppress(ConfigurationError, ApiError, Unreachable):
                await self.home.volumes.refresh(self.pod, self.home.address)

    async def _stop(self, grace_seconds: float) -> None:
        self._stopping.set()
        for runner in self.runners.values():
            if runner.view.role == "main" and not isinstance(runner.view.state, Terminated):
                self.home.household.events.normal(self.pod, "Killing", f"Stopping container {runner.view.name}")
        ordinary = [runner for runner in self.runners.values() if runner.view.role != "sidecar"]
        await asyncio.gather(*(runner.stop(grace_seconds) for runner in ordinary))

    async def _leave(self) -> None:
        """Tell the end and let the pod go, then remove what it had here."""
        await self._insist(self._send_status)
        await self._insist(self._delete)
        self.home.volumes.remove()
        for place in (self.home.directory, self.home.household.directory / "logs" / self.pod.uid):
            shutil.rmtree(place, ignore_errors=True)

    def _release(self) -> None:
        """Give back what others may use now; the name too, which a successor may carry."""
        self._gpus.give_back(self.pod.uid)
        self._board.remove(self.pod.uid)
        household = self.home.household
        if self.home.address.pod_ip not in ("", household.host_ip):
            self._addresses.give_back(self.home.address.pod_ip)
        self.home.address = PodAddress("", household.host_ip, household.node_name)

    def _changed(self) -> None:
        self._dirty.set()

    async def _report(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._send_status()
            except (ApiError, Unreachable) as error:
                _log.info("status of %s/%s: %s", self.pod.namespace, self.pod.name, error)
                self._dirty.set()
                await asyncio.sleep(_REPORT_RETRY_SECONDS)
            await asyncio.sleep(_REPORT_GAP_SECONDS)

    async def _send_status(self) -> None:
        if not self.runners and self._verdict is None:
            return
        status = pod_status(self._facts(), self._last_sent | self._foreign_conditions())
        if status == self._last_sent:
            return
        body: Json = {"metadata": {"uid": self.pod.uid}, "status": status}
        try:
            await self.home.household.api.patch(f"{self.pod.path}/status", body)
        except ApiError as error:
            if error.status not in (404, 409):  # gone, or another pod of the same name: nobody to tell
                raise
        self._last_sent = status

    def _foreign_conditions(self) -> Json:
        """The conditions as last sent, with those that others have added since."""
        mine = {one["type"]: one for one in self._last_sent.get("conditions") or []}
        seen = {one["type"]: one for one in self.pod.status.get("conditions") or []}
        return {"conditions": list((seen | mine).values())}

    def _facts(self) -> PodFacts:
        return PodFacts(
            containers=[runner.view for runner in self.runners.values()],
            start_time=self._start_time,
            now=now_text(),
            pod_ip=self._told_ip,
            host_ip=self.home.household.host_ip,
            sandbox_ready=self._volumes_ready,
            over=self._over,
            verdict=self._verdict,
        )

    async def _delete(self) -> None:
        options: Json = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod.uid}}
        try:
            await self.home.household.api.delete(self.pod.path, options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _insist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try until the API server has heard it, or has the pod no more."""
        while not self._gone:
            try:
                await attempt()
            except (ApiError, Unreachable) as error:
                _log.info("leaving %s/%s: %s", self.pod.namespace, self.pod.name, error)
                await asyncio.sleep(_REPORT_RETRY_SECONDS)
            else:
                return

    async def _first_of(self, *waits: Coroutine[Any, Any, Any]) -> None:
        tasks = {asyncio.ensure_future(wait) for wait in waits}
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
