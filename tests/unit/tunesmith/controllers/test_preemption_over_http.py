"""A node that the provider takes away, over HTTP: its notice reaches the status and the job on it within 10 seconds."""

import pytest
from tests.unit.tunesmith.controllers.story import SPEED, Story, a_story
from tests.unit.tunesmith.controllers.test_bought import CLUSTER
from tests.unit.tunesmith.planning.job_builders import a_job, a_model, running, the_batch_job, the_pods

from tunesmith.controllers.controller import Key
from tunesmith.controllers.fine_tune_job import FineTuneJobController
from tunesmith.controllers.pool import PoolController
from tunesmith.controllers.progress_follower import ProgressFollower
from tunesmith_simulator import happenings as happen

JOB = Key("FineTuneJob", "ml", "tune")
NOTICE_SECONDS = 10.0
"""So long after the provider's notice the jobs must have been told, at most."""
FIVE_MINUTES = 300 * SPEED
"""The provider's notice, in the seconds that the simulator's speed divides."""
SPEC = {
    "region": "us-central-8",
    "gpuType": "H100_SXM",
    "nodes": 2,
    "projectID": "proj-acme",
    "billing": {"type": "OnDemand", "preemptibleNodes": 1},
    "drift": {"intervalSeconds": 600},
}


class StoryWithJobs(Story):
    """The operator with the controller of jobs beside that of clusters."""

    def controllers(self, ports):
        follower = ProgressFollower(self.remotes.kube, ports.wake, ports.clock, str)
        return (*super().controllers(ports), FineTuneJobController(ports, PoolController(ports), follower))

    def give_a_running_job(self):
        """A job of two pods that was admitted to both nodes of the cluster and trains there."""
        seen = running(a_job({"placement": {"cluster": {"name": "train"}}}, namespace="ml"))
        on = dict(zip(("n0", "n1"), self.remotes.names(), strict=True))
        raw = _raw(seen.job)
        for pod in raw["status"]["admission"]["pods"]:
            pod["node"] = on[pod["node"]]
        inside, batch = self.remotes.inside, the_batch_job(seen)
        inside.put({"kind": "Job", "metadata": _metadata(batch), "status": {}})
        for pod in the_pods(seen):
            spec = {"nodeName": on[pod.node], "containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]}
            inside.put({"kind": "Pod", "metadata": _metadata(pod), "spec": spec, "status": {"phase": "Running"}})
        for given in (_raw(a_model()), raw):
            self.intake.seen(self.kube.put({"apiVersion": "tunesmith.dev/v1alpha1", **given}))
        self.cache.mark_synced("FineTuneJob")

    def trains(self):
        """Its batch Job is there, and nobody has asked for its end."""
        return any(kind == "Job" for kind, _, _ in self.remotes.inside.objects)


def _raw(resource):
    written = resource.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {**written, "status": resource.status.model_dump(mode="json", by_alias=True, exclude_none=True)}


def _metadata(fact):
    return {"namespace": fact.namespace, "name": fact.name, "uid": fact.uid, "labels": dict(fact.labels)}


def leaving(operator):
    return {node["name"]: (node["reason"], node["jobs"]) for node in operator.status(CLUSTER).get("leavingNodes", ())}


@pytest.fixture
async def operator():
    """A cluster with one preemptible node, on which a job trains."""
    async with a_story(SPEC, kind=StoryWithJobs) as story:
        await story.until(lambda: story.is_ready(CLUSTER) and story.status(CLUSTER)["nodes"]["ready"] == 2)
        story.give_a_running_job()
        await story.go_on(120)
        assert story.trains()
        assert leaving(story) == {}
        yield story


async def test_the_notice_reaches_the_status_and_the_job_within_ten_seconds(operator):
    (taken,) = operator.provider.simulation.happen(happen.Preempt(cluster="*", node="gpu-preemptible-*"))
    noticed = operator.clock.monotonic()
    await operator.until(lambda: not operator.trains(), within_seconds=NOTICE_SECONDS)
    assert operator.clock.monotonic() - noticed <= NOTICE_SECONDS
    assert leaving(operator) == {taken: ("Preempted", "MustLeave")}
    assert f"takes node {taken} away" in operator.condition(CLUSTER, "NodesHealthy")["message"]
    assert operator.events.count("NodesPreempted") == operator.events.count("Saving") == 1
    assert operator.condition(JOB, "PodsReady")["reason"] == "Saving"
    assert operator.condition(JOB, "Ready")["message"].endswith(f"node {taken}, because the provider takes it away.")


async def test_the_job_saves_in_the_time_of_the_notice_and_asks_for_other_nodes(operator):
    operator.provider.simulation.happen(
        happen.Preempt(cluster="*", node="gpu-preemptible-*", notice_seconds=FIVE_MINUTES)
    )
    await operator.until(lambda: not operator.trains())
    await operator.go_on(60)
    assert operator.status(JOB)["admission"]["pods"], "it holds its nodes while its pods save"
    for key in [key for key in operator.remotes.inside.objects if key[0] == "Pod"]:
        del operator.remotes.inside.objects[key]
    operator.intake.wake(JOB)
    await operator.until(lambda: "admission" not in operator.status(JOB), within_seconds=NOTICE_SECONDS)
    assert operator.condition(JOB, "Admitted")["reason"] in {"Restarting", "Queued"}
    assert "restarts" not in operator.status(JOB)
    assert not operator.status(JOB).get("blamedNodes")


async def test_the_node_is_forgotten_once_it_is_gone_and_is_not_bought_again(operator):
    (taken,) = operator.provider.simulation.happen(happen.Preempt(cluster="*", node="gpu-preemptible-*"))
    await operator.until(lambda: leaving(operator))
    await operator.until(lambda: leaving(operator) == {} and taken not in operator.remotes.names())
    await operator.go_on(600)
    assert operator.status(CLUSTER)["nodes"]["ready"] == 1
    assert [each.path for each in operator.provider.record.all() if each.method == "PUT"] == []
