"""Answers what the provider's SDK asks of models: `fine-tunes/models/limits` and `fine-tunes/models/supported`.

Without a key: it is what the installation allows anybody to see. A port of its own, so that who may ask this sees no
metrics.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from aiohttp import ETag, web

from tunesmith.serving.limits import limits_answer, supported_answer
from tunesmith.serving.rate import RateLimit

Raw = Mapping[str, Any]
LONGEST_NAME = 256
RETRY_SECONDS = 5

log = logging.getLogger(__name__)


class LimitsServer:
    """An async context manager: it serves while it is entered. `models` raises OSError when it cannot be known."""

    def __init__(
        self, address: str, port: int, *, models: Callable[[], Awaitable[Iterable[Raw]]], rate: RateLimit
    ) -> None:
        """Port 0 takes a free one; `port` then says which."""
        self.port = port
        self._address = address
        self._models = models
        self._rate = rate
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> LimitsServer:
        app = web.Application(client_max_size=1024, middlewares=[self._limited])
        app.router.add_get("/v1/fine-tunes/models/limits", self._limits)
        app.router.add_get("/v1/fine-tunes/models/supported", self._supported)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._address, self.port).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _limited(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Before anything is looked up; and every refusal in the provider's shape."""
        wait_seconds = self._rate.wait_seconds(request.remote or "")
        if wait_seconds:
            return _refused(429, "Too many requests.", retry_seconds=math.ceil(wait_seconds))
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            return _refused(refusal.status, refusal.reason)
        except OSError as error:
            log.warning("The models cannot be read.", extra={"why": str(error)})
            return _refused(503, "The models cannot be read now.", retry_seconds=RETRY_SECONDS)

    async def _limits(self, request: web.Request) -> web.Response:
        name = request.query.get("model_name", "")
        if not name or len(name) > LONGEST_NAME:
            return _refused(400, "Give the model in `model_name`.")
        answer, why = limits_answer(await self._models(), name)
        return _refused(404, why) if answer is None else _answered(request, answer)

    async def _supported(self, request: web.Request) -> web.Response:
        return _answered(request, supported_answer(await self._models()))


def _answered(request: web.Request, answer: Mapping[str, Any]) -> web.Response:
    """The answer with its tag, or 304 to who has it already."""
    body = json.dumps(answer, sort_keys=True).encode()
    tag = ETag(hashlib.sha256(body).hexdigest()[:32])
    known = request.if_none_match or ()
    if any(each.value in {tag.value, "*"} for each in known):
        response = web.Response(status=304)
    else:
        response = web.Response(body=body, content_type="application/json")
    response.etag = tag
    response.headers["Cache-Control"] = "no-cache"
    return response


def _refused(status: int, message: str, retry_seconds: int | None = None) -> web.Response:
    headers = {} if retry_seconds is None else {"Retry-After": str(retry_seconds)}
    return web.json_response({"message": message}, status=status, headers=headers)
