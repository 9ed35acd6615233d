"""Answers `/livez`, `/readyz` and `/metrics` over HTTP. Knows nothing of why; it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

BEAT_SECONDS = 1.0
LONGEST_SILENCE_SECONDS = 30.0


class HttpServer:
    """An async context manager: it serves while it is entered. A standby is alive and ready to take over."""

    def __init__(
        self,
        address: str,
        port: int,
        *,
        registry: CollectorRegistry,
        ready: Callable[[], bool],
        dead: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Port 0 takes a free one; `port` then says which. `dead` says what part of the process is; None: nothing."""
        self.port = port
        self._address = address
        self._registry = registry
        self._ready = ready
        self._dead = dead
        self._beat_at = time.monotonic()
        self._runner: web.AppRunner | None = None
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HttpServer:
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self._beating = asyncio.create_task(self._beat(), name="heartbeat")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _beat(self) -> None:
        """Shows that the event loop goes round."""
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    async def _livez(self, _: web.Request) -> web.Response:
        silent_seconds = time.monotonic() - self._beat_at
        if silent_seconds > LONGEST_SILENCE_SECONDS:
            return web.Response(status=503, text=f"the event loop stood still for {silent_seconds:.0f} s\n")
        dead = self._dead()
        if dead is not None:
            return web.Response(status=503, text=f"{dead}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="this replica leads, and has not listed everything yet\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
