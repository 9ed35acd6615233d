"""The admin routes about GPUs beside the open stock: preemptible ones, capacity pools, what the autoscaler does."""

from dataclasses import replace

from aiohttp import web
from pydantic import NonNegativeInt

from tunesmith_simulator import desk
from tunesmith_simulator.http.bodies import Sent, body_of
from tunesmith_simulator.refusals import conflict, invalid, not_found
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import Account


def routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes. Each answers with what is free."""
    api = _AdminCapacity(simulation)
    return [
        web.get("/admin/capacity", api.all),
        web.post("/admin/preemptible-stock", api.set_preemptible_stock),
        web.post("/admin/capacity-pools/{pool_id}", api.set_pool),
        web.post("/admin/clusters/{cluster_id}/autoscale", api.autoscale),
    ]


class _Stock(Sent):
    region: str
    gpu_type: str
    free_gpus: NonNegativeInt


class _Pool(Sent):
    free_gpus: NonNegativeInt


class _Size(Sent):
    num_gpus: int


class _AdminCapacity:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def all(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        return web.json_response(
            {
                "preemptible_stock": [
                    {"region": region, "gpu_type": gpu_type, "free_gpus": free}
                    for (region, gpu_type), free in world.preemptible_stock.items()
                ],
                "capacity_pools": [
                    {"id": pool.pool_id, "project": pool.project_id, "free_gpus": pool.free_gpus}
                    for pool in world.pools.values()
                ],
            }
        )

    async def set_preemptible_stock(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Stock)
        world, key = self._simulation.world(), (body.region, body.gpu_type)
        if key not in world.stock:
            raise invalid(f"{body.gpu_type} is not sold in {body.region}")
        stock = {**world.preemptible_stock, key: body.free_gpus}
        self._simulation.become(replace(world, preemptible_stock=stock).with_hope(key))
        return await self.all(request)

    async def set_pool(self, request: web.Request) -> web.Response:
        body = await body_of(request, _Pool)
        world, pool_id = self._simulation.world(), request.match_info["pool_id"]
        if pool_id not in world.pools:
            raise not_found("capacity pool", pool_id)
        pool = replace(world.pools[pool_id], free_gpus=body.free_gpus)
        self._simulation.become(replace(world, pools={**world.pools, pool_id: pool}))
        return await self.all(request)

    async def autoscale(self, request: web.Request) -> web.Response:
        """The autoscaler of a cluster gives it another size, between what was ordered and its most."""
        body = await body_of(request, _Size)
        world, cluster_id = self._simulation.world(), request.match_info["cluster_id"]
        cluster = world.clusters.get(cluster_id)
        if cluster is None or cluster.gone_at is not None:
            raise not_found("cluster", cluster_id)
        order = cluster.order
        if order.auto_scale_max_gpus is None:
            raise conflict(f"cluster {cluster_id!r} was not created with auto_scale")
        if not order.num_gpus <= body.num_gpus <= order.auto_scale_max_gpus:
            raise invalid(f"num_gpus must be between {order.num_gpus} and {order.auto_scale_max_gpus}")
        leaving_first = await self._simulation.backing.leaving_first(cluster_id)
        visit = self._simulation.visit(Account(name="autoscaler", projects=(order.project_id,)))
        world = desk.resize_cluster(
            self._simulation.world(), visit, cluster_id, body.num_gpus, leaving_first=leaving_first
        )
        self._simulation.become(world)
        return await self.all(request)
