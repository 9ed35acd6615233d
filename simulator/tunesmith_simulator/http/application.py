"""Puts the HTTP application together: the record, the place for interventions, refusals to answers, routes.

A request passes: the record, then each intervention, then the translation of refusals, then its route. So an
intervention sees what a network between client and service sees: it may delay, refuse or cut before the effect, or let
the effect happen and spoil the answer.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tunesmith_simulator.faults import Fault
from tunesmith_simulator.http import (
    admin,
    admin_capacity,
    admin_faults,
    admin_repairs,
    g0,
    g2,
    identity,
    remediation_routes,
)
from tunesmith_simulator.http.access import account_name, admit
from tunesmith_simulator.http.fault_injection import FaultInjector, struck_by, was_cut
from tunesmith_simulator.http.record import RecordedRequest, RequestRecord
from tunesmith_simulator.refusals import Reason, RefusedError
from tunesmith_simulator.simulation import Simulation

logger = logging.getLogger(__name__)

Intervention = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
"""Stands between the client and an API route (never an admin route); calls the handler when it lets a request pass."""

MAX_BODY_BYTES = 1024 * 1024


def application(
    simulation: Simulation,
    record: RequestRecord,
    interventions: Sequence[Intervention] = (),
    faults: Sequence[Fault] = (),
) -> web.Application:
    """The application over ``simulation``; ``interventions`` are asked in order, the first outermost.

    The armed ``faults`` stand behind them.
    """
    injector = FaultInjector(simulation, faults)
    middlewares = [
        _recording(simulation, record),
        *map(_on_the_way, interventions),
        _on_the_way(injector),
        _refusals(simulation),
    ]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    app.add_routes(g2.routes(simulation))
    app.add_routes(g0.routes(simulation))
    app.add_routes(remediation_routes.routes(simulation))
    app.add_routes(identity.routes())
    app.add_routes(admin.routes(simulation, record))
    app.add_routes(admin_repairs.routes(simulation))
    app.add_routes(admin_capacity.routes(simulation))
    app.add_routes(admin_faults.routes(simulation, injector))
    return app


def _recording(simulation: Simulation, record: RequestRecord) -> Middleware:
    @web.middleware
    async def recording(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _is_admin(request):
            return await handler(request)
        began, clock_began = time.monotonic(), simulation.clock()
        status = None
        try:
            response = await handler(request)
            status = None if was_cut(request) else response.status
            return response
        finally:
            record.add(
                RecordedRequest(
                    time=clock_began,
                    method=request.method,
                    path=request.path,
                    query=request.query_string,
                    account=account_name(request),
                    status=status,
                    seconds=round(time.monotonic() - began, 6),
                    faults=struck_by(request),
                )
            )

    return recording


def _on_the_way(intervention: Intervention) -> Middleware:
    @web.middleware
    async def on_the_way(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await (handler(request) if _is_admin(request) else intervention(request, handler))

    return on_the_way


def _refusals(simulation: Simulation) -> Middleware:
    @web.middleware
    async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if not _is_admin(request):
                admit(request, simulation)
            return await handler(request)
        except RefusedError as refused:
            return _answer(refused)
        except web.HTTPNotFound:
            return _answer(RefusedError(Reason.NOT_FOUND, _no_such_path(request.path)))
        except web.HTTPMethodNotAllowed:
            message = f"{request.method} is not allowed on {request.path}"
            return _answer(RefusedError(Reason.METHOD_NOT_ALLOWED, message))
        except web.HTTPRequestEntityTooLarge:
            return _answer(RefusedError(Reason.INVALID, f"the body is larger than {MAX_BODY_BYTES} bytes"))
        except Exception:
            logger.exception("The simulator failed on %s %s", request.method, request.path)
            return web.json_response({"code": 13, "message": "internal error of the simulator"}, status=500)

    return refusals


def _answer(refused: RefusedError) -> web.Response:
    """A refusal in the service's form: a gRPC status, without ``details``."""
    # The official client repeats a 409 unless it is told not to; there is no point in asking for sold-out GPUs again.
    headers = {"x-should-retry": "false"} if refused.reason is Reason.OUT_OF_STOCK else None
    body = {"code": refused.reason.grpc_code, "message": refused.message}
    return web.json_response(body, status=refused.reason.http_status, headers=headers)


def _no_such_path(path: str) -> str:
    if path.startswith("/v1/v1/"):
        return f"no such path: {path}. The base URL must not end in /v1 for this client: it adds /v1 itself."
    return f"no such path: {path}"


def _is_admin(request: web.Request) -> bool:
    return request.path.startswith("/admin/")
