"""One process node: registers, heart-beats, gives each pod that is bound to it a worker, and takes commands."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster.nodes import registration
from tunesmith_devcluster.nodes.api import Api, ApiError, Json, Unreachable
from tunesmith_devcluster.nodes.clock import now_text
from tunesmith_devcluster.nodes.control import Control
from tunesmith_devcluster.nodes.environment import ApiKeys
from tunesmith_devcluster.nodes.events import EventRecorder
from tunesmith_devcluster.nodes.hosts import HostsBoard
from tunesmith_devcluster.nodes.images import ImageTable
from tunesmith_devcluster.nodes.pod_object import PodObject
from tunesmith_devcluster.nodes.pod_worker import PodWorker
from tunesmith_devcluster.nodes.resources import Addresses, Gpus
from tunesmith_devcluster.nodes.runner import Household
from tunesmith_devcluster.nodes.server import KubeletServer
from tunesmith_devcluster.nodes.spec import NodeSpec

_log = logging.getLogger(__name__)
_HEARTBEAT_SECONDS = 2.0
_RETRY_SECONDS = 0.5
_CONTROL_SECONDS = 0.1
_HOSTS_SECONDS = 0.2
_STATUS_EVERY_BEATS = 30
_HOST_IP = "127.0.0.1"


@dataclass(frozen=True)
class NodeOptions:
    """What a node is started with."""

    spec: NodeSpec
    directory: Path
    pod_range: str
    images: ImageTable


class ProcessNode:
    """The node. `run` returns after `end`, with all its pods' processes ended."""

    def __init__(self, options: NodeOptions, api: Api) -> None:
        self._spec = options.spec
        self._directory = options.directory
        self._api = api
        self._gpus = Gpus(options.spec.gpus)
        self._addresses = Addresses(options.pod_range)
        self._board = HostsBoard(options.directory.parent / "hosts.d", options.spec.name)
        self._events = EventRecorder(api, options.spec.name)
        self._server = KubeletServer(options.directory, api.access.ca_pem, lambda: self._workers)
        self._household = Household(
            node_name=options.spec.name, host_ip=_HOST_IP, directory=options.directory, api=api,
            keys=ApiKeys(self._get_or_none), images=options.images, events=self._events,
            backoff_factor=options.spec.backoff_factor,
        )  # fmt: skip
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._control = Control()
        self._ready_since = now_text()
        self._uid = ""
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Ask the node to end."""
        self._ending.set()

    async def run(self) -> None:
        """Register, then work until asked to end."""
        await self._server.start()
        await self._register()
        duties = [self._heartbeat(), self._follow_pods(), self._obey(), self._keep_hosts(), self._events.run()]
        tasks = [asyncio.create_task(duty) for duty in duties]
        (self._directory / "ready").write_text(now_text(), encoding="utf-8")
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait({ending, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        broken = [task for task in tasks if task.done()]
        ending.cancel()
        for task in tasks:
            task.cancel()
        await self._server.stop()
        await asyncio.gather(*(worker.kill() for worker in self._workers.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for task in broken:
            task.result()  # a duty never returns: if it broke off, this raises why

    async def _register(self) -> None:
        path = f"/api/v1/nodes/{self._spec.name}"
        while True:
            try:
                await self._create_or_label(path)
                await self._send_node_status()
            except (ApiError, Unreachable) as error:
                _log.warning("registering: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _create_or_label(self, path: str) -> None:
        try:
            created = await self._api.post("/api/v1/nodes", registration.node_object(self._spec))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            created = await self._api.patch(path, {"metadata": {"labels": registration.node_labels(self._spec)}})
        self._uid = created["metadata"]["uid"]

    async def _send_node_status(self) -> None:
        status = registration.node_status(
            self._spec,
            allocatable_gpus=self._gpus.allocatable,
            ready=self._control.ready,
            port=self._server.port,
            ready_since=self._ready_since,
        )
        await self._api.patch(f"/api/v1/nodes/{self._spec.name}/status", {"status": status})

    async def _heartbeat(self) -> None:
        beats = 0
        while True:
            try:
                await self._renew_lease()
                if beats % _STATUS_EVERY_BEATS == 0:
                    await self._send_node_status()
                beats += 1
            except (ApiError, Unreachable) as error:
                _log.info("heartbeat: %s", error)
                beats = 0
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _renew_lease(self) -> None:
        body = registration.lease(self._spec, self._uid)
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        try:
            await self._api.patch(f"{path}/{self._spec.name}", {"spec": body["spec"]})
        except ApiError as error:
            if error.status != 404:
                raise
            await self._api.post(path, body)

    async def _follow_pods(self) -> None:
        while True:
            try:
                await self._list_and_watch()
            except (ApiError, Unreachable) as error:
                _log.info("watching pods: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _list_and_watch(self) -> None:
        mine = f"spec.nodeName={self._spec.name}"
        listed = await self._api.get("/api/v1/pods", fieldSelector=mine)
        pods = [PodObject(item) for item in listed.get("items") or []]
        present = {pod.uid for pod in pods}
        for uid, worker in list(self._workers.items()):
            if uid not in present:
                worker.vanish()
        for pod in pods:
            self._meet(pod)
        version = listed["metadata"]["resourceVersion"]
        while True:
            async for event in self._api.watch("/api/v1/pods", fieldSelector=mine, resourceVersion=version):
                version = event["object"]["metadata"]["resourceVersion"]
                self._hear(event)

    def _hear(self, event: Json) -> None:
        if event["type"] == "BOOKMARK":
            return
        pod = PodObject(event["object"])
        if event["type"] == "DELETED":
            worker = self._workers.get(pod.uid)
            if worker is not None:
                worker.vanish()
            return
        self._meet(pod)

    def _meet(self, pod: PodObject) -> None:
        worker = self._workers.get(pod.uid)
        if worker is not None:
            worker.update(pod)
            return
        worker = PodWorker(pod, self._household, self._gpus, self._addresses, self._board)
        self._workers[pod.uid] = worker
        task = asyncio.create_task(worker.run())
        self._tasks[pod.uid] = task
        task.add_done_callback(lambda done: self._part(pod.uid, done))

    def _part(self, uid: str, done: asyncio.Task[None]) -> None:
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if not done.cancelled() and done.exception() is not None:
            _log.error("pod %s", uid, exc_info=done.exception())

    async def _obey(self) -> None:
        """Take up what the control file asks."""
        while True:
            await asyncio.sleep(_CONTROL_SECONDS)
            wanted = Control.read(self._directory)
            if wanted.sequence != self._control.sequence:
                await self._take_up(wanted)

    async def _take_up(self, wanted: Control) -> None:
        before = self._control
        if wanted.ready != before.ready:
            self._ready_since = now_text()
        self._control = wanted
        self._gpus.lost = wanted.lost_gpus
        if wanted.cut_off and not before.cut_off:
            await self._server.stop()
            await self._api.cut_off()
        if before.cut_off and not wanted.cut_off:
            self._api.reconnect()
            await self._server.start()
        if not wanted.cut_off:
            await self._insist_on_node_status()
        wanted.acknowledge(self._directory)

    async def _insist_on_node_status(self) -> None:
        while True:
            try:
                await self._send_node_status()
            except (ApiError, Unreachable) as error:
                _log.info("node status: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _keep_hosts(self) -> None:
        while True:
            if self._board.look():
                for worker in self._workers.values():
                    worker.write_hosts()
            await asyncio.sleep(_HOSTS_SECONDS)

    async def _get_or_none(self, path: str) -> Json | None:
        try:
            return await self._api.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


async def run_node(options: NodeOptions, api: Api, ended: asyncio.Event) -> None:
    """Run a node until `ended` is set."""
    async with api:
        node = ProcessNode(options, api)
        waiting = asyncio.create_task(ended.wait())
        waiting.add_done_callback(lambda _: node.end())
        try:
            await node.run()
        finally:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
