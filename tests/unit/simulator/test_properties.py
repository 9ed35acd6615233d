"""What holds of the provider whatever customers do and however time passes."""

import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from together.types import Cluster as OfficialCluster
from together.types.clusters import ClusterStorage as OfficialVolume

from tunesmith_simulator import desk, phases, volumes
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator import world as worlds
from tunesmith_simulator.clusters import Billing, ClusterOrder
from tunesmith_simulator.desk import Behind, Visit, VolumeOrder
from tunesmith_simulator.http.g2_answers import cluster_json, volume_json
from tunesmith_simulator.machines import NodePhase
from tunesmith_simulator.refusals import RefusedError
from tunesmith_simulator.world import Account, World

ACCOUNT = Account(name="acme", projects=("proj-acme",))
REGION = "us-central-8"
SCENARIO = scenarios.named("default")
NOTHING = replace(SCENARIO.world(), stock={})
STRICT_CLUSTER = TypeAdapter(OfficialCluster)
STRICT_VOLUME = TypeAdapter(OfficialVolume)


class Provider(RuleBasedStateMachine):
    """Any customer requests, reports from real machines, failures and leaps of time, in any order."""

    @initialize(real=st.booleans(), seed=st.integers(0, 2**16))
    def open_for_business(self, real: bool, seed: int) -> None:
        self.now = datetime(2026, 9, 1, tzinfo=UTC)
        self.random = random.Random(seed)
        self.behind = Behind(real=real)
        self.world = replace(SCENARIO.world(), stock={(REGION, "H100_SXM"): 64, (REGION, "H200_SXM"): 16})
        self.in_all = sum(self.world.stock.values())

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
    )
    def buy(self, gpu_type: str, nodes: int, days: int | None, inline: bool | None, tests: bool, volume: int) -> None:
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
        hosts = frozenset(node.host_name for node in cluster.gpu_nodes)
        told: dict[str, Any] = {"cluster_id": cluster_id, "now": self.now}
        self.attempt(worlds.control_plane_up, **told, kube_config="a3ViZQ==")
        self.attempt(worlds.nodes_up, **told, host_names=hosts)
        self.attempt(worlds.volume_attached, **told)
        if cluster.leaving:
            self.attempt(worlds.ended, **told)

    @rule(pick=st.randoms(use_true_random=False))
    def break_a_node(self, pick: random.Random) -> None:
        for cluster_id in self.one_of(self.world.clusters, pick):
            running = [node for node in self.world.clusters[cluster_id].gpu_nodes if node.phase is NodePhase.RUNNING]
            for node in running[:1]:
                self.attempt(worlds.node_failed, cluster_id, node.host_name, self.now)

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
        assert held + sum(world.stock.values()) == (self.in_all if world.stock else 0)

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
            STRICT_CLUSTER.validate_python(cluster_json(cluster, world))
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
TestProvider.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
