"""One machine of a cluster, control plane or GPU worker: its phases, and when it goes from one to the next. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tunesmith_simulator.pace import NodeDurations, Pace, rescaled

GPUS_PER_NODE = 8
"""The provider sells whole nodes of eight GPUs: ``num_gpus`` is a multiple of 8."""

STANDARD_PREFIX = "gpu-dp"
PREEMPTIBLE_PREFIX = "gpu-preemptible-dp"
"""provider: how the names of standard and of preemptible nodes begin."""

NODE_CPUS = 192
NODE_MEMORY_GIB = 1800
"""What an eight-GPU node of these types commonly has."""


class NodePhase(StrEnum):
    """The phases of a node that the provider names and that are played here."""

    PENDING = "NODE_PHASE_PENDING"
    SCHEDULING = "NODE_PHASE_SCHEDULING"
    BOOTING = "NODE_PHASE_BOOTING"
    BOOTSTRAPPING = "NODE_PHASE_BOOTSTRAPPING"
    RUNNING = "NODE_PHASE_RUNNING"
    PAUSED = "NODE_PHASE_PAUSED"
    FAILED = "NODE_PHASE_FAILED"

    @property
    def status(self) -> str:
        """The word in the node's ``status``: the provider leaves it free; here it is the phase in plain letters."""
        return self.value.removeprefix("NODE_PHASE_").capitalize()


class Source(StrEnum):
    """What a GPU machine is taken from: the region's stock, what may be reclaimed, or a customer's capacity pool."""

    STANDARD = "standard"
    PREEMPTIBLE = "preemptible"
    CAPACITY_POOL = "capacity pool"


NEXT = {
    NodePhase.SCHEDULING: NodePhase.BOOTING,
    NodePhase.BOOTING: NodePhase.BOOTSTRAPPING,
    NodePhase.BOOTSTRAPPING: NodePhase.RUNNING,
}


@dataclass(frozen=True, slots=True)
class FormerSource:
    """A machine was taken from ``source`` until ``until``."""

    source: Source
    until: datetime


@dataclass(frozen=True, slots=True)
class NodeTransition:
    """A node came into ``phase`` at ``time``."""

    phase: NodePhase
    time: datetime


@dataclass(frozen=True, slots=True)
class Node:
    """A machine. ``due_at`` ends the present phase; ``up_at`` is when what stands behind it was seen to run.

    ``boots`` counts its restarts; ``replaces`` is the instance whose place it took. ``leaving_since`` is when its
    customer asked for its end. Of its ``num_gpus``, ``missing_gpus`` do not show in it.
    """

    node_id: str
    instance_id: str
    host_name: str
    num_gpus: int
    history: tuple[NodeTransition, ...]
    up_at: datetime | None
    due_at: datetime | None = None
    leaves_at: datetime | None = None
    deleted_at: datetime | None = None
    source: Source = Source.STANDARD
    boots: int = 0
    replaces: str = ""
    leaving_since: datetime | None = None
    preempted: bool = False
    slowness: float = 1
    missing_gpus: int = 0
    former_sources: tuple[FormerSource, ...] = ()

    @property
    def phase(self) -> NodePhase:
        """The phase it is in."""
        return self.history[-1].phase

    @property
    def since(self) -> datetime:
        """When it came into its phase."""
        return self.history[-1].time

    @property
    def marked_for_deletion(self) -> bool:
        """It is chosen to leave, and still there."""
        return self.leaves_at is not None and self.deleted_at is None

    @property
    def healthy(self) -> bool:
        """It has not failed, and no repair of it is under way. One that is added by a scale-up is healthy."""
        repaired = bool(self.boots or self.replaces)
        return self.phase is NodePhase.RUNNING if repaired else self.phase is not NodePhase.FAILED


def new_node(
    *,
    node_id: str,
    instance_id: str,
    host_name: str,
    num_gpus: int,
    now: datetime,
    backed: bool,
    source: Source = Source.STANDARD,
) -> Node:
    """A machine that was asked for and not begun. ``backed``: something real must come up before it may run."""
    return Node(
        node_id=node_id,
        instance_id=instance_id,
        host_name=host_name,
        num_gpus=num_gpus,
        history=(NodeTransition(NodePhase.PENDING, now),),
        up_at=None if backed else now,
        source=source,
    )


def started(node: Node, at: datetime, pace: Pace) -> Node:
    """A pending machine whose turn has come."""
    return _entered(node, NodePhase.SCHEDULING, at, pace)


def failed(node: Node, at: datetime) -> Node:
    """A machine that broke."""
    return replace(node, history=(*node.history, NodeTransition(NodePhase.FAILED, at)), due_at=None)


def rebooting(node: Node, at: datetime, pace: Pace, *, backed: bool) -> Node:
    """A machine that is started again in place; what stands behind it must come up again."""
    again = replace(node, boots=node.boots + 1, up_at=None if backed else at)
    return _entered(again, NodePhase.BOOTING, at, pace)


def moved(node: Node, source: Source, at: datetime) -> Node:
    """The machine as it is when it is taken from another source from ``at`` on."""
    if source is node.source:
        return node
    return replace(node, source=source, former_sources=(*node.former_sources, FormerSource(node.source, at)))


def recovered(node: Node, at: datetime) -> Node:
    """A broken machine that runs again, as if it had been started again in no time."""
    if node.phase is not NodePhase.FAILED:
        return node
    return replace(node, boots=node.boots + 1, history=(*node.history, NodeTransition(NodePhase.RUNNING, at)))


def paused(node: Node, at: datetime) -> Node:
    """A running machine that stands still because nobody pays."""
    if node.phase is not NodePhase.RUNNING:
        return node
    return replace(node, history=(*node.history, NodeTransition(NodePhase.PAUSED, at)))


def resumed(node: Node, at: datetime) -> Node:
    """A paused machine that runs again."""
    if node.phase is not NodePhase.PAUSED:
        return node
    return replace(node, history=(*node.history, NodeTransition(NodePhase.RUNNING, at)))


def advanced(node: Node, now: datetime, pace: Pace) -> Node:
    """The machine as it is at ``now``."""
    while (at := leaves_phase_at(node)) is not None and at <= now:
        node = _entered(node, NEXT[node.phase], at, pace)
    return node


def leaves_phase_at(node: Node) -> datetime | None:
    """When the present phase ends; None if nothing known yet ends it."""
    if node.phase not in NEXT or node.due_at is None:
        return None
    if node.phase is not NodePhase.BOOTSTRAPPING:
        return node.due_at
    return None if node.up_at is None else max(node.due_at, node.up_at)


def all_running_since(nodes: Iterable[Node]) -> datetime | None:
    """When the last of ``nodes`` began to run; None while one does not."""
    nodes = tuple(nodes)
    if not nodes or any(node.phase is not NodePhase.RUNNING for node in nodes):
        return None
    return max(node.since for node in nodes)


def replayed(node: Node, now: datetime, factor: float) -> Node:
    """The machine after a change of speed: what is left of its waits takes ``factor`` times as long."""
    return replace(
        node,
        due_at=rescaled(node.due_at, now, factor),
        leaves_at=rescaled(node.leaves_at, now, factor),
    )


def _entered(node: Node, phase: NodePhase, at: datetime, pace: Pace) -> Node:
    seconds = _seconds_in(phase, _durations(node, pace))
    return replace(
        node,
        history=(*node.history, NodeTransition(phase, at)),
        due_at=None if seconds is None else pace.after(at, seconds * node.slowness),
    )


def _durations(node: Node, pace: Pace) -> NodeDurations:
    return pace.durations.gpu_node if node.num_gpus else pace.durations.control_plane_node


def _seconds_in(phase: NodePhase, durations: NodeDurations) -> float | None:
    return {
        NodePhase.SCHEDULING: durations.scheduling_seconds,
        NodePhase.BOOTING: durations.booting_seconds,
        NodePhase.BOOTSTRAPPING: durations.bootstrapping_seconds,
    }.get(phase)
