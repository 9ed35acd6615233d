"""What holds of the provider whatever customers do and however time passes."""

import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from together.types import Cluster as OfficialCluster
from together.types.clusters import ClusterStorage as OfficialVolume
from together.types.clusters import Remediation as OfficialRemediation

from tunesmith_simulator import desk, phases, remediations, repairs, volumes
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator import world as worlds
from tunesmith_simulator.alerts import Signal
from tunesmith_simulator.cluster_orders import Billing, ClusterOrder
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.desk import Behind, Visit, VolumeOrder
from tunesmith_simulator.http.g2_answers import cluster_json, volume_json
from tunesmith_simulator.http.remediation_answers import remediation_json
from tunesmith_simulator.machines import NodePhase
from tunesmith_simulator.order_rules import check_change
from tunesmith_simulator.refusals import RefusedError
from tunesmith_simulator.remediations import RemediationMode
from tunesmith_simulator.repair_policy import RepairPolicy
from tunesmith_simulator.world import Account, World

ACCOUNT = Account(name="acme", projects=("proj-acme",))
REGION = "us-central-8"
SCENARIO = scenarios.named("default")
NOTHING = replace(SCENARIO.world(), stock={})
STRICT_CLUSTER = TypeAdapter(OfficialCluster)
STRICT_VOLUME = TypeAdapter(OfficialVolume)
STRICT_REMEDIATION = TypeAdapter(OfficialRemediation)


def settled(cluster: Cluster) -> bool:
    return cluster.phase in phases.SETTLED


def an_order(world: World) -> ClusterOrder:
    """Three on-demand nodes."""
    return ClusterOrder(
        name="training",
        project_id="proj-acme",
        region=REGION,
        gpu_type="H100_SXM",
        num_gpus=24,
        num_reserved_gpus=0,
        billing=Billing.ON_DEMAND,
        driver=world.regions[REGION].drivers[0],
        cluster_type="KUBERNETES",
    )


def change_counts(world: World, visit: Visit, cluster: Cluster, order: ClusterOrder) -> World:
    """A change of the counts of a cluster, as one request."""
    check_change(cluster, order, None)
    world = desk.change_order(world, visit, cluster.cluster_id, order, None)
    return desk.draw_from_pool(world, visit, cluster.cluster_id)


class Provider(RuleBasedStateMachine):
    """Any customer requests, reports from real machines, failures and leaps of time, in any order."""

    @initialize(real=st.booleans(), seed=st.integers(0, 2**16), begun=st.booleans())
    def open_for_business(self, real: bool, seed: int, begun: bool) -> None:
        self.now = datetime(2026, 9, 1, tzinfo=UTC)
        self.random = random.Random(seed)
        self.behind = Behind(real=real)
        self.world = replace(SCENARIO.world(), stock={(REGION, "H100_SXM"): 64, (REGION, "H200_SXM"): 16})
        self.in_all = self.free_in_all()
        if begun:
            self.attempt(desk.buy_cluster, self.visit(), an_order(self.world))
            self.go_well_for_an_hour()

    def free_in_all(self) -> int:
        """What could be sold from all sources."""
        world = self.known_world()
        pools = sum(pool.free_gpus for pool in world.pools.values())
        return sum(world.stock.values()) + sum(world.preemptible_stock.values()) + pools

    def visit(self) -> Visit:
        return Visit(account=ACCOUNT, now=self.now, new_id=self.new_id, behind=self.behind)

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def attempt(self, change: Any, *arguments: Any, **named: Any) -> None:
        """A refusal changes nothing; anything else is the new world."""
        try:
            changed = change(self.world, *arguments, **named)
        except RefusedError:
            return
        self.world = worlds.advanced(changed if isinstance(changed, World) else changed[0], self.now)

    @rule(
        gpu_type=st.sampled_from(["H100_SXM", "H200_SXM"]),
        nodes=st.integers(1, 4),
        days=st.none() | st.integers(1, 3),
        inline=st.none() | st.booleans(),
        tests=st.booleans(),
        volume=st.integers(0, 5),
        more=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    )
    def buy(
        self,
        gpu_type: str,
        nodes: int,
        days: int | None,
        inline: bool | None,
        tests: bool,
        volume: int,
        more: tuple[int, int],
    ) -> None:
        order = ClusterOrder(
            name="training",
            project_id="proj-acme",
            region=REGION,
            gpu_type=gpu_type,
            num_gpus=8 * nodes,
            num_reserved_gpus=8 * nodes if days else 0,
            billing=Billing.RESERVED if days else Billing.ON_DEMAND,
            driver=self.world.regions[REGION].drivers[0],
            cluster_type="KUBERNETES",
            acceptance_tests=tests,
            duration_days=days,
            num_preemptible_gpus=8 * more[0],
            capacity_pool_id="pool-acme" if more[1] else None,
            num_capacity_pool_gpus=8 * more[1],
        )
        wanted = None if inline is None else VolumeOrder("data", REGION, 1, lifecycle_independent=inline)
        existing = list(self.world.volumes)
        volume_id = existing[volume] if wanted is None and volume < len(existing) else None
        self.attempt(desk.buy_cluster, self.visit(), order, volume_id=volume_id, inline_volume=wanted)

    @precondition(lambda self: len(self.world.volumes) < 4)
    @rule(size=st.integers(0, 3), independent=st.booleans())
    def make_volume(self, size: int, independent: bool) -> None:
        order = VolumeOrder("data", REGION, size, lifecycle_independent=independent)
        self.attempt(desk.buy_volume, self.visit(), order)

    @rule(pick=st.randoms(use_true_random=False), gpus=st.integers(0, 5))
    def resize(self, pick: random.Random, gpus: int) -> None:
        for cluster_id in self.one_of(self.world.clusters, pick):
            self.attempt(desk.resize_cluster, self.visit(), cluster_id, gpus * 8)

    @rule(pick=st.randoms(use_true_random=False), preemptible=st.integers(0, 3), pooled=st.integers(0, 3))
    def change(self, pick: random.Random, preemptible: int, pooled: int) -> None:
        for cluster_id in self.one_of(self.world.clusters, pick):
            cluster = self.world.clusters[cluster_id]
            order = replace(cluster.order, num_preemptible_gpus=8 * preemptible, num_capacity_pool_gpus=8 * pooled)
            self.attempt(change_counts, self.visit(), cluster, order)

    @rule(pick=st.randoms(use_true_random=False), mode=st.sampled_from(RemediationMode))
    def ask_for_a_repair(self, pick: random.Random, mode: RemediationMode) -> None:
        ready = {key: cluster for key, cluster in self.world.clusters.items() if settled(cluster)}
        for cluster_id in self.one_of(ready or self.world.clusters, pick):
            node = pick.choice(self.world.clusters[cluster_id].gpu_nodes)
            self.attempt(
                repairs.request_remediation, self.visit(), cluster_id, node.instance_id, mode=mode, reason="why not"
            )

    @rule(proposes=st.booleans(), needs_approval=st.booleans())
    def set_repair_policy(self, proposes: bool, needs_approval: bool) -> None:
        self.world = self.world.with_repair_policy(RepairPolicy(proposes=proposes, needs_approval=needs_approval))

    @rule(
        pick=st.randoms(use_true_random=False),
        answer=st.sampled_from(["approve", "reject", "cancel"]),
        mode=st.none() | st.sampled_from(RemediationMode),
    )
    def review_a_repair(self, pick: random.Random, answer: str, mode: RemediationMode | None) -> None:
        open_ones = [each for each in self.world.remediations.values() if not each.over]
        for found in [pick.choice(open_ones)] if open_ones else []:
            match answer:
                case "approve":
                    self.attempt(repairs.approve_remediation, self.visit(), found, "yes", mode)
                case "reject":
                    self.attempt(repairs.reject_remediation, self.visit(), found, "no")
                case "cancel":
                    self.attempt(repairs.cancel_remediation, self.visit(), found)

    @rule(pick=st.randoms(use_true_random=False))
    def let_a_node_recover(self, pick: random.Random) -> None:
        for cluster_id in self.one_of(self.world.clusters, pick):
            broken = [n for n in self.world.clusters[cluster_id].gpu_nodes if n.phase is NodePhase.FAILED]
            for node in broken[:1]:
                self.attempt(repairs.node_recovers, cluster_id, node.host_name, self.now)

    @rule(pick=st.randoms(use_true_random=False))
    def delete(self, pick: random.Random) -> None:
        for cluster_id in self.one_of(self.world.clusters, pick):
            self.attempt(desk.delete_cluster, self.visit(), cluster_id)

    @rule(pick=st.randoms(use_true_random=False))
    def delete_volume(self, pick: random.Random) -> None:
        for volume_id in self.one_of(self.world.volumes, pick):
            self.attempt(desk.delete_volume, self.visit(), volume_id)

    @rule(pick=st.randoms(use_true_random=False))
    def report(self, pick: random.Random) -> None:
        """Real machines tell what they did, at any time, more than once, also late."""
        for cluster_id in self.one_of(self.world.clusters, pick):
            self.report_all_of(cluster_id)

    @rule()
    def go_well_for_an_hour(self) -> None:
        """Everything that was asked for comes up, or goes down."""
        for cluster_id in self.world.clusters:
            self.report_all_of(cluster_id)
        self.pass_time(3600)

    def report_all_of(self, cluster_id: str) -> None:
        cluster = self.world.clusters[cluster_id]
        boots = {node.host_name: node.boots for node in cluster.gpu_nodes}
        told: dict[str, Any] = {"cluster_id": cluster_id, "now": self.now}
        self.attempt(worlds.control_plane_up, **told, kube_config="a3ViZQ==")
        self.attempt(worlds.nodes_up, **told, boots=boots)
        self.attempt(worlds.volume_attached, **told)
        if cluster.leaving:
            self.attempt(worlds.ended, **told)

    @rule(pick=st.randoms(use_true_random=False))
    def break_a_node(self, pick: random.Random) -> None:
        for cluster_id in self.one_of(self.world.clusters, pick):
            running = [node for node in self.world.clusters[cluster_id].gpu_nodes if node.phase is NodePhase.RUNNING]
            for node in running[:1]:
                self.attempt(repairs.node_breaks, cluster_id, node.host_name, Signal(), self.now)

    @rule(seconds=st.sampled_from([1, 30, 120, 900, 86_400]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.world = worlds.advanced(self.world, self.now)

    @rule(speed=st.sampled_from([0.5, 1.0, 60.0]))
    def change_speed(self, speed: float) -> None:
        self.attempt(worlds.at_speed, speed, self.now)

    @invariant()
    def stock_is_never_negative_and_nothing_is_lost_or_made(self) -> None:
        world = self.known_world()
        held = sum(cluster.held_gpus for cluster in world.clusters.values())
        assert min(world.stock.values(), default=0) >= 0
        for stock in (world.stock, world.preemptible_stock):
            assert min(stock.values(), default=0) >= 0
        assert all(pool.free_gpus >= 0 for pool in world.pools.values())
        assert not world.stock or held + self.free_in_all() == self.in_all

    @invariant()
    def a_cluster_holds_of_its_pool_and_of_reclaimable_gpus_no_more_than_it_asked_for(self) -> None:
        for cluster in self.known_world().clusters.values():
            assert cluster.allocated_preemptible_gpus <= cluster.order.num_preemptible_gpus or not settled(cluster)

    @invariant()
    def a_cluster_keeps_at_least_one_standard_node(self) -> None:
        for cluster in self.known_world().clusters.values():
            assert cluster.num_gpus >= 8

    @invariant()
    def a_repair_moves_only_where_it_may_and_one_instance_has_one_at_a_time(self) -> None:
        repaired: set[str] = set()
        for remediation in self.known_world().remediations.values():
            steps = remediation.history
            for before, after in pairwise(steps):
                assert after.state in remediations.ALLOWED[before.state]
                assert before.time <= after.time <= self.now
            if not remediation.over:
                assert remediation.target_id not in repaired
                repaired.add(remediation.target_id)

    @invariant()
    def states_move_only_where_they_may_and_time_never_runs_backwards(self) -> None:
        for cluster in self.known_world().clusters.values():
            steps = cluster.history
            for before, after in pairwise(steps):
                assert after.phase in phases.ALLOWED[before.phase]
                assert before.time <= after.time <= self.now
        for volume in self.known_world().volumes.values():
            states = volume.history
            for former, latter in pairwise(states):
                assert latter.status in volumes.ALLOWED[former.status]
                assert former.time <= latter.time <= self.now

    @invariant()
    def a_volume_is_attached_to_a_living_cluster_that_names_it_or_to_none(self) -> None:
        world = self.known_world()
        for volume in world.volumes.values():
            if volume.attached_to is not None:
                cluster = world.clusters[volume.attached_to]
                assert (cluster.gone_at, cluster.volume_id) == (None, volume.volume_id)

    @invariant()
    def nothing_that_is_due_is_left_undone(self) -> None:
        at = self.known_world().next_change_at()
        assert at is None or at > self.now

    @invariant()
    def every_answer_passes_the_official_clients_strict_validation(self) -> None:
        world = self.known_world()
        for cluster in world.clusters_of(ACCOUNT, None):
            STRICT_CLUSTER.validate_python(cluster_json(cluster, world, ACCOUNT, self.now))
        for remediation in world.remediations.values():
            STRICT_REMEDIATION.validate_python(remediation_json(remediation, world))
        for volume in world.volumes_of(ACCOUNT, None):
            STRICT_VOLUME.validate_python(volume_json(volume))

    def known_world(self) -> World:
        """The world, or an empty one before the first rule."""
        return getattr(self, "world", NOTHING)

    @staticmethod
    def one_of(things: Any, pick: random.Random) -> list[str]:
        """One of those that are not gone, if there is one."""
        living = [identifier for identifier, thing in things.items() if thing.gone_at is None]
        return [pick.choice(living)] if living else []


TestProvider = Provider.TestCase
TestProvider.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.prove
class TestProviderForLong(Provider.TestCase):
    """Many more lives."""

    settings = settings(max_examples=1000, stateful_step_count=40, deadline=None)
