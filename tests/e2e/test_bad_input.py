"""Wrong input ends in the right condition, with a message that says what to do, and buys nothing."""

import base64
import re
import time

import pytest
import yaml
from tests.e2e.manifests import (
    catalog_model,
    config_map,
    fine_tune_job,
    gpu_cluster,
    rows_of,
    secret,
    shared_volume,
    training,
)

QUIET_SECONDS = 1.0


@pytest.fixture
def nothing_is_bought(world):
    """The provider was not asked to change anything meanwhile."""
    before = world.provider_writes()
    yield
    time.sleep(QUIET_SECONDS)
    assert world.provider_writes() == before


@pytest.fixture(scope="session")
def small_model(world):
    """A row of the catalogue with known limits and unknown weights."""
    world.apply(catalog_model("small"))
    return {"type": "Catalog", "catalog": {"name": "small"}}


def refused(namespace, kind, name, reason, *words):
    """The resource is Stalled for this reason, its Ready says the same, and the message holds these words."""
    stalled = namespace.until_condition(kind, name, "Stalled", reason=reason, seconds=60)
    ready = namespace.condition(kind, name, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    for word in words:
        assert word in stalled["message"]


@pytest.mark.usefixtures("nothing_is_bought")
class TestJobs:
    def test_a_batch_size_over_the_limit_names_those_that_are_allowed(self, namespace, small_model):
        job = fine_tune_job(model=small_model, weightsPath="weights/tiny", training=training(batchSize=9))
        namespace.apply(job)
        refused(namespace, "FineTuneJob", "job", "BatchSizeOutOfRange", "`spec.training.batchSize` is 9", "2, 3, 4")

    def test_an_unknown_model_points_to_the_catalogue(self, namespace):
        namespace.apply(fine_tune_job(model={"type": "Catalog", "catalog": {"name": "no-such-model"}}))
        refused(namespace, "FineTuneJob", "job", "ModelUnknown", "'no-such-model'", "kubectl get catalogmodels")

    def test_unknown_weights_name_the_ways_out(self, namespace, small_model):
        namespace.apply(fine_tune_job(model=small_model))
        refused(namespace, "FineTuneJob", "job", "WeightsUnknown", "`spec.weightsPath`", "weights.huggingFace")

    def test_a_context_over_the_limit_names_the_limit(self, namespace, small_model):
        job = fine_tune_job(model=small_model, weightsPath="weights/tiny", training=training(contextLength=4096))
        namespace.apply(job)
        refused(namespace, "FineTuneJob", "job", "ContextTooLong", "is 4096", "at most 2048")

    def test_a_field_that_nothing_acts_on_is_named(self, namespace):
        namespace.apply(fine_tune_job(budget={"maxUSD": "10"}))
        refused(namespace, "FineTuneJob", "job", "NotImplemented", "`spec.budget`")

    def test_a_missing_dataset_is_waited_for(self, namespace):
        namespace.apply(fine_tune_job(dataset={"training": rows_of("not-there-yet")}))
        missing = namespace.until_condition("FineTuneJob", "job", "DatasetReady", "False", reason="DatasetNotFound")
        assert "ConfigMap 'not-there-yet' with key 'training.jsonl' does not exist. Create it" in missing["message"]
        assert namespace.condition("FineTuneJob", "job", "Stalled")["status"] == "True", "no cluster is kept for it"

    def test_a_broken_row_is_told_by_file_and_line_in_the_trainers_words(self, namespace):
        namespace.with_storage()
        good = '{"text": "one"}\n'
        namespace.apply(config_map("rows", training_jsonl=good + "{broken\n" + good), fine_tune_job())
        failed = namespace.until_condition("FineTuneJob", "job", "Failed")
        assert "training.jsonl" in failed["message"]
        assert re.search(r"(line|row)[ :]*2\b", failed["message"])
        assert failed["reason"] == "UserErrorData"
        status = namespace.status("FineTuneJob", "job")
        assert {"attempt", "admission", "startTime"} & status.keys() == set(), "no GPU was ever held for it"
        assert namespace.condition("FineTuneJob", "job", "DatasetReady")["reason"] == "UserErrorData"
        assert status["failure"]["class"] == "User"

    def test_missing_weights_are_told_in_the_trainers_words(self, namespace):
        namespace.with_storage()
        namespace.with_rows()
        namespace.apply(fine_tune_job(model={"type": "Path", "path": "weights/nowhere"}))
        failed = namespace.until_condition("FineTuneJob", "job", "Failed")
        assert failed["reason"] == "UserErrorModel"
        assert "weights/nowhere" in failed["message"]


@pytest.mark.usefixtures("nothing_is_bought")
class TestClusters:
    def test_a_wrong_api_key_asks_for_a_valid_one(self, namespace):
        cluster = gpu_cluster(credentialsRef={"name": "key"})
        namespace.apply(secret("key", apiKey="this-is-not-a-key"), cluster)
        refused(namespace, "GPUCluster", "cluster", "CredentialsRefused", "valid API key", "Secret")

    def test_a_missing_credential_names_the_secret(self, namespace):
        namespace.apply(gpu_cluster(credentialsRef={"name": "no-such-secret"}))
        refused(namespace, "GPUCluster", "cluster", "CredentialsMissing", "no-such-secret")

    def test_a_region_without_the_gpu_type_names_one_that_has_it(self, namespace):
        namespace.apply(gpu_cluster(gpuType="H200_SXM"))
        refused(namespace, "GPUCluster", "cluster", "GPUTypeUnavailable", "'H200_SXM'", "offered in us-central-4")

    def test_an_unknown_region_points_to_the_list(self, namespace):
        namespace.apply(gpu_cluster(region="moon-1"))
        refused(namespace, "GPUCluster", "cluster", "RegionUnknown", "'moon-1'", "us-central-8")

    def test_a_volume_of_regions_that_do_not_exist_names_those_that_do(self, namespace):
        volume = shared_volume(regions=["moon-1", "moon-2"])
        del volume["spec"]["region"]
        namespace.apply(volume)
        refused(namespace, "SharedVolume", "volume", "RegionUnknown", "'moon-1' or 'moon-2'", "us-central-8")


def test_sold_out_gpus_are_asked_for_again_and_nothing_is_held(world, namespace):
    namespace.apply(gpu_cluster(gpuType="B200_SXM"))
    told = namespace.until_condition("GPUCluster", "cluster", "Provisioned", "False", reason="OutOfStock")
    assert "Nothing was bought" in told["message"]
    assert namespace.condition("GPUCluster", "cluster", "Stalled")["status"] == "False"
    name = namespace.status("GPUCluster", "cluster")["providerName"]
    assert name not in {cluster["cluster_name"] for cluster in world.stage.provider_state()["clusters"]}
    namespace.delete("GPUCluster", "cluster")


def test_a_kubeconfig_that_runs_a_program_is_refused(world, namespace):
    namespace.apply(gpu_cluster())
    bought = namespace.until("GPUCluster", "cluster", lambda it: it["status"].get("clusterID"), "it should be bought")
    namespace.until_condition("GPUCluster", "cluster", "KubeconfigAvailable")
    secret_name = f"{bought['metadata']['name']}-kubeconfig"
    handed_out = yaml.safe_load(base64.b64decode(namespace.get("Secret", secret_name)["data"]["value"]))
    trace = world.stage.directory / "the-program-ran"
    handed_out["users"][0]["user"] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": [str(trace)]}
    }
    cluster_id = bought["status"]["clusterID"]
    world.ask_provider(f"/admin/clusters/{cluster_id}/kubeconfig", {"kubeconfig": yaml.safe_dump(handed_out)})
    reconcile_now(namespace, "GPUCluster", "cluster")
    told = namespace.until_condition("GPUCluster", "cluster", "KubeconfigAvailable", reason="KubeconfigRefused")
    assert "exec" in told["message"]
    kept = base64.b64decode(namespace.get("Secret", secret_name)["data"]["value"])
    assert b"exec" not in kept, "the one of before is used on"
    assert not trace.exists()
    namespace.delete("GPUCluster", "cluster")
    assert cluster_id not in {cluster["cluster_id"] for cluster in world.clusters}


def reconcile_now(namespace, kind, name):
    """Ask the operator to look again at once, as a user may."""
    kubectl = namespace.world.stage.kubectl
    asked = f"tunesmith.dev/reconcile-requested-at={time.time()}"
    kubectl("annotate", kind, name, asked, "--overwrite", "--namespace", namespace.name)
