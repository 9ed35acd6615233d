"""What happens to the nodes of a cluster: they break, recover, lose GPUs, are taken back. Pure."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from tunesmith_simulator import machines, repairs
from tunesmith_simulator.alerts import AlertName, Signal
from tunesmith_simulator.clusters import Cluster, NodeEvent
from tunesmith_simulator.happenings.meant import BaseHappening, Touched, each_cluster, meant_clusters
from tunesmith_simulator.machines import Node, NodePhase
from tunesmith_simulator.pace import Seconds
from tunesmith_simulator.world import World


class _OfNodes(BaseHappening):
    cluster: str
    node: str | NonNegativeInt = "*"

    def _each_node(self, world: World, change: Callable[[Node], Node]) -> Touched:
        """The world with the nodes that are meant changed."""
        touched: list[str] = []
        for cluster in meant_clusters(world, self.cluster):
            nodes = []
            for index, node in enumerate(cluster.gpu_nodes):
                changed = change(node) if self._means(index, node) else node
                touched += [node.host_name] if changed is not node else []
                nodes.append(changed)
            world = world.with_cluster(replace(cluster, gpu_nodes=tuple(nodes)))
        return world, tuple(touched)

    def _means(self, index: int, node: Node) -> bool:
        if isinstance(self.node, int):
            return index == self.node
        return fnmatchcase(node.host_name, self.node)


class FailNode(_OfNodes):
    """Running nodes break; the health checks of the provider see why, and it may propose a repair."""

    what: Literal["fail_node"] = "fail_node"
    alert: AlertName = AlertName.GPU_FALLEN_OFF_BUS
    xid_code: str = ""

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the nodes broken."""
        signal = Signal(name=self.alert, xid_code=self.xid_code)
        touched: list[str] = []
        for cluster in meant_clusters(world, self.cluster):
            for index, node in enumerate(cluster.gpu_nodes):
                if self._means(index, node) and node.phase is NodePhase.RUNNING:
                    world = repairs.node_breaks(world, cluster.cluster_id, node.host_name, signal, now)
                    touched.append(node.host_name)
        return world, tuple(touched)


class RecoverNode(_OfNodes):
    """Broken nodes run again by themselves."""

    what: Literal["recover_node"] = "recover_node"

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the nodes well."""
        return self._each_node(world, lambda node: _if_in(NodePhase.FAILED, node, machines.recovered, now))


class LoseGpus(_OfNodes):
    """So many GPUs of a node are not there from now on; 0 brings all back. The API counts them all the same."""

    what: Literal["lose_gpus"] = "lose_gpus"
    count: Annotated[int, Field(ge=0, le=8)]

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the GPUs missing."""
        return self._each_node(
            world, lambda node: node if node.missing_gpus == self.count else replace(node, missing_gpus=self.count)
        )


class Preempt(_OfNodes):
    """Nodes are taken back: their notice now, their end after ``notice_seconds`` (the scenario's, if not given)."""

    what: Literal["preempt"] = "preempt"
    notice_seconds: Seconds | None = None

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the notice given."""
        seconds = world.pace.durations.preemption_notice_seconds if self.notice_seconds is None else self.notice_seconds
        leaves_at = world.pace.after(now, seconds)
        world, touched = self._each_node(
            world,
            lambda node: node if node.leaves_at is not None else replace(node, leaves_at=leaves_at, preempted=True),
        )
        for cluster in meant_clusters(world, self.cluster):
            noticed = tuple(
                NodeEvent(host_name, "TogetherPreemptionNotified", "Preemptible node will be taken back.", now)
                for host_name in touched
                if any(node.host_name == host_name for node in cluster.gpu_nodes)
            )
            world = world.with_cluster(replace(cluster, events=(*cluster.events, *noticed)))
            if noticed:
                # They are taken back because somebody else needs them: nothing of their kind is free.
                key = (cluster.order.region, cluster.order.gpu_type)
                world = replace(world, preemptible_stock={**world.preemptible_stock, key: 0})
        return world, touched


class ShrinkOutside(BaseHappening):
    """Somebody takes GPU nodes from clusters at the provider, the youngest first, not through us."""

    what: Literal["shrink_outside"] = "shrink_outside"
    cluster: str
    nodes: PositiveInt = 1

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the nodes leaving."""
        leaves_at = world.pace.after(now, world.pace.durations.node_leaving_seconds)

        def shrink(cluster: Cluster) -> Cluster:
            staying = [node for node in cluster.gpu_nodes if node.leaves_at is None]
            chosen = staying[max(1, len(staying) - self.nodes) :]
            left = (
                replace(node, leaves_at=leaves_at, leaving_since=now) if node in chosen else node
                for node in cluster.gpu_nodes
            )
            return replace(cluster, gpu_nodes=tuple(left)) if chosen else cluster

        return each_cluster(world, self.cluster, shrink)


def _if_in(phase: NodePhase, node: Node, change: Callable[[Node, datetime], Node], now: datetime) -> Node:
    return change(node, now) if node.phase is phase else node
