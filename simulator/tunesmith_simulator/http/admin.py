"""The admin routes, for tests and demos: all that ever was, the record of requests, ways to change the world.

They need no key: the server listens on loopback only. No answer contains a key or a kubeconfig.
"""

import base64
from dataclasses import replace
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from tunesmith_simulator import world as worlds
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.http.record import RequestRecord
from tunesmith_simulator.http.times import time_text
from tunesmith_simulator.ledger import decimal_text, ledger
from tunesmith_simulator.machines import Node
from tunesmith_simulator.refusals import invalid, not_found
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import World

Json = dict[str, Any]


def routes(simulation: Simulation, record: RequestRecord) -> list[web.RouteDef]:
    """The admin routes."""
    api = _Admin(simulation, record)
    return [
        web.get("/admin/state", api.state),
        web.get("/admin/requests", api.requests),
        web.post("/admin/stock", api.set_stock),
        web.post("/admin/speed", api.set_speed),
        web.post("/admin/clusters/{cluster_id}/kubeconfig", api.set_kubeconfig),
    ]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Stock(_Sent):
    region: str
    gpu_type: str
    free_gpus: NonNegativeInt


class _Speed(_Sent):
    speed: float = Field(gt=0)


class _Kubeconfig(_Sent):
    kubeconfig: str


class _Admin:
    def __init__(self, simulation: Simulation, record: RequestRecord) -> None:
        self._simulation = simulation
        self._record = record

    async def state(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        book = ledger(world, self._simulation.clock())
        rates = {entry.object_id: decimal_text(entry.usd_per_hour) for entry in book.entries}
        clusters = [
            _cluster(cluster) | {"usd_per_hour": rates[cluster.cluster_id]} for cluster in world.clusters.values()
        ]
        volumes = [_volume(volume) | {"usd_per_hour": rates[volume.volume_id]} for volume in world.volumes.values()]
        answer = {
            "time": time_text(self._simulation.clock()),
            "speed": world.pace.speed,
            "seed": self._simulation.seed,
            "usd_per_hour": decimal_text(book.usd_per_hour),
            "accounts": [
                {"name": account.name, "projects": account.projects} for account in self._simulation.accounts()
            ],
            "stock": [
                {"region": region, "gpu_type": gpu_type, "free_gpus": free}
                for (region, gpu_type), free in world.stock.items()
            ],
            "clusters": clusters,
            "volumes": volumes,
        }
        return web.json_response(answer)

    async def requests(self, request: web.Request) -> web.Response:
        return web.json_response({"requests": [each.as_json() for each in self._record.all()]})

    async def set_stock(self, request: web.Request) -> web.Response:
        body = await _body_of(request, _Stock)
        world = self._simulation.world()
        key = (body.region, body.gpu_type)
        if key not in world.stock:
            raise invalid(f"{body.gpu_type} is not sold in {body.region}")
        self._simulation.become(replace(world, stock={**world.stock, key: body.free_gpus}))
        return await self.state(request)

    async def set_speed(self, request: web.Request) -> web.Response:
        body = await _body_of(request, _Speed)
        self._simulation.become(worlds.at_speed(self._simulation.world(), body.speed, self._simulation.clock()))
        return await self.state(request)

    async def set_kubeconfig(self, request: web.Request) -> web.Response:
        body = await _body_of(request, _Kubeconfig)
        world = self._simulation.world()
        cluster = _living(world, request.match_info["cluster_id"])
        handed_out = base64.b64encode(body.kubeconfig.encode()).decode()
        self._simulation.become(world.with_cluster(replace(cluster, handed_out=handed_out)))
        return await self.state(request)


def _living(world: World, cluster_id: str) -> Cluster:
    cluster = world.clusters.get(cluster_id)
    if cluster is None or cluster.gone_at is not None:
        raise not_found("cluster", cluster_id)
    return cluster


Body = TypeVar("Body", bound=_Sent)


async def _body_of(request: web.Request, kind: type[Body]) -> Body:
    try:
        return kind.model_validate_json(await request.read())
    except ValueError as error:
        raise invalid(str(error)) from None


def _cluster(cluster: Cluster) -> Json:
    order = cluster.order
    return {
        "cluster_id": cluster.cluster_id,
        "cluster_name": order.name,
        "project_id": order.project_id,
        "region": order.region,
        "gpu_type": order.gpu_type,
        "billing_type": order.billing.value,
        "num_gpus": cluster.num_gpus,
        "status": "Gone" if cluster.gone_at else cluster.status,
        "phases": [{"phase": step.phase.value, "time": time_text(step.time)} for step in cluster.history],
        "nodes": [_node(node) for node in (*cluster.gpu_nodes, *cluster.deleted_nodes)],
        "volume_id": cluster.volume_id,
        "created_at": time_text(cluster.created_at),
        "gone_at": time_text(cluster.gone_at) if cluster.gone_at else None,
        "backing_error": cluster.backing_error,
    }


def _node(node: Node) -> Json:
    return {
        "host_name": node.host_name,
        "phase": node.phase.value,
        "num_gpus": node.num_gpus,
        "marked_for_deletion": node.marked_for_deletion,
        "deleted_at": time_text(node.deleted_at) if node.deleted_at else None,
    }


def _volume(volume: Volume) -> Json:
    return {
        "volume_id": volume.volume_id,
        "volume_name": volume.name,
        "project_id": volume.project_id,
        "region": volume.region,
        "partition": volume.partition,
        "size_tib": volume.size_tib,
        "status": "gone" if volume.gone_at else volume.status.value,
        "attached_to": volume.attached_to,
        "lifecycle_independent": volume.lifecycle_independent,
        "states": [{"status": step.status.value, "time": time_text(step.time)} for step in volume.history],
        "created_at": time_text(volume.created_at),
        "gone_at": time_text(volume.gone_at) if volume.gone_at else None,
    }
