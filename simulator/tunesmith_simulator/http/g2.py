"""The present dialect of the Instant Clusters API: ``/v1/compute/clusters``, ``.../storage/volumes``, ``/regions``."""

from aiohttp import web

from tunesmith_simulator import desk
from tunesmith_simulator.http.access import account_of
from tunesmith_simulator.http.bodies import body_of
from tunesmith_simulator.http.g2_answers import cluster_json, region_json, volume_json
from tunesmith_simulator.http.g2_orders import changed_order, cluster_order, inline_volume, volume_order
from tunesmith_simulator.http.g2_requests import ClusterCreate, ClusterUpdate, VolumeCreate, VolumeUpdate
from tunesmith_simulator.order_rules import check_change
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import Account

CLUSTERS = "/v1/compute/clusters"
VOLUMES = "/v1/compute/clusters/storage/volumes"
REGIONS = "/v1/compute/regions"


def routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes of this dialect."""
    api = _G2(simulation)
    return [
        web.get(REGIONS, api.list_regions),
        web.get(VOLUMES, api.list_volumes),
        web.post(VOLUMES, api.create_volume),
        web.put(VOLUMES, api.update_volume),
        web.get(VOLUMES + "/{volume_id}", api.get_volume),
        web.delete(VOLUMES + "/{volume_id}", api.delete_volume),
        web.get(CLUSTERS, api.list_clusters),
        web.post(CLUSTERS, api.create_cluster),
        web.get(CLUSTERS + "/{cluster_id}", api.get_cluster),
        web.put(CLUSTERS + "/{cluster_id}", api.update_cluster),
        web.delete(CLUSTERS + "/{cluster_id}", api.delete_cluster),
    ]


class _G2:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def list_regions(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        return web.json_response({"regions": [region_json(region) for region in world.regions.values()]})

    async def list_clusters(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        account, now = account_of(request), self._simulation.clock()
        seen = world.clusters_of(account, request.query.get("projectId"))
        return web.json_response({"clusters": [cluster_json(cluster, world, account, now) for cluster in seen]})

    async def get_cluster(self, request: web.Request) -> web.Response:
        return self._cluster_answer(account_of(request), request.match_info["cluster_id"])

    async def create_cluster(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, ClusterCreate)
        world = self._simulation.world()
        world, cluster_id = desk.buy_cluster(
            world,
            self._simulation.visit(account),
            cluster_order(body, account, world),
            volume_id=body.volume_id,
            inline_volume=inline_volume(body.shared_volume),
        )
        self._simulation.become(world)
        return self._cluster_answer(account, cluster_id)

    async def update_cluster(self, request: web.Request) -> web.Response:
        account, cluster_id = account_of(request), request.match_info["cluster_id"]
        body = await body_of(request, ClusterUpdate)
        leaving_first = await self._leaving_first(account, cluster_id, body.num_gpus)
        world = self._simulation.world()
        cluster = world.cluster_of(account, cluster_id)
        order = changed_order(cluster.order, body)
        check_change(cluster, order, body.num_gpus)
        visit = self._simulation.visit(account)
        world = desk.change_order(world, visit, cluster_id, order, body.reservation_end_time)
        if body.num_gpus is not None:
            world = desk.resize_cluster(world, visit, cluster_id, body.num_gpus, leaving_first=leaving_first)
        if body.num_gpus is not None or body.num_capacity_pool_gpus is not None:
            world = desk.draw_from_pool(world, visit, cluster_id)
        self._simulation.become(world)
        return self._cluster_answer(account, cluster_id)

    async def delete_cluster(self, request: web.Request) -> web.Response:
        cluster_id = request.match_info["cluster_id"]
        visit = self._simulation.visit(account_of(request))
        self._simulation.become(desk.delete_cluster(self._simulation.world(), visit, cluster_id))
        return web.json_response({"cluster_id": cluster_id})

    async def list_volumes(self, request: web.Request) -> web.Response:
        seen = self._simulation.world().volumes_of(account_of(request), request.query.get("projectId"))
        return web.json_response({"volumes": [volume_json(volume) for volume in seen]})

    async def get_volume(self, request: web.Request) -> web.Response:
        volume = self._simulation.world().volume_of(account_of(request), request.match_info["volume_id"])
        return web.json_response(volume_json(volume))

    async def create_volume(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, VolumeCreate)
        world, volume_id = desk.buy_volume(
            self._simulation.world(),
            self._simulation.visit(account),
            # A volume that is made alone outlives the clusters it meets, unless it was told not to.
            volume_order(body, independent=body.is_lifecycle_independent is not False),
            beside_cluster_id=body.instance_cluster_id,
        )
        self._simulation.become(world)
        return web.json_response(volume_json(self._simulation.world().volume_of(account, volume_id)))

    async def update_volume(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, VolumeUpdate)
        world = self._simulation.world()
        size_tib = body.size_tib or world.volume_of(account, body.volume_id).size_tib
        self._simulation.become(desk.grow_volume(world, self._simulation.visit(account), body.volume_id, size_tib))
        return web.json_response(volume_json(self._simulation.world().volume_of(account, body.volume_id)))

    async def delete_volume(self, request: web.Request) -> web.Response:
        visit = self._simulation.visit(account_of(request))
        volume_id = request.match_info["volume_id"]
        self._simulation.become(desk.delete_volume(self._simulation.world(), visit, volume_id))
        return web.json_response({"success": True})

    async def _leaving_first(self, account: Account, cluster_id: str, num_gpus: int | None) -> frozenset[str]:
        cluster = self._simulation.world().cluster_of(account, cluster_id)
        if num_gpus is None or num_gpus >= cluster.num_gpus:
            return frozenset()
        return await self._simulation.backing.leaving_first(cluster_id)

    def _cluster_answer(self, account: Account, cluster_id: str) -> web.Response:
        world = self._simulation.world()
        cluster = world.cluster_of(account, cluster_id)
        return web.json_response(cluster_json(cluster, world, account, self._simulation.clock()))
