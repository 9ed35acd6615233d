"""The present dialect of the Instant Clusters API: ``/v1/compute/clusters``, ``.../storage/volumes``, ``/regions``."""

from dataclasses import replace

from aiohttp import web

from tunesmith_simulator import desk
from tunesmith_simulator.clusters import AddOn, Billing, ClusterOrder
from tunesmith_simulator.http.access import account_of
from tunesmith_simulator.http.bodies import body_of, given
from tunesmith_simulator.http.g2_answers import cluster_json, region_json, volume_json
from tunesmith_simulator.http.g2_requests import (
    ChangedAddOn,
    ClusterCreate,
    ClusterUpdate,
    VolumeCreate,
    VolumeUpdate,
)
from tunesmith_simulator.refusals import invalid
from tunesmith_simulator.regions import chosen_driver
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import Account, World

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
        seen = world.clusters_of(account_of(request), request.query.get("projectId"))
        return web.json_response({"clusters": [cluster_json(cluster, world) for cluster in seen]})

    async def get_cluster(self, request: web.Request) -> web.Response:
        return self._cluster_answer(account_of(request), request.match_info["cluster_id"])

    async def create_cluster(self, request: web.Request) -> web.Response:
        account = account_of(request)
        body = await body_of(request, ClusterCreate)
        world = self._simulation.world()
        world, cluster_id = desk.buy_cluster(
            world,
            self._simulation.visit(account),
            _cluster_order(body, account, world),
            volume_id=body.volume_id,
            inline_volume=_inline_volume(body.shared_volume),
        )
        self._simulation.become(world)
        return self._cluster_answer(account, cluster_id)

    async def update_cluster(self, request: web.Request) -> web.Response:
        account, cluster_id = account_of(request), request.match_info["cluster_id"]
        body = await body_of(request, ClusterUpdate)
        leaving_first = await self._leaving_first(account, cluster_id, body.num_gpus)
        world = self._simulation.world()
        order = _changed_order(world.cluster_of(account, cluster_id).order, body)
        visit = self._simulation.visit(account)
        world = desk.change_order(world, visit, cluster_id, order, body.reservation_end_time)
        if body.num_gpus is not None:
            world = desk.resize_cluster(world, visit, cluster_id, body.num_gpus, leaving_first=leaving_first)
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
            _volume_order(body, independent=body.is_lifecycle_independent is not False),
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
        return web.json_response(cluster_json(world.cluster_of(account, cluster_id), world))


def _cluster_order(body: ClusterCreate, account: Account, world: World) -> ClusterOrder:
    _refuse_what_is_not_sold(body)
    project_id = desk.project_for(account, body.project_id)
    driver = chosen_driver(
        desk.region_named(world, body.region),
        version_id=body.nvidia_version_id,
        cuda_version=body.cuda_version,
        driver_version=body.nvidia_driver_version,
    )
    billing = Billing(body.billing_type)
    reserved_by_default = body.num_gpus if billing is Billing.RESERVED else 0
    tests = body.acceptance_tests_params
    return ClusterOrder(
        name=body.cluster_name,
        project_id=project_id,
        region=body.region,
        gpu_type=body.gpu_type,
        num_gpus=body.num_gpus,
        num_reserved_gpus=reserved_by_default if body.num_reserved_gpus is None else body.num_reserved_gpus,
        billing=billing,
        driver=driver,
        cluster_type=body.cluster_type or "KUBERNETES",
        acceptance_tests=tests is None or tests.enabled is not False,
        duration_days=body.duration_days,
        starts_at=body.reservation_start_time,
        ends_at=body.reservation_end_time,
        install_traefik=body.install_traefik or False,
        slurm_shm_size_gib=body.slurm_shm_size_gib,
        cluster_config=given(body.cluster_config),
        oidc_config=given(body.oidc_config),
        add_ons=tuple(
            AddOn(kind=add_on.add_on_type, name=add_on.name, config=given(add_on.config) or {})
            for add_on in body.add_ons or ()
        ),
    )


def _refuse_what_is_not_sold(order: ClusterCreate | ClusterUpdate) -> None:
    """No region here sells preemptible GPUs, capacity pools or autoscaling; a silent yes would mislead the client."""
    if order.num_preemptible_gpus:
        raise invalid("num_preemptible_gpus: preemptible GPUs are not available in this region")
    if order.num_capacity_pool_gpus or getattr(order, "capacity_pool_id", None):
        raise invalid("capacity_pool_id: this account has no capacity pool")
    if getattr(order, "auto_scale", None) or getattr(order, "auto_scale_max_gpus", None):
        raise invalid("auto_scale: autoscaling is not available in this region")


def _inline_volume(body: VolumeCreate | None) -> desk.VolumeOrder | None:
    if body is None:
        return None
    if body.instance_cluster_id is not None:
        raise invalid("shared_volume.instance_cluster_id: the cluster of an inline volume is the one being created")
    # provider: an inline volume goes with its cluster unless it was made independent
    return _volume_order(body, independent=body.is_lifecycle_independent is True)


def _volume_order(body: VolumeCreate, *, independent: bool) -> desk.VolumeOrder:
    return desk.VolumeOrder(
        name=body.volume_name,
        region=body.region,
        size_tib=body.size_tib,
        lifecycle_independent=independent,
        project_id=body.project_id,
    )


def _changed_order(order: ClusterOrder, body: ClusterUpdate) -> ClusterOrder:
    _refuse_what_is_not_sold(body)
    if body.cluster_type not in {None, order.cluster_type}:
        raise invalid(f"cluster_type cannot be changed from {order.cluster_type}")
    if body.num_reserved_gpus is not None and order.billing is not Billing.RESERVED:
        raise invalid("num_reserved_gpus is only applicable to billing type RESERVED")
    return replace(
        order,
        num_reserved_gpus=order.num_reserved_gpus if body.num_reserved_gpus is None else body.num_reserved_gpus,
        cluster_config=given(body.cluster_config) or order.cluster_config,
        add_ons=_merged_add_ons(order.add_ons, body.add_ons or []),
    )


def _merged_add_ons(present: tuple[AddOn, ...], changes: list[ChangedAddOn]) -> tuple[AddOn, ...]:
    """provider: each entry names an add-on that the cluster has, and its config is merged."""
    configs = {change.name: given(change.config) or {} for change in changes}
    unknown = configs.keys() - {add_on.name for add_on in present}
    if unknown:
        raise invalid(f"add_ons: the cluster has no add-on named {sorted(unknown)[0]!r}")
    return tuple(replace(add_on, config={**add_on.config, **configs.get(add_on.name, {})}) for add_on in present)
