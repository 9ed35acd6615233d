"""Training to the end, in each place where it can run: a tiny model, real pods, real steps."""

import functools
import hashlib
import http.server
import json
import threading

import pytest
from tests.e2e.manifests import fine_tune_job, gpu_cluster, secret, shared_volume, training
from tests.e2e.world import put_tiny_model

from tunesmith_trainer.testing import conversations
from tunesmith_trainer.testing_sources import COMMIT, Repository
from tunesmith_trainer.testing_store import ServedStore


def test_a_job_trains_on_a_local_node_and_publishes_its_adapter(namespace):
    storage = namespace.with_storage()
    namespace.with_rows()
    namespace.apply(fine_tune_job())
    status = namespace.until_succeeded("job")
    assert status["progress"]["step"] == status["progress"]["totalSteps"] == 4
    assert status["preparation"]["completionTime"] <= status["startTime"], "before any GPU was held"
    assert status["dataset"]["rows"] > 0
    output = storage / status["output"]["path"]
    assert (output / "adapter_model.safetensors").is_file()
    assert hashlib.sha256((output / "result.json").read_bytes()).hexdigest() == status["output"]["sha256"]
    namespace.world.stage.kubectl(
        "wait", "--for=condition=Succeeded", "ftj/job", "--namespace", namespace.name, "--timeout=5s"
    )


@pytest.fixture
def rows_behind_a_url(tmp_path):
    """A dataset on a web server of this machine: the source, as a job names it."""
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"text": "row {index}"}}\n' for index in range(16)))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sha256 = hashlib.sha256((tmp_path / "rows.jsonl").read_bytes()).hexdigest()
        url = f"http://127.0.0.1:{server.server_port}/rows.jsonl"
        yield {"type": "HTTP", "http": {"url": url, "sha256": sha256}}
        server.shutdown()


def test_two_pods_on_two_local_nodes_train_as_one_on_rows_that_were_fetched(namespace, rows_behind_a_url):
    storage = namespace.with_storage()
    dataset = {"training": rows_behind_a_url}
    namespace.apply(fine_tune_job(dataset=dataset, resources={"gpus": 16, "gpusPerPod": 8}))
    status = namespace.until_succeeded("job")
    assert status["pinned"]["datasetSHA256"] == [rows_behind_a_url["http"]["sha256"]]
    assert (storage / status["pinned"]["trainingPath"].removeprefix("/storage/")).is_file()
    nodes = [pod["node"] for pod in status["admission"]["pods"]]
    assert len(set(nodes)) == 2
    result = json.loads((storage / status["output"]["path"] / "result.json").read_text())
    assert result["worldSize"] == 2


@pytest.mark.prove
def test_a_gated_model_of_the_hub_learns_rows_out_of_a_store_and_no_key_is_seen(world, namespace, hub):
    token, key = "hf-canary-of-the-hub", "canary-of-the-store"
    files = {path.name: path.read_bytes() for path in world.tiny_model.iterdir() if path.is_file()}
    hub.put("models/tests/tiny", Repository(files, token=token))
    rows = "".join(json.dumps(row) + "\n" for row in conversations(16)).encode()
    model = {"repo": "tests/tiny", "tokenSecretRef": {"name": "hub", "key": "token"}}
    storage = namespace.with_storage()
    namespace.apply(secret("hub", token=token), secret("store", accessKeyID="id", secretAccessKey=key))
    with ServedStore("id", key, buckets=("rows",)) as store:
        store.put("rows/train.jsonl", rows)
        stored = {"endpoint": store.url, "bucket": "rows", "key": "train.jsonl"}
        source = {"type": "S3", "s3": {**stored, "credentialsSecretRef": {"name": "store"}}}
        namespace.apply(
            fine_tune_job(model={"type": "HuggingFace", "huggingFace": model}, dataset={"training": source})
        )
        status = namespace.until_succeeded("job", seconds=600.0)
    assert status["pinned"]["modelRevision"] == COMMIT
    assert status["pinned"]["datasetSHA256"] == [hashlib.sha256(rows).hexdigest()]
    weights = storage / "weights" / "tests--tiny" / COMMIT
    assert (weights / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert (storage / status["output"]["path"] / "adapter_model.safetensors").is_file()
    told = json.dumps([status, namespace.events(), *world.operator_log_tail().splitlines()])
    assert token not in told
    assert key not in told


@pytest.mark.prove
@pytest.mark.parametrize("deletion_policy", ["Delete", "Retain"])
def test_a_bought_cluster_trains_and_goes_and_its_volume_does_as_it_was_told(world, namespace, deletion_policy):
    namespace.apply(shared_volume(deletionPolicy=deletion_policy), gpu_cluster(volumeRef={"name": "volume"}))
    namespace.with_rows()
    namespace.until_condition("GPUCluster", "cluster", "Ready")
    world.stage.kubectl("wait", "--for=condition=Ready", "gpuc/cluster", "-n", namespace.name, "--timeout=5s")
    volume_id = namespace.status("SharedVolume", "volume")["volumeID"]
    cluster_id = namespace.status("GPUCluster", "cluster")["clusterID"]
    directory = world.stage.directory / "provider" / "volumes" / volume_id
    put_tiny_model(world.tiny_model, directory)
    namespace.apply(
        fine_tune_job(
            placement={"type": "Cluster", "cluster": {"name": "cluster"}},
            storage={"type": "SharedVolume", "sharedVolume": {"name": "volume"}},
        )
    )
    status = namespace.until_succeeded("job")
    assert (directory / status["output"]["path"] / "adapter_model.safetensors").is_file()
    namespace.delete("FineTuneJob", "job")
    namespace.delete("GPUCluster", "cluster")
    assert cluster_id not in {each["cluster_id"] for each in world.clusters}
    assert volume_id in {each["volume_id"] for each in world.volumes}
    namespace.delete("SharedVolume", "volume")
    deletions = [path for path in world.provider_writes() if path == f"DELETE /v1/compute/clusters/{cluster_id}"]
    assert len(deletions) == 1
    kept = volume_id in {each["volume_id"] for each in world.volumes}
    assert kept == (deletion_policy == "Retain")


def test_a_cluster_made_for_one_job_goes_when_the_job_has_ended(world, namespace):
    namespace.apply(shared_volume(bindingMode="Immediate"))
    namespace.with_rows()
    namespace.until_condition("SharedVolume", "volume", "Ready")
    volume_id = namespace.status("SharedVolume", "volume")["volumeID"]
    put_tiny_model(world.tiny_model, world.stage.directory / "provider" / "volumes" / volume_id)
    template = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "volumeRef": {"name": "volume"}}
    namespace.apply(
        fine_tune_job(
            placement={"type": "Template", "template": template},
            storage={"type": "SharedVolume", "sharedVolume": {"name": "volume"}},
            training=training(epochs=2),
        )
    )
    status = namespace.until_succeeded("job")
    namespace.until_gone("GPUCluster", status["clusterName"])
    assert [each for each in world.clusters if namespace.name in each["cluster_name"]] == []
    namespace.delete("FineTuneJob", "job")
    namespace.delete("SharedVolume", "volume")
