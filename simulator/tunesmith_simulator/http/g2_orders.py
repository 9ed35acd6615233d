"""What requests of the present dialect mean: bodies of the API as orders of the world."""

from dataclasses import replace

from tunesmith_simulator import desk
from tunesmith_simulator.cluster_orders import AddOn, Billing, ClusterOrder
from tunesmith_simulator.http.bodies import given
from tunesmith_simulator.http.g2_requests import ChangedAddOn, ClusterCreate, ClusterUpdate, VolumeCreate
from tunesmith_simulator.refusals import invalid
from tunesmith_simulator.regions import chosen_driver
from tunesmith_simulator.world import Account, World


def cluster_order(body: ClusterCreate, account: Account, world: World) -> ClusterOrder:
    """The order for a new cluster. Raises RefusedError for what can be told wrong without the rest of the world."""
    _check_preemptible(body)
    _check_pool(body)
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
        num_preemptible_gpus=body.num_preemptible_gpus or 0,
        capacity_pool_id=body.capacity_pool_id,
        num_capacity_pool_gpus=body.num_capacity_pool_gpus or 0,
        auto_scale_max_gpus=_auto_scale_max(body),
        slurm_image=body.slurm_image,
    )


def _auto_scale_max(body: ClusterCreate) -> int | None:
    if body.auto_scale and body.auto_scale_max_gpus is None:
        raise invalid("auto_scale needs auto_scale_max_gpus")
    if body.auto_scale_max_gpus and not body.auto_scale:
        raise invalid("auto_scale_max_gpus needs auto_scale")
    return body.auto_scale_max_gpus if body.auto_scale else None


def _check_preemptible(body: ClusterCreate) -> None:
    if body.num_preemptible_gpus and body.project_id is None:
        # provider: preemptible GPUs are counted by project
        raise invalid("project_id is required when num_preemptible_gpus is set")


def _check_pool(body: ClusterCreate) -> None:
    if body.capacity_pool_id is not None and body.num_capacity_pool_gpus is None:
        raise invalid("num_capacity_pool_gpus is required with capacity_pool_id")


def inline_volume(body: VolumeCreate | None) -> desk.VolumeOrder | None:
    """The order for a volume that is made with its cluster."""
    if body is None:
        return None
    if body.instance_cluster_id is not None:
        raise invalid("shared_volume.instance_cluster_id: the cluster of an inline volume is the one being created")
    # provider: an inline volume goes with its cluster unless it was made independent
    return volume_order(body, independent=body.is_lifecycle_independent is True)


def volume_order(body: VolumeCreate, *, independent: bool) -> desk.VolumeOrder:
    """The order for a volume; ``independent`` of the clusters that it meets."""
    return desk.VolumeOrder(
        name=body.volume_name,
        region=body.region,
        size_tib=body.size_tib,
        lifecycle_independent=independent,
        project_id=body.project_id,
    )


def changed_order(order: ClusterOrder, body: ClusterUpdate) -> ClusterOrder:
    """The order of a cluster after a change; what is absent stays."""
    if body.cluster_type not in {None, order.cluster_type}:
        raise invalid(f"cluster_type cannot be changed from {order.cluster_type}")
    if body.num_reserved_gpus is not None and order.billing is not Billing.RESERVED:
        raise invalid("num_reserved_gpus is only applicable to billing type RESERVED")
    if body.num_capacity_pool_gpus is not None and order.capacity_pool_id is None:
        raise invalid("num_capacity_pool_gpus is only valid for clusters created with a capacity_pool_id")
    return replace(
        order,
        num_gpus=_kept(order.num_gpus, body.num_gpus),
        num_reserved_gpus=_kept(order.num_reserved_gpus, body.num_reserved_gpus),
        num_preemptible_gpus=_kept(order.num_preemptible_gpus, body.num_preemptible_gpus),
        num_capacity_pool_gpus=_kept(order.num_capacity_pool_gpus, body.num_capacity_pool_gpus),
        cluster_config=given(body.cluster_config) or order.cluster_config,
        add_ons=_merged_add_ons(order.add_ons, body.add_ons or []),
    )


def _kept(present: int, wanted: int | None) -> int:
    return present if wanted is None else wanted


def _merged_add_ons(present: tuple[AddOn, ...], changes: list[ChangedAddOn]) -> tuple[AddOn, ...]:
    """provider: each entry names an add-on that the cluster has, and its config is merged."""
    configs = {change.name: given(change.config) or {} for change in changes}
    unknown = configs.keys() - {add_on.name for add_on in present}
    if unknown:
        raise invalid(f"add_ons: the cluster has no add-on named {sorted(unknown)[0]!r}")
    return tuple(replace(add_on, config={**add_on.config, **configs.get(add_on.name, {})}) for add_on in present)
