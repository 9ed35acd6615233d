"""The node's HTTPS server, asked by the API server: container logs, health, pods.

TLS itself refuses everyone without a certificate of the cluster's CA.
"""

import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from tunesmith_devcluster.nodes import logs
from tunesmith_devcluster.nodes.pod_worker import PodWorker
from tunesmith_devcluster.nodes.status import Running, Waiting
from tunesmith_devcluster.nodes.volume_stats import volume_stats


class KubeletServer:
    """Serves one node on a free port of the loopback address."""

    def __init__(self, directory: Path, ca_pem: bytes, workers: Callable[[], Mapping[str, PodWorker]]) -> None:
        self._directory = directory
        self._ca_pem = ca_pem
        self._workers = workers
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._container_logs)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/pods", self._pods)
        app.router.add_get("/stats/summary", self._summary)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls(), reuse_address=True)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection and listen no more."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _container_logs(self, request: web.Request) -> web.StreamResponse:
        name = (request.match_info["namespace"], request.match_info["pod"])
        container = request.match_info["container"]
        worker = next((one for one in self._workers().values() if (one.pod.namespace, one.pod.name) == name), None)
        if worker is None:
            return web.Response(status=404, text=f"pod {name[1]!r} is not on this node\n")
        views = {one: runner.view for one, runner in worker.runners.items()}
        if container not in views:
            return web.Response(status=404, text=f"container {container!r} is not in pod {name[1]!r}\n")
        try:
            options = logs.LogOptions.of(dict(request.query))
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        view = views[container]
        is_previous = request.query.get("previous") == "true"
        if is_previous and view.restart_count == 0:
            return web.Response(status=400, text=f"previous terminated container {container!r} not found\n")
        restart = view.restart_count - is_previous
        path = logs.log_path(self._directory, worker.pod.uid, container, restart)
        if isinstance(view.state, Waiting) and not path.exists():
            words = f"container {container!r} in pod {name[1]!r} is waiting to start: {view.state.reason}\n"
            return web.Response(status=400, text=words)

        def is_running() -> bool:
            return isinstance(view.state, Running) and view.restart_count == restart

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for piece in logs.read(path, options, is_running):
            await response.write(piece)
        await response.write_eof()
        return response

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _pods(self, _: web.Request) -> web.Response:
        items = [worker.pod.raw for worker in self._workers().values()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "items": items}, dumps=json.dumps)

    async def _summary(self, _: web.Request) -> web.Response:
        """How full the claims are that pods of this node mount; of a kubelet's summary nothing else."""
        pods = [
            {
                "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                "volume": await volume_stats(claims),
            }
            for pod, claims in [(each.pod, dict(each.home.volumes.claims)) for each in self._workers().values()]
        ]
        return web.json_response({"node": {}, "pods": pods}, dumps=json.dumps)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self._ca_pem.decode())
        context.load_cert_chain(self._directory / "kubelet.crt", self._directory / "kubelet.key")
        context.verify_mode = ssl.CERT_REQUIRED
        return context
