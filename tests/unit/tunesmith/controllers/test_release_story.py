"""Release over real HTTP: given back to the simulator, at rest, and bought again as the next incarnation."""

from datetime import timedelta

from tests.unit.tunesmith.controllers.test_bought import CLUSTER, SPEC, VOLUME, Operator, provider

from tunesmith.controllers.ports import SystemClock
from tunesmith.resources.timestamps import format_time

__all__ = ["provider"]

IDLE = {"idle": {"deleteAfterSeconds": 3600, "reacquire": "WhenJobWaits"}}


class LeapingClock(SystemClock):
    """The machine's clock, some leaps ahead."""

    def __init__(self):
        self.ahead = 0.0

    def now(self):
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self):
        return super().monotonic() + self.ahead


def an_operator(simulator):
    operator = Operator(simulator.url, simulator.key, clock=LeapingClock())
    operator.cache.mark_synced("FineTuneJob")
    return operator


def annotate(operator, key, annotations):
    stored = operator.cache.get(key.kind, key.namespace, key.name)
    meta = {**stored["metadata"], "annotations": {**stored["metadata"].get("annotations", {}), **annotations}}
    operator.cache.observe(operator.kube.put({**stored, "metadata": meta}))


async def idle_and_released(operator, *keys):
    """A Ready cluster whose idle time is over, until nothing is left of it."""
    await operator.until(lambda: operator.condition(CLUSTER).get("status") == "True", *keys)
    await operator.until(lambda: operator.status(CLUSTER).get("idleSince"), *keys)
    operator.clock.ahead += 3600
    await operator.until(lambda: operator.status(CLUSTER).get("release"), *keys)
    operator.clock.ahead += 10  # the moment for jobs that are just being admitted
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "Released", *keys)


async def test_an_idle_cluster_is_given_back_and_its_resource_stays(provider):
    operator = an_operator(provider)
    operator.give("GPUCluster", "train", {**SPEC, **IDLE})
    await idle_and_released(operator, CLUSTER)
    assert operator.status(CLUSTER).get("clusterID") is None
    assert ("Secret", "ml", "train-kubeconfig") not in operator.kube.objects
    assert [event for event in operator.events if event in {"Releasing", "Deleted"}] == ["Releasing", "Deleted"]


async def test_it_is_bought_again_under_the_name_of_the_next_incarnation(provider):
    operator = an_operator(provider)
    operator.give("GPUCluster", "train", {**SPEC, **IDLE})
    await idle_and_released(operator, CLUSTER)
    wish = format_time(operator.clock.now())
    annotate(operator, CLUSTER, {"tunesmith.dev/reacquire-requested-at": wish})
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    status = operator.status(CLUSTER)
    assert (status["incarnation"], status["lastHandledReacquireTime"]) == (2, wish)
    assert status["providerName"].endswith("-2")
    operator.delete(CLUSTER)
    await operator.until(lambda: operator.cache.get("GPUCluster", "ml", "train") is None, CLUSTER)


async def test_a_released_cluster_leaves_its_volume_to_another(provider):
    operator = an_operator(provider)
    both = (CLUSTER, VOLUME)
    operator.give("SharedVolume", "data", {"region": "us-central-8", "sizeTiB": 1, "deletionPolicy": "Delete"})
    operator.give("GPUCluster", "train", {**SPEC, **IDLE, "volumeRef": {"name": "data"}})
    await operator.until(lambda: operator.status(VOLUME).get("boundTo") == "train", *both)
    name = operator.status(VOLUME)["providerName"]
    operator.remotes.inside.put(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {}}
    )
    await idle_and_released(operator, *both)
    await operator.until(lambda: operator.condition(VOLUME, "InUse").get("status") == "False", *both)
    assert operator.status(VOLUME).get("boundTo") is None


async def test_a_job_that_waits_buys_the_cluster_again(provider):
    operator = an_operator(provider)
    operator.give("GPUCluster", "train", {**SPEC, **IDLE})
    await idle_and_released(operator, CLUSTER)
    operator.give("FineTuneJob", "tune", {"placement": {"type": "Cluster", "cluster": {"name": "train"}}})
    stored = operator.cache.get("FineTuneJob", "ml", "tune")
    waits = {"type": "ClusterReady", "status": "False", "reason": "ClusterReleased"}
    status = {"plan": {"pods": 1, "gpusPerPod": 8}, "conditions": [waits]}
    operator.cache.observe(operator.kube.put({**stored, "status": status}))
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    assert "Reacquired" in operator.events
