"""What breaks, and what the operator does: nothing is bought twice, nothing trained is lost, nothing bills on."""

import json
import re
import uuid
from pathlib import Path

import pytest
from tests.e2e.manifests import fine_tune_job, gpu_cluster, secret, shared_volume, training
from tests.e2e.oracles import OTHER_KEY
from tests.e2e.world import put_tiny_model

from tunesmith_demo.operator_process import containers_of
from tunesmith_demo.reader import condition
from tunesmith_devcluster.nodes import fault

SLOW_TRAINER = "tests/slow-trainer:dev"


def slow_job(epochs=25, **spec):
    """Four steps an epoch, some seven in a second, saved every fifth: long enough to break something in the middle."""
    checkpoints = {"count": epochs * 4 // 5, "keep": 2}
    return fine_tune_job(image=SLOW_TRAINER, training=training(epochs=epochs, checkpoints=checkpoints), **spec)


def until_checkpoint(namespace, name="job"):
    """The job's status as soon as a complete checkpoint is told."""
    found = namespace.until(
        "FineTuneJob",
        name,
        lambda it: (it["status"].get("checkpoint") or {}).get("step"),
        "a checkpoint should be told",
    )
    return found["status"]


def node_of(status):
    return status["admission"]["pods"][0]["node"]


def result_of(storage, status):
    return json.loads((storage / status["output"]["path"] / "result.json").read_text())


@pytest.fixture
def node_comes_back(world):
    """Hands out a node's directory; afterwards the node is as it was."""
    taken: list[Path] = []

    def of(name):
        directory = world.stage.cluster.node_directory(name)
        taken.append(directory)
        return directory

    yield of
    for directory in taken:
        fault.kill(directory)
        fault.start(directory)


def test_a_pod_that_exits_1_is_tried_again_as_often_as_the_job_allows(namespace):
    namespace.with_storage()
    namespace.with_rows()
    namespace.apply(fine_tune_job(image="tests/broken-trainer:dev", recovery={"maxRestarts": 1}))
    failed = namespace.until_condition("FineTuneJob", "job", "Failed", reason="RestartsExhausted")
    assert "After 1 restart(s) of this kind the job gives up" in failed["message"]
    assert "the wheels came off" in failed["message"]
    status = namespace.status("FineTuneJob", "job")
    assert (status["attempt"], status["restarts"]) == (2, {"unclassified": 1})


def test_a_node_that_dies_is_replaced_and_training_goes_on_from_the_checkpoint(namespace, node_comes_back):
    storage = namespace.with_storage()
    namespace.with_rows()
    namespace.apply(slow_job())
    before = until_checkpoint(namespace)
    fault.kill(node_comes_back(node_of(before)))
    status = namespace.until_succeeded("job")
    assert node_of(status) != node_of(before)
    assert node_of(before) in status["blamedNodes"]
    assert (status["attempt"], status["restarts"]["infrastructure"]) == (2, 1)
    assert result_of(storage, status)["resumedFromStep"] >= before["checkpoint"]["step"]
    assert status["output"]["path"].endswith("-a2")


@pytest.mark.prove
def test_a_node_that_is_cut_off_publishes_nothing_once_another_has_taken_over(namespace, node_comes_back):
    storage = namespace.with_storage()
    namespace.with_rows()
    namespace.apply(slow_job(epochs=250))
    before = until_checkpoint(namespace)
    attempt = f"{namespace.name}-job"[:40]
    cut_off = trainers_of(namespace.world, attempt)
    assert len(cut_off) == 1
    fault.cut_off(node_comes_back(node_of(before)))
    namespace.until("FineTuneJob", "job", lambda it: it["status"].get("attempt") == 2, "it should begin anew")
    uid = namespace.get("FineTuneJob", "job")["metadata"]["uid"]
    namespace.world.until(
        lambda: not Path(f"/proc/{cut_off[0]}").exists(),
        lambda: "the cut-off trainer should see that it is superseded, and end",
    )
    namespace.delete("FineTuneJob", "job")
    published = [path.name for path in storage.rglob("result.json")]
    assert not (storage / "outputs" / "job" / f"{uid}-a1").exists(), published


def trainers_of(world, attempt):
    """Processes of training pods in the management cluster whose attempt's name begins so."""
    return [
        pid
        for pid in containers_of(world.stage.cluster.server, "HOME", "/tmp")
        if re.search(rf"TUNESMITH_MASTER_ADDR={re.escape(attempt)}".encode(), Path(f"/proc/{pid}/environ").read_bytes())
    ]


TOLD_OF_A_GOOD_RUN = {"Bought", "InOrder", "DatasetChecked", "Admitted", "Succeeded", "Deleted"}
"""What may be told of a job and its cluster when nothing is wrong with either, however often the operator dies."""


def test_the_operator_killed_in_the_middle_buys_once_and_the_job_succeeds(world, namespace):
    """Killed while it buys, while the cluster is built, and in training."""
    buy_and_train_while_killed(world, namespace, at={"wanted", "bought", "training"})


@pytest.mark.prove
def test_the_operator_killed_ten_times_buys_once_and_the_job_succeeds(world, namespace):
    """At ten moments from the intent to the end of what was bought."""
    buy_and_train_while_killed(world, namespace, at=MOMENTS)


MOMENTS = frozenset(
    {
        "wanted",
        "bought",
        "let in",
        "ready",
        "preparing",
        "admitted",
        "training",
        "ended",
        "job deleted",
        "cluster deleted",
    }
)


def buy_and_train_while_killed(world, namespace, *, at):
    """The whole story; the operator is killed at each of these moments."""

    def passes(moment):
        if moment in at:
            world.restart_operator()

    def comes(moment, kind, name, reached):
        namespace.until(kind, name, reached, f"'{moment}' should come")
        passes(moment)

    def goes(moment, kind, name):
        world.stage.kubectl("delete", kind, name, "--namespace", namespace.name, "--wait=false")
        passes(moment)
        namespace.until_gone(kind, name)

    namespace.with_rows()
    orders = world.provider_writes().count("POST /v1/compute/clusters")
    namespace.apply(shared_volume(), gpu_cluster(volumeRef={"name": "volume"}))
    comes("wanted", "GPUCluster", "cluster", is_wanted)
    comes("bought", "GPUCluster", "cluster", lambda it: it["status"].get("clusterID"))
    comes("let in", "GPUCluster", "cluster", lambda it: condition(it, "KubeconfigAvailable").get("status") == "True")
    comes("ready", "GPUCluster", "cluster", lambda it: condition(it, "Ready").get("status") == "True")
    volume_id = namespace.status("SharedVolume", "volume")["volumeID"]
    put_tiny_model(world.tiny_model, world.stage.directory / "provider" / "volumes" / volume_id)
    namespace.apply(
        slow_job(
            epochs=12 * len(at),
            placement={"type": "Cluster", "cluster": {"name": "cluster"}},
            storage={"type": "SharedVolume", "sharedVolume": {"name": "volume"}},
        )
    )
    comes("preparing", "FineTuneJob", "job", lambda it: (it["status"].get("preparation") or {}).get("number"))
    comes("admitted", "FineTuneJob", "job", lambda it: it["status"].get("admission"))
    comes("training", "FineTuneJob", "job", moved_since(0))
    step = (namespace.status("FineTuneJob", "job").get("progress") or {}).get("step", 0)
    namespace.until("FineTuneJob", "job", moved_since(step), "training should go on and be seen")
    status = namespace.until_succeeded("job")
    assert status["attempt"] == 1, "training went on by itself"
    passes("ended")
    goes("job deleted", "FineTuneJob", "job")
    goes("cluster deleted", "GPUCluster", "cluster")
    namespace.delete("SharedVolume", "volume")
    assert world.provider_writes().count("POST /v1/compute/clusters") == orders + 1
    told = {event.partition(":")[0] for event in namespace.events()}
    assert told <= TOLD_OF_A_GOOD_RUN, namespace.events()
    for name in ("cluster", "volume"):
        # Not exactly once: an operator that is killed between writing what it bought and telling it never tells it.
        assert namespace.times_told("Bought", name) <= 1


def is_wanted(found):
    """An intent is open, or was: it is closed as soon as the id is known."""
    return found["status"].get("createIntent") or found["status"].get("clusterID")


def moved_since(step):
    def moved(found):
        status = found["status"]
        return status.get("completionTime") or (status.get("progress") or {}).get("step", 0) > step

    return moved


def test_a_namespace_that_is_deleted_gives_everything_back(world, namespace):
    namespace.apply(shared_volume(), gpu_cluster(volumeRef={"name": "volume"}))
    bought = namespace.until("GPUCluster", "cluster", lambda it: it["status"].get("clusterID"), "it should be bought")
    world.stage.kubectl("delete", "namespace", namespace.name, "--wait=false")
    cluster_id = bought["status"]["clusterID"]
    mine = lambda: [it["cluster_id"] for it in world.clusters if it["cluster_id"] == cluster_id]  # noqa: E731
    world.until(lambda: not mine(), lambda: namespace.told("GPUCluster", "cluster"))
    namespace.until_gone("GPUCluster", "cluster")
    namespace.until_gone("SharedVolume", "volume")
    assert [it for it in world.volumes if namespace.name in it["volume_name"]] == []


def test_a_namespace_with_its_own_api_key_gives_everything_back(world):
    """The Secret stays until what was bought with it is gone."""
    place = world.namespace(f"own-key-{uuid.uuid4().hex[:4]}")
    place.apply(
        secret("key", apiKey=OTHER_KEY),
        shared_volume(credentialsRef={"name": "key"}),
        gpu_cluster(volumeRef={"name": "volume"}, credentialsRef={"name": "key"}),
    )
    bought = place.until("GPUCluster", "cluster", lambda it: it["status"].get("clusterID"), "it should be bought")
    assert "tunesmith.dev/in-use" in place.get("Secret", "key")["metadata"]["finalizers"]
    world.stage.kubectl("delete", "namespace", place.name, "--wait=false")
    cluster_id = bought["status"]["clusterID"]
    world.until(
        lambda: cluster_id not in {it["cluster_id"] for it in world.clusters},
        lambda: place.told("GPUCluster", "cluster"),
    )
    place.until_gone("GPUCluster", "cluster")
    place.until_gone("SharedVolume", "volume")
    place.until_gone("Secret", "key")
