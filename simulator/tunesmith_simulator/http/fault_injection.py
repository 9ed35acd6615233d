"""Strikes requests with the armed faults, as a network or a failing service would: before or after the effect."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from tunesmith_simulator.faults import Answer, Cut, Delay, Empty, Fault, FaultBook, Rewrite, Strike, Truncate
from tunesmith_simulator.http.access import account_who_asks
from tunesmith_simulator.http.route_names import asked_for
from tunesmith_simulator.simulation import Simulation

_STRUCK_BY: web.RequestKey[tuple[int, ...]] = web.RequestKey("struck_by", tuple[int, ...])
_UNANSWERED: web.RequestKey[bool] = web.RequestKey("unanswered", bool)

GRPC_CODES = {400: 3, 401: 16, 402: 9, 403: 7, 404: 5, 409: 8, 422: 3, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
"""The number that the service's error form carries beside each HTTP status."""


def struck_by(request: web.Request) -> tuple[int, ...]:
    """The numbers of the faults that struck a request."""
    numbers: tuple[int, ...] = request.get(_STRUCK_BY, ())
    return numbers


def was_cut(request: web.Request) -> bool:
    """Whether its connection was closed without a whole answer."""
    return _UNANSWERED in request


class FaultInjector:
    """Holds the armed faults of one run, and stands between its clients and its routes."""

    def __init__(self, simulation: Simulation, faults: Sequence[Fault] = ()) -> None:
        self._simulation = simulation
        self.book = FaultBook(simulation.seed)
        for fault in faults:
            self.arm(fault)

    def arm(self, fault: Fault) -> int:
        """Lay a fault in wait; its number."""
        self.book = self.book.with_fault(fault, self._simulation.clock())
        return self.book.last_number

    def clear(self, number: int | None = None) -> None:
        """Take one fault away, or all."""
        self.book = self.book.without(number)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the request pass, as the faults that it meets allow."""
        account = account_who_asks(request, self._simulation)
        asked = asked_for(request.method, request.path, account.name if account else None)
        self.book, strikes = self.book.meet(asked, self._simulation.clock())
        if not strikes:
            return await handler(request)
        request[_STRUCK_BY] = tuple(strike.number for strike in strikes)
        # What is held up has arrived whole: it takes effect also when the client is gone before the answer.
        await request.read()
        for strike in strikes:
            await _wait(strike)
        if (instead := _instead(request, strikes, after_effect=False)) is not None:
            return instead
        response = await handler(request)
        for strike in strikes:
            response = _spoilt(request, response, strike)
        return _instead(request, strikes, after_effect=True) or response


async def _wait(strike: Strike) -> None:
    match strike.effect:
        case Delay(seconds=least, up_to_seconds=most):
            await asyncio.sleep(least if most is None else least + (most - least) * strike.chance)


def _instead(request: web.Request, strikes: Sequence[Strike], *, after_effect: bool) -> web.Response | None:
    """What comes instead of the service's answer, if something does at this point."""
    for strike in strikes:
        match strike.effect:
            case Answer() as answer if answer.after_effect is after_effect:
                return _answer(answer)
            case Cut() as cut if cut.after_effect is after_effect:
                return _cut(request, b"")
            case Empty(status=status) if after_effect:
                return web.Response(status=status)
    return None


def _answer(answer: Answer) -> web.Response:
    body = answer.body
    if body is None:
        body = {"code": GRPC_CODES.get(answer.status, 2), "message": answer.message}
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.json_response(body, status=answer.status, headers=headers)


def _spoilt(request: web.Request, response: web.StreamResponse, strike: Strike) -> web.StreamResponse:
    """The service's own answer, after the faults that touch its text."""
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(response, web.Response) or not isinstance(body, bytes):
        return response
    match strike.effect:
        case Rewrite() as rewrite if response.status < 300:
            return web.json_response(rewritten(json.loads(body), rewrite), status=response.status)
        case Truncate(how="json", keep=keep):
            part = body[: int(len(body) * keep)]
            return web.Response(body=part, status=response.status, content_type="application/json")
        case Truncate(keep=keep):
            head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            return _cut(request, head.encode() + body[: int(len(body) * keep)])
    return response


def _cut(request: web.Request, sent: bytes) -> web.Response:
    """Close the connection after ``sent``."""
    request[_UNANSWERED] = True
    if request.transport is not None:
        request.transport.write(sent)
        request.transport.close()
    return web.Response()


def rewritten(answer: Any, rewrite: Rewrite) -> Any:
    """An answer with other fields: of its objects when it is a list of some, else its own."""
    lists = [value for value in answer.values() if isinstance(value, list)] if isinstance(answer, dict) else []
    is_list = len(lists) == 1 and set(answer) <= {"clusters", "volumes", "regions", "remediations", *_OF_A_PAGE}
    for each in lists[0] if is_list else [answer]:
        for path, value in rewrite.fields.items():
            _put(each, path.split("."), value)
        for path in rewrite.without:
            _take(each, path.split("."))
    return answer


_OF_A_PAGE = {"gpu_clusters", "shared_volumes", "has_next", "next_page_token"}


def _put(target: Any, path: list[str], value: Any) -> None:
    for holder in _holders(target, path[:-1]):
        for key in _keys(holder, path[-1], also_new=True):
            holder[key] = value


def _take(target: Any, path: list[str]) -> None:
    for holder in _holders(target, path[:-1]):
        for key in sorted(_keys(holder, path[-1], also_new=False), reverse=True):
            del holder[key]


def _holders(target: Any, path: list[str]) -> list[Any]:
    holders = [target]
    for part in path:
        holders = [holder[key] for holder in holders for key in _keys(holder, part, also_new=False)]
    return holders


def _keys(holder: Any, part: str, *, also_new: bool) -> list[Any]:
    if isinstance(holder, list):
        everything = range(len(holder))
        return [index for index in everything if part in {"*", str(index)}]
    if isinstance(holder, dict):
        return list(holder) if part == "*" else [part] if also_new or part in holder else []
    return []
