"""What a customer may do: buy, resize and delete clusters; make, grow and delete volumes. Pure.

Each function takes the world and gives the changed one back, or raises RefusedError and has changed nothing. A rule
that the provider documents is cited where it stands; the others are the strictest plausible reading of its
documentation, so that a client that passes here does not depend on leniency.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tunesmith_simulator import clusters, machines, volumes
from tunesmith_simulator.clusters import Billing, Cluster, ClusterOrder, NodeEvent, ReservedStep
from tunesmith_simulator.machines import GPUS_PER_NODE, Node, NodePhase, new_node
from tunesmith_simulator.phases import SETTLED
from tunesmith_simulator.refusals import Reason, RefusedError, conflict, invalid
from tunesmith_simulator.regions import Region
from tunesmith_simulator.volumes import Volume, new_volume
from tunesmith_simulator.world import Account, World

NewId = Callable[[], str]
"""Gives a fresh identifier (UUID form) at each call."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""The provider's rule for names is unknown: a DNS label is what Kubernetes can carry. Names need not be unique."""

MAX_SIZE_TIB = 1024
"""The largest volume that an earlier official command line offered; the service's own bound is unknown."""


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
    _check_order(order, region, visit.now)
    if volume_id is not None and inline_volume is not None:
        raise invalid("volume_id and shared_volume cannot both be given")
    attached = None if volume_id is None else _attachable(world.volume_of(visit.account, volume_id), order, region)
    _check_stock(world, order.region, order.gpu_type, order.num_gpus)
    cluster_id = visit.new_id()
    if inline_volume is not None:
        attached = _volume(world, visit, _beside(inline_volume, order), region.cluster_partition)
    cluster = clusters.new_cluster(
        cluster_id=cluster_id,
        order=order,
        partition=region.cluster_partition,
        control_plane_nodes=(_node(visit, "control-plane", 0),),
        gpu_nodes=_gpu_nodes(visit, order.num_gpus),
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
    _check_may_change(visit.account)
    _check_gpu_count("num_gpus", num_gpus)
    if num_gpus == cluster.num_gpus:
        return world
    if cluster.phase not in SETTLED:
        raise conflict(f"cluster {cluster_id!r} cannot be resized while it is {cluster.phase.status}")
    if num_gpus > cluster.num_gpus:
        return world.with_cluster(_grown(world, visit, cluster, num_gpus))
    return world.with_cluster(_shrunk(world, visit, cluster, num_gpus, leaving_first))


def change_order(world: World, visit: Visit, cluster_id: str, order: ClusterOrder, ends_at: datetime | None) -> World:
    """Change what does not need other machines: components, add-ons, the end of a prepaid cluster."""
    cluster = world.cluster_of(visit.account, cluster_id)
    _check_may_change(visit.account)
    if cluster.leaving:
        raise conflict(f"cluster {cluster_id!r} is being deleted")
    if ends_at is not None and cluster.order.billing is Billing.ON_DEMAND:
        raise invalid("reservation_end_time is only accepted for prepaid clusters")
    reserved = cluster.reserved
    if order.num_reserved_gpus != cluster.order.num_reserved_gpus:
        reserved = (*reserved, ReservedStep(visit.now, order.num_reserved_gpus))
    return world.with_cluster(replace(cluster, order=order, ends_at=ends_at or cluster.ends_at, reserved=reserved))


def delete_cluster(world: World, visit: Visit, cluster_id: str) -> World:
    """Begin the end of a cluster. Asking again while it is being deleted changes nothing."""
    cluster = world.cluster_of(visit.account, cluster_id)
    _check_may_change(visit.account)
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
    _check_may_change(visit.account)
    _check_size(size_tib)
    if volume.status is volumes.VolumeStatus.DELETING:
        raise conflict(f"volume {volume_id!r} is being deleted")
    if size_tib < volume.size_tib:
        # provider: growing is self-service, shrinking is done by the account team
        raise invalid(f"volume {volume_id!r} cannot shrink from {volume.size_tib} TiB to {size_tib} TiB")
    return world.with_volume(volumes.grown(volume, size_tib, visit.now))


def delete_volume(world: World, visit: Visit, volume_id: str) -> World:
    """Begin the end of a volume that nothing is attached to."""
    volume = world.volume_of(visit.account, volume_id)
    _check_may_change(visit.account)
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


def _check_may_change(account: Account) -> None:
    if not account.may_change_clusters:
        # provider: editors cannot create, delete or scale
        raise RefusedError(Reason.FORBIDDEN, "this API key may not create, change or delete clusters and volumes")


def _check_may_buy(account: Account) -> None:
    _check_may_change(account)
    if not account.has_credit:
        raise RefusedError(Reason.NO_CREDIT, "insufficient credit: add credit to the account and try again")


def _check_order(order: ClusterOrder, region: Region, now: datetime) -> None:
    _check_name("cluster_name", order.name)
    _check_gpu_count("num_gpus", order.num_gpus)
    if order.gpu_type not in region.gpu_types:
        raise invalid(f"gpu type {order.gpu_type!r} is not available in region {region.name!r}")
    if order.cluster_type == "SLURM" and order.slurm_shm_size_gib is None:
        raise invalid("slurm_shm_size_gib is required for cluster type SLURM")
    if not 0 <= order.num_reserved_gpus <= order.num_gpus or order.num_reserved_gpus % GPUS_PER_NODE:
        raise invalid(f"num_reserved_gpus must be a multiple of {GPUS_PER_NODE} and not exceed num_gpus")
    _check_term(order, now)


def _check_term(order: ClusterOrder, now: datetime) -> None:
    dated = order.starts_at is not None or order.ends_at is not None
    match order.billing:
        case Billing.ON_DEMAND:
            if order.duration_days is not None or dated or order.num_reserved_gpus:
                raise invalid("duration_days, reservation times and num_reserved_gpus do not go with ON_DEMAND")
        case Billing.RESERVED:
            if (order.duration_days is None) == (order.ends_at is None):
                raise invalid("RESERVED needs either duration_days or reservation_end_time")
            if order.duration_days is not None and not 1 <= order.duration_days <= 90:
                raise invalid("duration_days must be between 1 and 90")
        case Billing.SCHEDULED_CAPACITY:
            if order.starts_at is None or order.ends_at is None:
                raise invalid("SCHEDULED_CAPACITY needs reservation_start_time and reservation_end_time")
    if order.ends_at is not None and order.ends_at <= (order.starts_at or now):
        raise invalid("reservation_end_time must be later than the start")


def _check_gpu_count(name: str, count: int) -> None:
    if count < GPUS_PER_NODE or count % GPUS_PER_NODE:
        raise invalid(f"{name} must be a multiple of {GPUS_PER_NODE} and at least {GPUS_PER_NODE}, not {count}")


def _check_name(field: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(
            f"{field} {name!r} must be 1 to 63 lower-case letters, digits and '-', begin and end with a letter or digit"
        )


def _check_size(size_tib: int) -> None:
    if not 1 <= size_tib <= MAX_SIZE_TIB:
        raise invalid(f"size_tib must be between 1 and {MAX_SIZE_TIB}, not {size_tib}")


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
    _check_name("volume_name", wanted.name)
    _check_size(wanted.size_tib)
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


def _gpu_nodes(visit: Visit, num_gpus: int) -> tuple[Node, ...]:
    return tuple(_node(visit, "gpu-dp", GPUS_PER_NODE) for _ in range(num_gpus // GPUS_PER_NODE))


def _node(visit: Visit, prefix: str, num_gpus: int) -> Node:
    node_id = visit.new_id()
    return new_node(
        node_id=node_id,
        instance_id=visit.new_id(),
        host_name=f"{prefix}-{node_id[:8]}",
        num_gpus=num_gpus,
        now=visit.now,
        backed=visit.behind.real,
    )


def _grown(world: World, visit: Visit, cluster: Cluster, num_gpus: int) -> Cluster:
    _check_may_buy(visit.account)
    more = num_gpus - cluster.num_gpus
    _check_stock(world, cluster.order.region, cluster.order.gpu_type, more)
    added = tuple(machines.started(node, visit.now, world.pace) for node in _gpu_nodes(visit, more))
    events = tuple(_event(node, "TogetherScaledUp", "Node added by a scale-up.", visit.now) for node in added)
    return replace(cluster, gpu_nodes=(*cluster.gpu_nodes, *added), events=(*cluster.events, *events))


def _shrunk(world: World, visit: Visit, cluster: Cluster, num_gpus: int, leaving_first: frozenset[str]) -> Cluster:
    staying = [node for node in cluster.gpu_nodes if node.leaves_at is None]

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
