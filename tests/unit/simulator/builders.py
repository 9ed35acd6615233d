"""A world to play with, without HTTP: one customer, one clock that the test names, identifiers in order."""

import base64
import random
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tunesmith_simulator import desk
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator import world as worlds
from tunesmith_simulator.cluster_orders import Billing, ClusterOrder
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.courses import ClusterCourse, Courses, NamedVolumeCourse
from tunesmith_simulator.desk import Behind, Visit, VolumeOrder
from tunesmith_simulator.prices import BillingRules
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import Account, Happening, World

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
REGION = "us-central-8"
PROJECT = "proj-acme"
HOUR = 3600


def stocked() -> World:
    return replace(scenarios.named("default").world(BEGIN), preemptible_stock={(REGION, "H100_SXM"): 64})


@dataclass
class Played:
    """A world in which time passes when the test says so; everything is light."""

    now: datetime = BEGIN
    world: World = field(default_factory=stocked)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def with_courses(self, *courses: ClusterCourse | NamedVolumeCourse) -> "Played":
        of_clusters = tuple(each for each in courses if isinstance(each, ClusterCourse))
        of_volumes = tuple(each for each in courses if isinstance(each, NamedVolumeCourse))
        self.world = replace(self.world, courses=Courses(clusters=of_clusters, volumes=of_volumes))
        return self

    def billed(self, bill_from: Any = "Created", bill_until: Any = "Gone") -> "Played":
        self.world = replace(self.world, billing=BillingRules(bill_from=bill_from, bill_until=bill_until))
        return self

    def visit(self) -> Visit:
        account = Account(name="acme", projects=(PROJECT,))
        return Visit(account, self.now, self._new_id, Behind(real=False, kube_config=lambda _id, _name: KUBECONFIG))

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def buy(self, name: str = "training", gpus: int = 16, volume: VolumeOrder | None = None, **order: Any) -> str:
        complete = {
            "name": name,
            "project_id": PROJECT,
            "region": REGION,
            "gpu_type": "H100_SXM",
            "num_gpus": gpus,
            "num_reserved_gpus": 0,
            "billing": Billing.ON_DEMAND,
            "driver": self.world.regions[REGION].drivers[0],
            "cluster_type": "KUBERNETES",
        }
        wanted = ClusterOrder(**(complete | order))
        self.world, cluster_id = desk.buy_cluster(self.world, self.visit(), wanted, inline_volume=volume)
        return cluster_id

    def buy_volume(self, name: str = "data", size_tib: int = 1) -> str:
        order = VolumeOrder(name, REGION, size_tib, lifecycle_independent=True)
        self.world, volume_id = desk.buy_volume(self.world, self.visit(), order)
        return volume_id

    def resize(self, cluster_id: str, gpus: int) -> None:
        self.world = desk.resize_cluster(self.world, self.visit(), cluster_id, gpus)

    def delete(self, cluster_id: str) -> None:
        self.world = desk.delete_cluster(self.world, self.visit(), cluster_id)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.world = worlds.advanced(self.world, self.now)

    def happen(self, happening: Happening) -> tuple[str, ...]:
        self.world = worlds.advanced(worlds.happened(self.world, happening, self.now), self.now)
        return self.world.happened[-1].touched

    def cluster(self, cluster_id: str) -> Cluster:
        return self.world.clusters[cluster_id]

    def volume(self, volume_id: str) -> Volume:
        return self.world.volumes[volume_id]

    def phases(self, cluster_id: str) -> list[str]:
        return [step.phase.short for step in self.cluster(cluster_id).history]


KUBECONFIG = base64.b64encode(
    b"""
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: good}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""
).decode()
"""A kubeconfig as light clusters have it, base64."""
