"""The admin routes about nodes that are not well: break one, let it recover, propose a repair, spoil one."""

from aiohttp import web
from pydantic import Field

from tunesmith_simulator import repairs
from tunesmith_simulator.alerts import AlertName, Signal
from tunesmith_simulator.http.bodies import Sent, body_of
from tunesmith_simulator.http.remediation_answers import alert_json, remediation_json
from tunesmith_simulator.refusals import not_found
from tunesmith_simulator.remediations import RemediationMode
from tunesmith_simulator.repair_policy import RepairPolicy
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import World


def routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes. Each answers with all repairs and alerts there are."""
    api = _AdminRepairs(simulation)
    node = "/admin/clusters/{cluster_id}/nodes/{host_name}"
    return [
        web.get("/admin/remediations", api.all),
        web.post("/admin/repair-policy", api.set_policy),
        web.post(node + "/fail", api.fail),
        web.post(node + "/recover", api.recover),
        web.post(node + "/propose-remediation", api.propose),
        web.post("/admin/remediations/{remediation_id}/fail", api.fail_remediation),
    ]


class _Failure(Sent):
    alert_name: AlertName = AlertName.GPU_FALLEN_OFF_BUS
    xid_code: str = ""
    mode: RemediationMode | None = None


class _Proposal(Sent):
    mode: RemediationMode
    reason: str = "proposed by an administrator"


class _Policy(Sent):
    proposes: bool
    needs_approval: bool = True
    cooldown_seconds: float = Field(default=1800, ge=0)


class _Error(Sent):
    error_message: str = "the provider could not repair the node"


class _AdminRepairs:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def all(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        return web.json_response(
            {
                "remediations": [remediation_json(each, world) for each in world.remediations.values()],
                "alerts": [alert_json(alert) for alert in world.alerts.values()],
            }
        )

    async def set_policy(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Policy)
        policy = RepairPolicy(
            proposes=body.proposes, needs_approval=body.needs_approval, cooldown_seconds=body.cooldown_seconds
        )
        self._simulation.become(self._simulation.world().with_repair_policy(policy))
        return await self.all(request)

    async def fail(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Failure)
        signal = Signal(name=body.alert_name, xid_code=body.xid_code, mode=body.mode)
        world, cluster_id, host_name = self._node(request)
        self._simulation.become(repairs.node_breaks(world, cluster_id, host_name, signal, self._simulation.clock()))
        return await self.all(request)

    async def recover(self, request: web.Request) -> web.Response:
        world, cluster_id, host_name = self._node(request)
        self._simulation.become(repairs.node_recovers(world, cluster_id, host_name, self._simulation.clock()))
        return await self.all(request)

    async def propose(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Proposal)
        world, cluster_id, host_name = self._node(request)
        now = self._simulation.clock()
        self._simulation.become(
            repairs.propose_remediation(world, cluster_id, host_name, mode=body.mode, reason=body.reason, now=now)
        )
        return await self.all(request)

    async def fail_remediation(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Error)
        remediation_id = request.match_info["remediation_id"]
        world, now = self._simulation.world(), self._simulation.clock()
        self._simulation.become(repairs.remediation_fails(world, remediation_id, body.error_message, now))
        return await self.all(request)

    def _node(self, request: web.Request) -> tuple[World, str, str]:
        world, cluster_id = self._simulation.world(), request.match_info["cluster_id"]
        cluster = world.clusters.get(cluster_id)
        if cluster is None or cluster.gone_at is not None:
            raise not_found("cluster", cluster_id)
        return world, cluster_id, request.match_info["host_name"]
