"""Repairs of nodes in the present dialect: ``/v1/compute/clusters/{id}/instances/{id}/remediations``."""

from aiohttp import web

from tunesmith_simulator import repairs
from tunesmith_simulator.http.access import account_of
from tunesmith_simulator.http.bodies import Sent, body_of
from tunesmith_simulator.http.pages import page_of, page_query
from tunesmith_simulator.http.remediation_answers import remediation_json
from tunesmith_simulator.remediations import Remediation, RemediationMode
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import World

REMEDIATIONS = "/v1/compute/clusters/{cluster_id}/instances/{instance_id}/remediations"
ALL_INSTANCES = "-"
"""provider: in place of an instance's id in the list: all instances of the cluster."""


def routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes of remediations."""
    api = _Remediations(simulation)
    one = REMEDIATIONS + "/{remediation_id}"
    return [
        web.post(REMEDIATIONS, api.create),
        web.get(REMEDIATIONS, api.list),
        web.get(one, api.get),
        web.post(one + "/approve", api.approve),
        web.post(one + "/reject", api.reject),
        web.post(one + "/cancel", api.cancel),
    ]


class _Create(Sent):
    mode: RemediationMode
    reason: str | None = None


class _Approve(Sent):
    comment: str | None = None
    mode: RemediationMode | None = None


class _Reject(Sent):
    comment: str | None = None


class _Cancel(Sent):
    pass


class _Remediations:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def create(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Create)
        world, remediation_id = repairs.request_remediation(
            self._simulation.world(),
            self._simulation.visit(account_of(request)),
            request.match_info["cluster_id"],
            request.match_info["instance_id"],
            mode=body.mode,
            reason=body.reason or "",
        )
        return self._become(world, remediation_id)

    async def list(self, request: web.Request) -> web.Response:
        query = page_query(request.query)
        instance_id = request.match_info["instance_id"]
        world = self._simulation.world()
        found = repairs.remediations_of(
            world,
            account_of(request),
            request.match_info["cluster_id"],
            None if instance_id == ALL_INSTANCES else instance_id,
        )
        page = page_of(found, query)
        return web.json_response(
            {
                "remediations": [remediation_json(each, world) for each in page.remediations],
                "has_next": bool(page.next_token),
                "next_page_token": page.next_token,
            }
        )

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(remediation_json(self._found(request), self._simulation.world()))

    async def approve(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Approve)
        found, visit = self._found(request), self._simulation.visit(account_of(request))
        world = repairs.approve_remediation(self._simulation.world(), visit, found, body.comment or "", body.mode)
        return self._become(world, found.remediation_id)

    async def reject(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Reject)
        found, visit = self._found(request), self._simulation.visit(account_of(request))
        world = repairs.reject_remediation(self._simulation.world(), visit, found, body.comment or "")
        return self._become(world, found.remediation_id)

    async def cancel(self, request: web.Request) -> web.Response:
        await body_of(request, _Cancel)
        found, visit = self._found(request), self._simulation.visit(account_of(request))
        return self._become(repairs.cancel_remediation(self._simulation.world(), visit, found), found.remediation_id)

    def _found(self, request: web.Request) -> Remediation:
        place = request.match_info
        return repairs.remediation_of(
            self._simulation.world(),
            account_of(request),
            place["cluster_id"],
            place["instance_id"],
            place["remediation_id"],
        )

    def _become(self, world: World, remediation_id: str) -> web.Response:
        self._simulation.become(world)
        world = self._simulation.world()
        return web.json_response(remediation_json(world.remediations[remediation_id], world))
