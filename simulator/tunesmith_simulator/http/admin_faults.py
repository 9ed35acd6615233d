"""The admin routes for what goes wrong, for the clock and for the ledger. As open as the others: loopback, no key.

No answer contains a key or a kubeconfig.
"""

from datetime import timedelta
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from tunesmith_simulator import happenings
from tunesmith_simulator.admin_words import (
    Advance,
    CertificateOrder,
    ClockRate,
    ClockState,
    FaultState,
    FaultStates,
    HappeningOrder,
    HappeningState,
    HappeningStates,
    LedgerState,
    Touched,
)
from tunesmith_simulator.faults import Fault
from tunesmith_simulator.http.fault_injection import FaultInjector
from tunesmith_simulator.ledger import ledger
from tunesmith_simulator.refusals import conflict, invalid, not_found
from tunesmith_simulator.simulation import ClockOnTheWallError, Simulation
from tunesmith_simulator.virtual_clock import VirtualClock


def routes(simulation: Simulation, injector: FaultInjector) -> list[web.RouteDef]:
    """The routes."""
    api = _Faults(simulation, injector)
    return [
        web.get("/admin/faults", api.list),
        web.post("/admin/faults", api.arm),
        web.delete("/admin/faults", api.clear),
        web.delete("/admin/faults/{number}", api.clear_one),
        web.get("/admin/happenings", api.happenings),
        web.post("/admin/happenings", api.happen),
        web.get("/admin/clock", api.clock),
        web.post("/admin/clock/advance", api.advance),
        web.post("/admin/clock/rate", api.run_clock),
        web.get("/admin/ledger", api.ledger),
        web.post("/admin/clusters/{cluster_id}/certificate", api.new_certificate),
    ]


Words = TypeVar("Words", bound=BaseModel)


class _Faults:
    def __init__(self, simulation: Simulation, injector: FaultInjector) -> None:
        self._simulation = simulation
        self._injector = injector

    async def list(self, request: web.Request) -> web.Response:
        states = map(FaultState.of, self._injector.book.armed)
        return _said(FaultStates(seed=self._simulation.seed, faults=tuple(states)))

    async def arm(self, request: web.Request) -> web.Response:
        self._injector.arm(await _sent(request, Fault))
        return _said(FaultState.of(self._injector.book.armed[-1]))

    async def clear(self, request: web.Request) -> web.Response:
        """All faults of the wire, and what was laid into the world: lags, courses, plans, false words."""
        self._injector.clear()
        self._simulation.become(happenings.calmed(self._simulation.world()))
        return await self.list(request)

    async def clear_one(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        if number not in {str(each.number) for each in self._injector.book.armed}:
            raise not_found("fault", number)
        self._injector.clear(int(number))
        return await self.list(request)

    async def happenings(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        return _said(
            HappeningStates(
                happened=tuple(
                    HappeningState(at=each.at, title=each.title, touched=each.touched) for each in world.happened
                ),
                planned=tuple(HappeningState(at=each.at, title=each.happening.title) for each in world.planned),
            )
        )

    async def happen(self, request: web.Request) -> web.Response:
        order = await _sent(request, HappeningOrder)
        if order.in_seconds:
            at = self._simulation.clock() + timedelta(seconds=order.in_seconds)
            self._simulation.plan(order.happening, at)
            return _said(Touched(planned_at=at))
        touched = self._simulation.happen(order.happening)
        if not touched:
            raise conflict(f"there is nothing that {order.happening.title!r} could happen to")
        return _said(Touched(touched=touched))

    async def clock(self, request: web.Request) -> web.Response:
        clock = self._simulation.clock
        virtual = isinstance(clock, VirtualClock)
        return _said(ClockState(time=clock(), virtual=virtual, rate=self._simulation.clock_rate()))

    async def advance(self, request: web.Request) -> web.Response:
        order = await _sent(request, Advance)
        try:
            self._simulation.advance(order.seconds)
        except ClockOnTheWallError as error:
            raise conflict(str(error)) from None
        return await self.clock(request)

    async def run_clock(self, request: web.Request) -> web.Response:
        order = await _sent(request, ClockRate)
        try:
            self._simulation.run_clock_at(order.rate)
        except ClockOnTheWallError as error:
            raise conflict(str(error)) from None
        return await self.clock(request)

    async def ledger(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        return _said(LedgerState.of(ledger(world, self._simulation.clock())))

    async def new_certificate(self, request: web.Request) -> web.Response:
        order = await _sent(request, CertificateOrder)
        cluster_id = request.match_info["cluster_id"]
        cluster = self._simulation.world().clusters.get(cluster_id)
        if cluster is None or cluster.gone_at is not None:
            raise not_found("cluster", cluster_id)
        if not cluster.kube_config:
            raise conflict(f"cluster {cluster_id!r} has no kubeconfig yet")
        await self._simulation.renew_certificate(cluster_id, timedelta(seconds=order.seconds))
        return _said(Touched(touched=(cluster_id,)))


async def _sent(request: web.Request, kind: type[Words]) -> Words:
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False, include_url=False)
        raise invalid("; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in details)) from None


def _said(words: BaseModel) -> web.Response:
    return web.json_response(text=words.model_dump_json(by_alias=True))
