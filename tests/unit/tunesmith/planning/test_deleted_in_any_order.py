"""A job and its cluster, deleted in any order, its API alive or dead: it always ends, and nothing is left."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import permutations

import pytest
from tests.unit.tunesmith.planning import cluster_builders as cluster
from tests.unit.tunesmith.planning import job_builders as job

from tunesmith.planning.actions import DeleteObject, SetMetadata
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.cluster_observation import StoredSecret
from tunesmith.planning.fine_tune_job import decide as decide_job
from tunesmith.planning.gpu_cluster import decide as decide_cluster
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.neighbours import job_uses
from tunesmith.planning.orders import DeleteCluster
from tunesmith.planning.provider import ProviderView
from tunesmith.planning.purchase import PurchaseMemory, after_looking
from tunesmith.resources.timestamps import format_time

STEP_SECONDS = 10.0
STATES = ("waiting", "admitted", "running")


@dataclass
class World:
    """Both resources, the batch Job inside the cluster, and the provider. None: it is gone."""

    job: job.FineTuneJob | None
    cluster: cluster.GPUCluster | None
    workload: Known | Unknown
    api_alive: bool
    deaf: bool = False
    clock: float = cluster.MONOTONIC
    bought: bool = True
    view: ProviderView = field(default_factory=ProviderView)
    memory: PurchaseMemory = field(default_factory=lambda: PurchaseMemory(first_seen=900.0))

    def delete(self, kind):
        """A user deletes one of the two."""
        resource = getattr(self, kind)
        now = cluster.NOW + timedelta(seconds=self.clock - cluster.MONOTONIC)
        metadata = resource.metadata.model_copy(update={"deletion_timestamp": now})
        setattr(self, kind, resource.model_copy(update={"metadata": metadata}))

    def step(self):
        """One pass of each, and some time."""
        self.clock += STEP_SECONDS
        self._job_pass()
        self._cluster_pass()

    def _job_pass(self):
        if self.job is None:
            return
        reachable = self.api_alive and self.bought
        seen = job.an_observation(
            self.job,
            around=cluster.circumstances(self.clock),
            cluster=self.cluster,
            workload=self.workload if reachable else Unknown("nobody answers"),
        )
        decision = decide_job(seen)
        self.job = self.job.model_copy(update={"status": decision.status})
        for action in decision.actions:
            if isinstance(action, DeleteObject) and action.kind == "Job":
                self.workload = Known(job.Workload(nodes=job.NODES), 0)
            if isinstance(action, SetMetadata) and not action.finalizers:
                self.job = None

    def _cluster_pass(self):
        if self.cluster is None:
            return
        jobs = () if self.job is None else (self.job.model_dump(mode="json", by_alias=True, exclude_none=True),)
        around = cluster.circumstances(self.clock)
        cluster_id = self.cluster.status.cluster_id
        self.memory = after_looking(self.memory, self.view, bought_id=cluster_id, intent=None, around=around)
        secret = Known(StoredSecret(frozenset({cluster.UID}), cluster.KUBECONFIG), 1.0)
        seen = cluster.seen(
            self.cluster,
            self.view,
            monotonic=self.clock,
            memory=self.memory,
            jobs=job_uses(jobs, "train"),
            nodes=cluster.nodes(1) if self.api_alive and self.bought else Unknown("nobody answers"),
            kubeconfig_secret=secret,
        )
        decision = decide_cluster(seen)
        self.cluster = self.cluster.model_copy(update={"status": decision.status})
        for action in decision.actions:
            self._act(action)

    def _act(self, action):
        match action:
            case LookAtProvider() if self.bought:
                self.view = cluster.a_view(cluster.a_provider_cluster(), begun=self.clock)
            case LookAtProvider():
                self.view = cluster.a_view(begun=self.clock, not_found={"c-1": self.clock})
            case DeleteCluster():
                self.bought = False
                self.memory = self.memory.with_delete_sent(self.clock)
            case SetMetadata(finalizers=()):
                self.cluster = None

    def ends(self, steps):
        """Whether both are gone after so many passes, and nothing bills."""
        for _ in range(steps):
            self.step()
        return self.job is None and self.cluster is None and not self.bought


def a_world(state, api_alive):
    placed = {"placement": {"cluster": {"name": "train"}}}
    seen = {"waiting": job.waiting_in_line, "admitted": job.admitted, "running": job.running}[state](job.a_job(placed))
    metadata = seen.job.metadata.model_copy(update={"namespace": "ml"})
    ready = {"firstReadyTime": format_time(cluster.NOW)}
    resource = cluster.a_cluster_resource(status=cluster.bought_status(**ready), volumeRef={"name": "volume"})
    return World(seen.job.model_copy(update={"metadata": metadata}), resource, seen.workload, api_alive)


@pytest.mark.parametrize("api_alive", [True, False], ids=["alive", "dead"])
@pytest.mark.parametrize("order", list(permutations(("job", "cluster"))), ids=" then ".join)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("between", [0, 1, 12])
def test_both_go_and_nothing_is_left(state, order, api_alive, between):
    world = a_world(state, api_alive)
    world.step()
    for kind in order:
        if getattr(world, kind) is not None:
            world.delete(kind)
        for _ in range(between):
            world.step()
    assert world.ends(60), (
        world.job and world.job.status.conditions,
        world.cluster and world.cluster.status.conditions,
    )


@pytest.mark.parametrize("state", STATES)
def test_an_api_that_dies_in_the_middle_keeps_nobody(state):
    world = a_world(state, api_alive=True)
    world.delete("cluster")
    world.delete("job")
    world.step()
    world.api_alive = False
    assert world.ends(60)


def test_a_job_that_saves_for_ever_delays_its_cluster_by_the_grace_and_no_more():
    world = a_world("running", api_alive=True)
    endless = replace(world.workload.value)
    world.delete("cluster")
    world.delete("job")
    for _ in range(17):
        world.step()
        world.workload = Known(endless, 0)
    assert world.bought
    for _ in range(3):
        world.step()
        world.workload = Known(endless, 0)
    assert not world.bought
