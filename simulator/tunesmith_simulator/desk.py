"""What a customer may do: buy, resize and delete clusters; make, grow and delete volumes. Pure.

Each function takes the world and gives the changed one back, or raises RefusedError and has changed nothing. A rule
that the provider documents is cited where it stands; the others are the strictest plausible reading of its
documentation, so that a client that passes here does not depend on leniency.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tunesmith_simulator import clusters, machines, volumes
from tunesmith_simulator.cluster_orders import Billing, ClusterOrder
from tunesmith_simulator.clusters import Cluster, NodeEvent, ReservedStep
from tunesmith_simulator.machines import GPUS_PER_NODE, STANDARD_PREFIX, Node, NodePhase, Source, new_node
from tunesmith_simulator.order_rules import check_components, check_gpu_count, check_name, check_order, check_size
from tunesmith_simulator.phases import SETTLED
from tunesmith_simulator.refusals import Reason, RefusedError, conflict, invalid, not_found
from tunesmith_simulator.regions import Region
from tunesmith_simulator.volumes import Volume, new_volume
from tunesmith_simulator.world import Account, World

NewId = Callable[[], str]
"""Gives a fresh identifier (UUID form) at each call."""


@dataclass(frozen=True, slots=True)
class VolumeOrder:
    """A volume that a customer asked for, alone or together with a cluster."""

    name: str
    region: str
    size_tib: int
    lifecycle_independent: bool
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the clusters that are sold: ``real`` machines that report, or nothing but a kubeconfig."""

    real: bool
    kube_config: Callable[[str, str], str] = lambda _cluster_id, _name: ""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who comes to the desk and when, what is sold over it, and where fresh identifiers come from."""

    account: Account
    now: datetime
    new_id: NewId
    behind: Behind


def buy_cluster(
    world: World,
    visit: Visit,
    order: ClusterOrder,
    *,
    volume_id: str | None = None,
    inline_volume: VolumeOrder | None = None,
) -> tuple[World, str]:
    """Sell a cluster; the new world and the cluster's id."""
    _check_may_buy(visit.account)
    region = region_named(world, order.region)
    check_order(order, region, visit.now)
    if volume_id is not None and inline_volume is not None:
        raise invalid("volume_id and shared_volume cannot both be given")
    attached = None if volume_id is None else _attachable(world.volume_of(visit.account, volume_id), order, region)
    _check_pool(world, order)
    _check_stock(world, order.region, order.gpu_type, order.num_gpus - order.num_capacity_pool_gpus)
    cluster_id = visit.new_id()
    if inline_volume is not None:
        attached = _volume(world, visit, _beside(inline_volume, order), region.cluster_partition)
    cluster = clusters.new_cluster(
        cluster_id=cluster_id,
        order=order,
        partition=region.cluster_partition,
        control_plane_nodes=(_node(visit, "control-plane", 0),),
        gpu_nodes=(
            *_gpu_nodes(visit, order.num_capacity_pool_gpus, Source.CAPACITY_POOL),
            *_gpu_nodes(visit, order.num_gpus - order.num_capacity_pool_gpus),
        ),
        volume_id=attached.volume_id if attached else None,
        backed=visit.behind.real,
        kube_config=visit.behind.kube_config(cluster_id, order.name),
        now=visit.now,
        pace=world.pace,
        course=world.courses.of_cluster(order.name),
    )
    if attached is not None:
        world = world.with_volume(replace(attached, attached_to=cluster_id))
    return world.with_cluster(cluster), cluster_id


def resize_cluster(
    world: World, visit: Visit, cluster_id: str, num_gpus: int, *, leaving_first: frozenset[str] = frozenset()
) -> World:
    """Give a cluster another number of GPUs. ``leaving_first`` are hosts that were cordoned or annotated for it."""
    cluster = world.cluster_of(visit.account, cluster_id)
    check_may_change(visit.account)
    check_gpu_count("num_gpus", num_gpus)
    order = cluster.order
    if order.auto_scale_max_gpus is not None and num_gpus > order.auto_scale_max_gpus:
        raise invalid(f"num_gpus must not exceed auto_scale_max_gpus {order.auto_scale_max_gpus}")
    if num_gpus < max(order.num_reserved_gpus, order.num_capacity_pool_gpus):
        raise invalid("num_gpus must not be less than num_reserved_gpus or num_capacity_pool_gpus")
    if num_gpus == cluster.num_gpus:
        return world
    if cluster.phase not in SETTLED:
        raise conflict(f"cluster {cluster_id!r} cannot be resized while it is {cluster.phase.status}")
    if num_gpus > cluster.num_gpus:
        changed = _grown(world, visit, cluster, num_gpus)
    else:
        changed = _shrunk(world, visit, cluster, num_gpus, leaving_first)
    return world.with_cluster(changed)


def change_order(world: World, visit: Visit, cluster_id: str, order: ClusterOrder, ends_at: datetime | None) -> World:
    """Change what does not need other machines: components, add-ons, the end of a prepaid cluster."""
    cluster = world.cluster_of(visit.account, cluster_id)
    check_may_change(visit.account)
    if cluster.leaving:
        raise conflict(f"cluster {cluster_id!r} is being deleted")
    if ends_at is not None and cluster.order.billing is Billing.ON_DEMAND:
        raise invalid("reservation_end_time is only accepted for prepaid clusters")
    check_components(order)
    reserved = cluster.reserved
    if order.num_reserved_gpus != cluster.order.num_reserved_gpus:
        reserved = (*reserved, ReservedStep(visit.now, order.num_reserved_gpus))
    changed = replace(cluster, order=order, ends_at=ends_at or cluster.ends_at, reserved=reserved)
    if changed.ends_at is not None and changed.ends_at <= visit.now:
        raise invalid("reservation_end_time must be later than now")
    return world.with_cluster(changed)


def draw_from_pool(world: World, visit: Visit, cluster_id: str) -> World:
    """Make as many machines of a cluster the capacity pool's as its order says, others the open stock's."""
    cluster = world.cluster_of(visit.account, cluster_id)
    machines_of_it = [node for node in cluster.staying if node.source is not Source.PREEMPTIBLE]
    wanted = cluster.order.num_capacity_pool_gpus // GPUS_PER_NODE
    from_pool = sorted(machines_of_it, key=lambda node: node.source is not Source.CAPACITY_POOL)[:wanted]
    before = cluster
    for node in machines_of_it:
        source = Source.CAPACITY_POOL if node in from_pool else Source.STANDARD
        cluster = cluster.with_node(machines.moved(node, source, visit.now))
    more = cluster.held_from(Source.CAPACITY_POOL) - before.held_from(Source.CAPACITY_POOL)
    pool = world.pools.get(cluster.order.capacity_pool_id or "")
    if more > (pool.free_gpus if pool else 0):
        raise RefusedError(Reason.OUT_OF_STOCK, "Out of stock")
    _check_stock(world, cluster.order.region, cluster.order.gpu_type, max(-more, 0))
    return world.with_cluster(cluster)


def delete_cluster(world: World, visit: Visit, cluster_id: str) -> World:
    """Begin the end of a cluster. Asking again while it is being deleted changes nothing."""
    cluster = world.cluster_of(visit.account, cluster_id)
    check_may_change(visit.account)
    return world.with_cluster(clusters.deleting(cluster, visit.now, world.pace))


def buy_volume(
    world: World, visit: Visit, volume: VolumeOrder, *, beside_cluster_id: str | None = None
) -> tuple[World, str]:
    """Make a volume alone, in the partition of ``beside_cluster_id`` if given; the new world and the volume's id."""
    _check_may_buy(visit.account)
    region = region_named(world, volume.region)
    partition = world.courses.of_volume(volume.name).partition or region.volume_partition
    if beside_cluster_id is not None:
        partition = world.cluster_of(visit.account, beside_cluster_id).partition
    made = _volume(world, visit, volume, partition)
    return world.with_volume(made), made.volume_id


def grow_volume(world: World, visit: Visit, volume_id: str, size_tib: int) -> World:
    """Give a volume more room."""
    volume = world.volume_of(visit.account, volume_id)
    check_may_change(visit.account)
    check_size(size_tib)
    if volume.status is volumes.VolumeStatus.DELETING:
        raise conflict(f"volume {volume_id!r} is being deleted")
    if size_tib < volume.size_tib:
        # provider: growing is self-service, shrinking is done by the account team
        raise invalid(f"volume {volume_id!r} cannot shrink from {volume.size_tib} TiB to {size_tib} TiB")
    return world.with_volume(volumes.grown(volume, size_tib, visit.now))


def delete_volume(world: World, visit: Visit, volume_id: str) -> World:
    """Begin the end of a volume that nothing is attached to."""
    volume = world.volume_of(visit.account, volume_id)
    check_may_change(visit.account)
    if volume.attached_to is not None:
        raise conflict(_attached(volume))
    if volume.status is volumes.VolumeStatus.DELETING:
        return world
    return world.with_volume(volumes.deleting(volume, visit.now, world.pace))


def project_for(account: Account, wanted: str | None) -> str:
    """The project that an order goes to: the wanted one if the account is a member of it, else its default."""
    if wanted is None:
        return account.projects[0]
    if wanted not in account.projects:
        raise RefusedError(Reason.FORBIDDEN, f"not a member of project {wanted!r}")
    return wanted


def check_may_change(account: Account) -> None:
    """Raise RefusedError when the account may only read."""
    if not account.may_change_clusters:
        # provider: editors cannot create, delete or scale
        raise RefusedError(Reason.FORBIDDEN, "this API key may not create, change or delete clusters and volumes")


def _check_may_buy(account: Account) -> None:
    check_may_change(account)
    if not account.has_credit:
        raise RefusedError(Reason.NO_CREDIT, "insufficient credit: add credit to the account and try again")


def _check_pool(world: World, order: ClusterOrder) -> None:
    if order.capacity_pool_id is None:
        if order.num_capacity_pool_gpus:
            raise invalid("num_capacity_pool_gpus needs a capacity_pool_id")
        return
    pool = world.pools.get(order.capacity_pool_id)
    if pool is None or pool.project_id != order.project_id:
        raise not_found("capacity pool", order.capacity_pool_id)
    if (pool.region, pool.gpu_type) != (order.region, order.gpu_type):
        raise invalid(f"capacity pool {pool.pool_id!r} holds {pool.gpu_type} in region {pool.region!r}")
    if pool.free_gpus < order.num_capacity_pool_gpus:
        raise RefusedError(Reason.OUT_OF_STOCK, "Out of stock")


def _check_stock(world: World, region: str, gpu_type: str, num_gpus: int) -> None:
    if world.stock.get((region, gpu_type), 0) < num_gpus:
        raise RefusedError(Reason.OUT_OF_STOCK, "Out of stock")


def region_named(world: World, name: str) -> Region:
    """The region that an order names. Raises RefusedError when there is none."""
    region = world.region(name)
    if region is None:
        raise invalid(f"region {name!r} does not exist")
    return region


def _attachable(volume: Volume, order: ClusterOrder, region: Region) -> Volume:
    if volume.region != order.region or volume.partition != region.cluster_partition:
        # provider: a volume made alone can land in another partition of the region
        raise invalid(f"shared volume {volume.name!r} does not exist in the datacenter")
    if volume.project_id != order.project_id:
        raise invalid(f"volume {volume.volume_id!r} belongs to another project than the cluster")
    if volume.attached_to is not None:
        raise conflict(_attached(volume))
    if volume.status is volumes.VolumeStatus.DELETING:
        raise conflict(f"volume {volume.volume_id!r} is being deleted")
    return volume


def _attached(volume: Volume) -> str:
    return f"volume {volume.volume_id!r} is attached to cluster {volume.attached_to!r}"


def _beside(inline: VolumeOrder, order: ClusterOrder) -> VolumeOrder:
    """The order of an inline volume, in its cluster's region and project."""
    if inline.region != order.region:
        raise invalid(f"shared_volume.region {inline.region!r} is not the cluster's region {order.region!r}")
    if inline.project_id not in {None, order.project_id}:
        raise invalid("shared_volume.project_id is not the cluster's project")
    return replace(inline, project_id=order.project_id)


def _volume(world: World, visit: Visit, wanted: VolumeOrder, partition: str) -> Volume:
    check_name("volume_name", wanted.name)
    check_size(wanted.size_tib)
    return new_volume(
        volume_id=visit.new_id(),
        name=wanted.name,
        size_tib=wanted.size_tib,
        project_id=project_for(visit.account, wanted.project_id),
        region=wanted.region,
        partition=partition,
        lifecycle_independent=wanted.lifecycle_independent,
        now=visit.now,
        pace=world.pace,
        course=world.courses.of_volume(wanted.name),
    )


def _gpu_nodes(visit: Visit, num_gpus: int, source: Source = Source.STANDARD) -> tuple[Node, ...]:
    return tuple(_node(visit, STANDARD_PREFIX, GPUS_PER_NODE, source) for _ in range(num_gpus // GPUS_PER_NODE))


def _node(visit: Visit, prefix: str, num_gpus: int, source: Source = Source.STANDARD) -> Node:
    node_id = visit.new_id()
    return new_node(
        node_id=node_id,
        instance_id=visit.new_id(),
        host_name=f"{prefix}-{node_id[:8]}",
        num_gpus=num_gpus,
        now=visit.now,
        backed=visit.behind.real,
        source=source,
    )


def _grown(world: World, visit: Visit, cluster: Cluster, num_gpus: int) -> Cluster:
    _check_may_buy(visit.account)
    order, more = cluster.order, num_gpus - cluster.num_gpus
    from_pool = min(more, max(order.num_capacity_pool_gpus - cluster.held_from(Source.CAPACITY_POOL), 0))
    if from_pool and world.pools[order.capacity_pool_id or ""].free_gpus < from_pool:
        raise RefusedError(Reason.OUT_OF_STOCK, "Out of stock")
    _check_stock(world, order.region, order.gpu_type, more - from_pool)
    new = (*_gpu_nodes(visit, from_pool, Source.CAPACITY_POOL), *_gpu_nodes(visit, more - from_pool))
    added = tuple(machines.started(node, visit.now, world.pace) for node in new)
    events = tuple(_event(node, "TogetherScaledUp", "Node added by a scale-up.", visit.now) for node in added)
    return replace(cluster, gpu_nodes=(*cluster.gpu_nodes, *added), events=(*cluster.events, *events))


def _shrunk(world: World, visit: Visit, cluster: Cluster, num_gpus: int, leaving_first: frozenset[str]) -> Cluster:
    staying = [node for node in cluster.staying if node.source is not Source.PREEMPTIBLE]

    def reluctance(node: Node) -> tuple[bool, bool, int]:
        # provider: cordoned nodes, or ones with its annotation, leave first; here then broken ones, then the youngest
        return (
            node.host_name not in leaving_first,
            node.phase is not NodePhase.FAILED,
            -staying.index(node),
        )

    count = (cluster.num_gpus - num_gpus) // GPUS_PER_NODE
    chosen = sorted(staying, key=reluctance)[:count]
    leaves_at = world.pace.after(visit.now, world.pace.durations.node_leaving_seconds)
    events = tuple(_event(node, "TogetherScaledDown", "Node removed by a scale-down.", visit.now) for node in chosen)
    nodes = tuple(
        replace(node, leaves_at=leaves_at, leaving_since=visit.now) if node in chosen else node
        for node in cluster.gpu_nodes
    )
    return replace(cluster, gpu_nodes=nodes, events=(*cluster.events, *events))


def _event(node: Node, reason: str, message: str, now: datetime) -> NodeEvent:
    return NodeEvent(host_name=node.host_name, reason=reason, message=message, time=now)
