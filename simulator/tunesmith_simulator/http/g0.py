"""The dialect of September 2025: ``/gpu_cluster``, ``/shared_volume``, ``/regions``, over the same world.

Its host answered under ``/api/v1``; the announcement wrote ``/v1``; both work here, and no prefix as well.
"""

from aiohttp import web

from tunesmith_simulator import desk
from tunesmith_simulator.cluster_orders import Billing, ClusterOrder
from tunesmith_simulator.http.access import account_of
from tunesmith_simulator.http.bodies import body_of
from tunesmith_simulator.http.g0_answers import cluster_json, region_json, short_cluster_json, volume_json
from tunesmith_simulator.http.g0_requests import (
    GpuClusterCreate,
    GpuClusterUpdate,
    SharedVolumeCreate,
    SharedVolumeUpdate,
)
from tunesmith_simulator.http.kube_configs import kube_config_for
from tunesmith_simulator.refusals import invalid
from tunesmith_simulator.regions import chosen_driver
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import Account, World

PREFIXES = ("", "/v1", "/api/v1")

SLURM_SHM_SIZE_GIB = 64
"""What a Slurm cluster gets in this dialect, which cannot say it; the provider's own choice is unknown."""


def routes(simulation: Simulation) -> list[web.RouteDef]:
    """The routes of this dialect, under each prefix."""
    api = _G0(simulation)
    return [
        route
        for prefix in PREFIXES
        for route in (
            web.post(f"{prefix}/gpu_cluster", api.create_cluster),
            web.put(f"{prefix}/gpu_cluster", api.update_cluster),
            web.get(f"{prefix}/gpu_clusters", api.list_clusters),
            web.get(prefix + "/gpu_cluster/{cluster_id}", api.get_cluster),
            web.delete(prefix + "/gpu_cluster/{cluster_id}", api.delete_cluster),
            web.post(f"{prefix}/shared_volume", api.create_volume),
            web.put(f"{prefix}/shared_volume", api.update_volume),
            web.get(f"{prefix}/shared_volumes", api.list_volumes),
            web.get(prefix + "/shared_volume/{volume_id}", api.get_volume),
            web.delete(prefix + "/shared_volume/{volume_id}", api.delete_volume),
            web.get(f"{prefix}/regions", api.list_regions),
        )
    ]


class _G0:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def list_regions(self, request: web.Request) -> web.Response:
        world = self._simulation.world()
        return web.json_response({"regions": [region_json(region) for region in world.regions.values()]})

    async def list_clusters(self, request: web.Request) -> web.Response:
        """All that the key can see: this dialect knows no projects."""
        world, account = self._simulation.world(), account_of(request)
        seen = world.clusters_of(account, None)
        answers = [cluster_json(cluster, world, kube_config_for(cluster, account)) for cluster in seen]
        return web.json_response({"clusters": answers})

    async def get_cluster(self, request: web.Request) -> web.Response:
        world, account = self._simulation.world(), account_of(request)
        cluster = world.cluster_of(account, request.match_info["cluster_id"])
        return web.json_response(cluster_json(cluster, world, kube_config_for(cluster, account)))

    async def create_cluster(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, GpuClusterCreate)
        world = self._simulation.world()
        world, cluster_id = desk.buy_cluster(
            world,
            self._simulation.visit(account),
            _cluster_order(body, account, world),
            volume_id=body.volume_id,
            # An inline volume goes with its cluster: this dialect has no word to keep it.
            inline_volume=_volume_order(body.shared_volume, independent=False) if body.shared_volume else None,
        )
        return self._changed(world, account, cluster_id)

    async def update_cluster(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, GpuClusterUpdate)
        cluster = self._simulation.world().cluster_of(account, body.cluster_id)
        if body.cluster_type not in {None, cluster.order.cluster_type}:
            raise invalid(f"cluster_type cannot be changed from {cluster.order.cluster_type}")
        leaving_first: frozenset[str] = frozenset()
        if body.num_gpus is not None and body.num_gpus < cluster.num_gpus:
            leaving_first = await self._simulation.backing.leaving_first(body.cluster_id)
        world, visit = self._simulation.world(), self._simulation.visit(account)
        if body.num_gpus is not None:
            world = desk.resize_cluster(world, visit, body.cluster_id, body.num_gpus, leaving_first=leaving_first)
        return self._changed(world, account, body.cluster_id)

    async def delete_cluster(self, request: web.Request) -> web.Response:
        cluster_id = request.match_info["cluster_id"]
        visit = self._simulation.visit(account_of(request))
        self._simulation.become(desk.delete_cluster(self._simulation.world(), visit, cluster_id))
        return web.json_response({"cluster_id": cluster_id})

    async def list_volumes(self, request: web.Request) -> web.Response:
        seen = self._simulation.world().volumes_of(account_of(request), None)
        return web.json_response({"volumes": [volume_json(volume) for volume in seen]})

    async def get_volume(self, request: web.Request) -> web.Response:
        volume = self._simulation.world().volume_of(account_of(request), request.match_info["volume_id"])
        return web.json_response(volume_json(volume))

    async def create_volume(self, request: web.Request) -> web.Response:
        body = await body_of(request, SharedVolumeCreate)
        visit = self._simulation.visit(account_of(request))
        world, volume_id = desk.buy_volume(self._simulation.world(), visit, _volume_order(body, independent=True))
        self._simulation.become(world)
        return web.json_response({"volume_id": volume_id})

    async def update_volume(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, SharedVolumeUpdate)
        visit = self._simulation.visit(account)
        self._simulation.become(desk.grow_volume(self._simulation.world(), visit, body.volume_id, body.size_tib))
        return web.json_response(volume_json(self._simulation.world().volume_of(account, body.volume_id)))

    async def delete_volume(self, request: web.Request) -> web.Response:
        visit = self._simulation.visit(account_of(request))
        volume_id = request.match_info["volume_id"]
        self._simulation.become(desk.delete_volume(self._simulation.world(), visit, volume_id))
        return web.json_response({"success": True})

    def _changed(self, world: World, account: Account, cluster_id: str) -> web.Response:
        self._simulation.become(world)
        return web.json_response(short_cluster_json(self._simulation.world().cluster_of(account, cluster_id)))


def _cluster_order(body: GpuClusterCreate, account: Account, world: World) -> ClusterOrder:
    for field, word in {
        "gpu_type": body.gpu_type,
        "driver_version": body.driver_version,
        "cluster_type": body.cluster_type or "KUBERNETES",
        "billing_type": body.billing_type,
    }.items():
        if word in {"UNKNOWN_GPU_TYPE", "UNKNOWN_DRIVER", "UNKNOWN_TYPE", "UNSPECIFIED"}:
            raise invalid(f"{field} must not be {word}")
    _, major, minor, driver_version = body.driver_version.split("_")
    reserved = body.billing_type == "RESERVED"
    return ClusterOrder(
        name=body.cluster_name,
        project_id=desk.project_for(account, None),
        region=body.region,
        gpu_type=body.gpu_type,
        num_gpus=body.num_gpus,
        num_reserved_gpus=body.num_gpus if reserved else 0,
        billing=Billing(body.billing_type),
        driver=chosen_driver(
            desk.region_named(world, body.region),
            version_id=None,
            cuda_version=f"{major}.{minor}",
            driver_version=driver_version,
        ),
        cluster_type=body.cluster_type or "KUBERNETES",
        slurm_shm_size_gib=SLURM_SHM_SIZE_GIB if body.cluster_type == "SLURM" else None,
        duration_days=body.duration_days if reserved else None,
    )


def _volume_order(body: SharedVolumeCreate, *, independent: bool) -> desk.VolumeOrder:
    return desk.VolumeOrder(
        name=body.volume_name, region=body.region, size_tib=body.size_tib, lifecycle_independent=independent
    )
