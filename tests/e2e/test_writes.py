"""How often the operator writes, counted by the API server's audit log. The Lease counts apart, and Events do."""

import time
from datetime import UTC, datetime

import pytest
from tests.e2e.manifests import fine_tune_job, gpu_cluster, shared_volume, training

QUIET_SECONDS = 6.0


@pytest.fixture(scope="module")
def bought(world):
    """A GPUCluster that is Ready, with nothing left to do."""
    place = world.namespace("writes")
    place.apply(shared_volume(), gpu_cluster(volumeRef={"name": "volume"}))
    place.until_condition("GPUCluster", "cluster", "Ready")
    place.until_condition("SharedVolume", "volume", "Ready")
    await_quiet(world)
    yield place
    place.delete("GPUCluster", "cluster")
    place.delete("SharedVolume", "volume")


def await_quiet(world):
    """Wait until the operator has written nothing for some seconds."""

    def quiet():
        before = len(world.audit.writes())
        time.sleep(QUIET_SECONDS / 2)
        return len(world.audit.writes()) == before

    world.until(quiet, lambda: "the operator goes on writing: " + ", ".join(map(str, world.audit.writes()[-5:])))


def writes_since(world, moment):
    time.sleep(QUIET_SECONDS)
    return [str(write) for write in world.audit.writes(since=moment)]


def test_a_new_cluster_costs_three_writes_up_to_its_recorded_id(world, bought):
    uid = bought.get("GPUCluster", "cluster")["metadata"]["uid"]
    versions = world.recorder.versions("GPUCluster", uid=uid)
    first_with_id = next(i for i, it in enumerate(versions) if it.get("status", {}).get("clusterID"))
    assert first_with_id <= 3, [it.get("status") for it in versions[: first_with_id + 1]]
    written = [each for each in world.audit.writes() if (each.namespace, each.resource) == (bought.name, "gpuclusters")]
    assert all(each.code < 300 for each in written), list(map(str, written))
    assert len(written) == len(versions) - 1, "every write changed something"
    print(f"{len(written)} writes until Ready, {world.audit.events_written()} Events in the whole run so far")


def test_somebody_elses_label_costs_no_write(world, bought):
    moment = datetime.now(UTC)
    for kind, name in (("gpuc", "cluster"), ("shvol", "volume")):
        world.stage.kubectl("label", kind, name, "team=blue", "--namespace", bought.name)
    assert writes_since(world, moment) == []


def test_a_change_costs_one_write(world, bought):
    moment = datetime.now(UTC)
    patch = '{"spec":{"drift":{"intervalSeconds":61}}}'
    world.stage.kubectl("patch", "gpuc", "cluster", "--namespace", bought.name, "--type=merge", "-p", patch)
    bought.until(
        "GPUCluster",
        "cluster",
        lambda it: it["status"]["observedGeneration"] == it["metadata"]["generation"],
        "the change should be seen",
    )
    assert len(writes_since(world, moment)) == 1


def test_a_restart_with_nothing_to_do_costs_no_write(world, bought):
    bought.with_storage()
    bought.with_rows()
    bought.apply(fine_tune_job(resources={"gpus": 800}, training=training(batchSize=100)))
    bought.until_condition("FineTuneJob", "job", "Stalled", reason="PoolTooSmall")
    await_quiet(world)
    moment = datetime.now(UTC)
    lists = len(world.provider_requests())
    world.restart_operator()
    world.until(lambda: len(world.provider_requests()) > lists, lambda: "the operator did not look at the provider")
    assert writes_since(world, moment) == []
    bought.delete("FineTuneJob", "job")
