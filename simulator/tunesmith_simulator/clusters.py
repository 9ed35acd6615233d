"""A GPU cluster: what was ordered, the phases it passes through over time, its nodes. Pure: time is passed in.

Which phase follows which is in ``way``. Long because a cluster's facts and its moves are read together.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunesmith_simulator import machines, way
from tunesmith_simulator.cluster_orders import Billing, ClusterOrder
from tunesmith_simulator.courses import PLAIN, Course
from tunesmith_simulator.machines import Node, NodePhase, Source
from tunesmith_simulator.pace import Pace, rescaled
from tunesmith_simulator.phases import SETTLED, TESTS_FAILED, ClusterPhase, ClusterTransition


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Something that happened to a node, as the provider tells it in the cluster's timeline."""

    host_name: str
    reason: str
    message: str
    time: datetime


@dataclass(frozen=True, slots=True)
class ReservedStep:
    """So many GPUs are prepaid from ``time`` on."""

    time: datetime
    gpus: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster. ``backed``: real machines stand behind it, and its phases wait for them.

    ``volume_attached_at`` and ``ended_at`` are what those machines reported; without them they are not waited for.
    ``told_status`` and ``handed_out`` (base64) are told instead of the status and the kubeconfig that it has.
    """

    cluster_id: str
    order: ClusterOrder
    partition: str
    created_at: datetime
    history: tuple[ClusterTransition, ...]
    control_plane_nodes: tuple[Node, ...]
    gpu_nodes: tuple[Node, ...]
    backed: bool
    kube_config: str
    volume_id: str | None = None
    due_at: datetime | None = None
    ends_at: datetime | None = None
    volume_attached_at: datetime | None = None
    ended_at: datetime | None = None
    gone_at: datetime | None = None
    deleted_nodes: tuple[Node, ...] = ()
    events: tuple[NodeEvent, ...] = ()
    backing_error: str = ""
    course: Course = PLAIN
    told_status: str | None = None
    handed_out: str | None = None
    kube_config_from: datetime | None = None
    kube_config_open: bool = False
    reserved: tuple[ReservedStep, ...] = ()

    @property
    def status(self) -> str:
        """The word of its ``status`` field."""
        if self.told_status is not None:
            return self.told_status
        return self.course.failed_tests_status if self.phase in TESTS_FAILED else self.phase.status

    @property
    def told_kube_config(self) -> str:
        """The kubeconfig that the API tells (base64); empty while there is none to tell."""
        if not (self.control_plane_ready and self.kube_config_open):
            return ""
        return self.kube_config if self.handed_out is None else self.handed_out

    @property
    def phase(self) -> ClusterPhase:
        """The phase it is in."""
        return self.history[-1].phase

    @property
    def since(self) -> datetime:
        """When it came into its phase."""
        return self.history[-1].time

    @property
    def leaving(self) -> bool:
        """Its end was asked for, or has come."""
        return self.phase is ClusterPhase.DELETING

    @property
    def num_gpus(self) -> int:
        """How many GPUs it is meant to have, without preemptible ones; those of nodes that leave no longer count."""
        return sum(node.num_gpus for node in self.staying if node.source is not Source.PREEMPTIBLE)

    @property
    def allocated_preemptible_gpus(self) -> int:
        """How many preemptible GPUs it has at present."""
        return sum(node.num_gpus for node in self.staying if node.source is Source.PREEMPTIBLE)

    @property
    def missing_preemptible_gpus(self) -> int:
        """How many preemptible GPUs it wants and has not; negative when it has too many."""
        wanted = self.order.num_preemptible_gpus if self.phase in SETTLED else self.allocated_preemptible_gpus
        return wanted - self.allocated_preemptible_gpus

    @property
    def staying(self) -> list[Node]:
        """Its GPU machines that are not about to leave."""
        return [node for node in self.gpu_nodes if node.leaves_at is None]

    @property
    def held_gpus(self) -> int:
        """How many GPUs it holds, from whatever source; machines that leave are held until they have left."""
        return sum(self.held_from(source) for source in Source)

    def held_from(self, source: Source) -> int:
        """How many GPUs it holds from one source."""
        return 0 if self.gone_at else sum(node.num_gpus for node in self.gpu_nodes if node.source is source)

    def node_of(self, instance_id: str) -> Node | None:
        """The living GPU machine of that instance."""
        return next((node for node in self.gpu_nodes if node.instance_id == instance_id), None)

    def needs(self, node: Node) -> bool:
        """Without this GPU machine no standard one would stay."""
        others = (each for each in self.staying if each.instance_id != node.instance_id)
        return not any(each.source is not Source.PREEMPTIBLE for each in others)

    def with_node(self, changed: Node) -> "Cluster":
        """The cluster with one of its GPU machines changed."""
        nodes = tuple(changed if node.instance_id == changed.instance_id else node for node in self.gpu_nodes)
        return replace(self, gpu_nodes=nodes)

    @property
    def control_plane_ready(self) -> bool:
        """Its Kubernetes API answers."""
        return machines.all_running_since(self.control_plane_nodes) is not None and not self.leaving

    @property
    def first_ready_at(self) -> datetime | None:
        """When it first came to Ready."""
        return next((step.time for step in self.history if step.phase is ClusterPhase.READY), None)

    def entered_at(self, phase: ClusterPhase) -> datetime | None:
        """When it first came into ``phase``."""
        return next((step.time for step in self.history if step.phase is phase), None)


def new_cluster(
    *,
    cluster_id: str,
    order: ClusterOrder,
    partition: str,
    control_plane_nodes: tuple[Node, ...],
    gpu_nodes: tuple[Node, ...],
    volume_id: str | None,
    backed: bool,
    kube_config: str,
    now: datetime,
    pace: Pace,
    course: Course | None = None,
) -> Cluster:
    """A cluster that was bought just now. ``kube_config`` may be empty: what stands behind it reports it later."""
    course = course or PLAIN
    first = ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES
    if course.scheduled_seconds is not None or (order.starts_at is not None and order.starts_at > now):
        first = ClusterPhase.SCHEDULED
    cluster = Cluster(
        cluster_id=cluster_id,
        order=order,
        partition=partition,
        created_at=now,
        history=(),
        control_plane_nodes=control_plane_nodes,
        gpu_nodes=tuple(
            replace(node, slowness=course.slow_nodes.get(index, 1), missing_gpus=course.missing_gpus.get(index, 0))
            for index, node in enumerate(gpu_nodes)
        ),
        backed=backed,
        kube_config=kube_config,
        volume_id=volume_id,
        ends_at=order.ends_at,
        course=course,
        reserved=_prepaid_from(now, order),
    )
    return _entered(cluster, first, now, pace)


def _prepaid_from(now: datetime, order: ClusterOrder) -> tuple[ReservedStep, ...]:
    prepaid = order.num_reserved_gpus
    if order.billing is Billing.SCHEDULED_CAPACITY and not prepaid:
        prepaid = order.num_gpus - order.num_capacity_pool_gpus
    return (ReservedStep(now, prepaid),) if prepaid else ()


def advanced(cluster: Cluster, now: datetime, pace: Pace, volume_available_at: datetime | None) -> Cluster:
    """The cluster as it is at ``now``; ``volume_available_at`` is when its shared volume could be mounted."""
    if cluster.ends_at is not None and cluster.ends_at <= now and not cluster.leaving:
        cluster = _until(cluster, cluster.ends_at, pace, volume_available_at)
        cluster = deleting(cluster, max(cluster.ends_at or now, cluster.since), pace)
    return _until(cluster, now, pace, volume_available_at)


def deleting(cluster: Cluster, at: datetime, pace: Pace) -> Cluster:
    """The cluster from the moment its deletion was asked for; asking again changes nothing."""
    return cluster if cluster.leaving else _entered(cluster, ClusterPhase.DELETING, at, pace)


def paused(cluster: Cluster, at: datetime, pace: Pace) -> Cluster:
    """The cluster from the moment its credit ran out: its GPU nodes stand still. Prepaid ones run to their term."""
    if cluster.phase not in SETTLED or cluster.order.billing is not Billing.ON_DEMAND:
        return cluster
    nodes = tuple(machines.paused(node, at) for node in cluster.gpu_nodes)
    return _entered(replace(cluster, gpu_nodes=nodes), ClusterPhase.ON_DEMAND_COMPUTE_PAUSED, at, pace)


def resumed(cluster: Cluster, at: datetime, pace: Pace) -> Cluster:
    """The cluster from the moment there was credit again."""
    if cluster.phase is not ClusterPhase.ON_DEMAND_COMPUTE_PAUSED:
        return cluster
    cluster = replace(cluster, gpu_nodes=tuple(machines.resumed(node, at) for node in cluster.gpu_nodes))
    return _entered(cluster, _health(cluster), at, pace)


def sent_to(cluster: Cluster, phase: ClusterPhase, at: datetime, pace: Pace) -> Cluster:
    """The cluster in another phase from now on, by no rule of its own; from there it goes on by itself."""
    return _entered(replace(cluster, told_status=None), phase, at, pace)


def on_course(cluster: Cluster, course: Course, pace: Pace) -> Cluster:
    """The cluster on another way from now on; what it did so far stays."""
    cluster = replace(cluster, course=course, kube_config_from=None)
    return replace(cluster, due_at=_due_at(cluster, cluster.phase, cluster.since, pace))


def next_change_at(cluster: Cluster, volume_available_at: datetime | None) -> datetime | None:
    """The next time at which something happens to the cluster by itself, as far as is known; None for never."""
    if cluster.gone_at is not None:
        return None
    times = [machines.leaves_phase_at(node) for node in (*cluster.control_plane_nodes, *cluster.gpu_nodes)]
    times += [node.leaves_at for node in cluster.gpu_nodes]
    times += [_leaves_phase_at(cluster, volume_available_at), None if cluster.leaving else cluster.ends_at]
    times.append(None if cluster.kube_config_open else cluster.kube_config_from)
    if cluster.phase in SETTLED and cluster.phase is not _health(cluster):
        times.append(cluster.since)
    return min((time for time in times if time is not None), default=None)


def replayed(cluster: Cluster, now: datetime, factor: float) -> Cluster:
    """The cluster after a change of speed: what is left of its waits takes ``factor`` times as long.

    Reservations are dates, not durations, and stay.
    """
    return replace(
        cluster,
        due_at=cluster.due_at if _waits_for_a_date(cluster) else rescaled(cluster.due_at, now, factor),
        kube_config_from=rescaled(cluster.kube_config_from, now, factor),
        control_plane_nodes=tuple(machines.replayed(node, now, factor) for node in cluster.control_plane_nodes),
        gpu_nodes=tuple(machines.replayed(node, now, factor) for node in cluster.gpu_nodes),
    )


def _until(cluster: Cluster, now: datetime, pace: Pace, volume_available_at: datetime | None) -> Cluster:
    while cluster.gone_at is None:
        cluster = _with_nodes_advanced(cluster, now, pace)
        over = _leaves_phase_at(cluster, volume_available_at)
        if over is not None and over <= now:
            cluster = _after_phase(cluster, over, pace)
        elif cluster.phase in SETTLED and (health := _health(cluster)) is not cluster.phase:
            cluster = _entered(cluster, health, max(_last_node_change(cluster), cluster.since), pace)
        else:
            break
    return _with_kube_config(cluster, now, pace)


def _waits_for_a_date(cluster: Cluster) -> bool:
    return cluster.phase is ClusterPhase.SCHEDULED and cluster.course.scheduled_seconds is None


def _with_kube_config(cluster: Cluster, now: datetime, pace: Pace) -> Cluster:
    if cluster.kube_config_open or cluster.course.kube_config_never:
        return cluster
    running = machines.all_running_since(cluster.control_plane_nodes)
    if cluster.kube_config_from is None and running is not None:
        opens_at = pace.after(running, cluster.course.kube_config_after_seconds)
        cluster = replace(cluster, kube_config_from=opens_at)
    due = cluster.kube_config_from is not None and cluster.kube_config_from <= now
    return replace(cluster, kube_config_open=True) if due else cluster


def _with_nodes_advanced(cluster: Cluster, now: datetime, pace: Pace) -> Cluster:
    left = [node for node in cluster.gpu_nodes if node.leaves_at is not None and node.leaves_at <= now]
    return replace(
        cluster,
        control_plane_nodes=tuple(machines.advanced(node, now, pace) for node in cluster.control_plane_nodes),
        gpu_nodes=tuple(machines.advanced(node, now, pace) for node in cluster.gpu_nodes if node not in left),
        deleted_nodes=(*cluster.deleted_nodes, *(replace(node, deleted_at=node.leaves_at) for node in left)),
        events=(*cluster.events, *(_preempted(node) for node in left if node.preempted)),
    )


def _preempted(node: Node) -> NodeEvent:
    message = "Preemptible node was taken back."
    return NodeEvent(node.host_name, "TogetherPreempted", message, node.leaves_at or node.since)


def _leaves_phase_at(cluster: Cluster, volume_available_at: datetime | None) -> datetime | None:
    if cluster.phase.short in cluster.course.never_leaves:
        return None
    match cluster.phase:
        case ClusterPhase.READY | ClusterPhase.DEGRADED | ClusterPhase.PAUSED:
            return None
        case ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES:
            return _after_all_run(cluster, cluster.control_plane_nodes)
        case ClusterPhase.WAITING_FOR_DATA_PLANE_NODES:
            return _after_all_run(cluster, cluster.gpu_nodes)
        case ClusterPhase.WAITING_FOR_SHARED_VOLUME:
            waited_for = [cluster.due_at, volume_available_at]
            return _latest(waited_for + ([cluster.volume_attached_at] if cluster.backed else []))
        case ClusterPhase.DELETING:
            return _latest([cluster.due_at] + ([cluster.ended_at] if cluster.backed else []))
    return cluster.due_at


def _after_all_run(cluster: Cluster, nodes: tuple[Node, ...]) -> datetime | None:
    running = machines.all_running_since(nodes)
    return None if running is None else max(running, cluster.since, cluster.due_at or cluster.since)


def _latest(times: list[datetime | None]) -> datetime | None:
    """The last of ``times``, or None while one of them is not known."""
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(times) else None


def _after_phase(cluster: Cluster, at: datetime, pace: Pace) -> Cluster:
    if cluster.phase is ClusterPhase.DELETING:
        return replace(cluster, gone_at=at, due_at=None)
    following = way.following(
        cluster.history,
        cluster.course,
        has_volume=cluster.volume_id is not None,
        wants_tests=cluster.order.acceptance_tests,
    )
    return _entered(cluster, following, at, pace)


def _entered(cluster: Cluster, phase: ClusterPhase, at: datetime, pace: Pace) -> Cluster:
    cluster = replace(
        cluster,
        history=(*cluster.history, ClusterTransition(phase, at)),
        due_at=_due_at(cluster, phase, at, pace),
    )
    match phase:
        case ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES:
            return replace(cluster, control_plane_nodes=_started(cluster.control_plane_nodes, at, pace))
        case ClusterPhase.WAITING_FOR_DATA_PLANE_NODES:
            return replace(cluster, gpu_nodes=_started(cluster.gpu_nodes, at, pace))
        case ClusterPhase.READY if cluster.ends_at is None and cluster.order.duration_days is not None:
            # provider: a reservation's term starts at Ready
            return replace(cluster, ends_at=at + timedelta(days=cluster.order.duration_days))
    return cluster


def _started(nodes: tuple[Node, ...], at: datetime, pace: Pace) -> tuple[Node, ...]:
    """The nodes with those that were not begun begun: a cluster may come to this phase again."""
    return tuple(machines.started(node, at, pace) if node.phase is NodePhase.PENDING else node for node in nodes)


def _due_at(cluster: Cluster, phase: ClusterPhase, at: datetime, pace: Pace) -> datetime | None:
    if phase is ClusterPhase.SCHEDULED and cluster.course.scheduled_seconds is None:
        return cluster.order.starts_at or at
    seconds = way.seconds_in(phase, cluster.course, pace.durations)
    return None if seconds is None else pace.after(at, seconds)


def _health(cluster: Cluster) -> ClusterPhase:
    healthy = all(node.healthy for node in cluster.gpu_nodes)
    return ClusterPhase.READY if healthy else ClusterPhase.DEGRADED


def _last_node_change(cluster: Cluster) -> datetime:
    changes = [node.since for node in cluster.gpu_nodes]
    changes += [node.deleted_at for node in cluster.deleted_nodes if node.deleted_at is not None]
    return max(changes)
