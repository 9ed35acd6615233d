"""Taking over, watching, retaining and finding again, against the simulated provider over HTTP."""

import asyncio
from dataclasses import replace

import httpx
import pytest
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, INSTALLATION, SPEC, VOLUME, Operator

from tunesmith.controllers.controller import Key
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.admin_client import AdminClient
from tunesmith_simulator.server import Simulator

LATER = Key("GPUCluster", "ml", "later")
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
async def provider():
    scenario = scenarios.named("default")
    async with Simulator(scenario.model_copy(update={"speed": 20000.0})) as simulator:
        yield simulator


async def a_cluster_of_somebody(provider, name="theirs", gpus=16):
    """A cluster that was bought in the console; its id."""
    body = {
        "cluster_name": name,
        "region": "us-central-8",
        "gpu_type": "H100_SXM",
        "num_gpus": gpus,
        "billing_type": "ON_DEMAND",
        "nvidia_version_id": "nvidia-570-22",
    }
    return (await asked(provider, "POST", "/v1/compute/clusters", body))["cluster_id"]


async def a_volume_of_somebody(provider, name="weights"):
    body = {"volume_name": name, "region": "us-central-8", "size_tib": 2}
    return (await asked(provider, "POST", "/v1/compute/clusters/storage/volumes", body))["volume_id"]


async def asked(provider, method, path, body=None):
    async with httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {provider.key}"}
        answer = await client.request(method, f"{provider.url.removesuffix('/v1')}{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()


async def writes_at(provider):
    """Every request that could have changed something, as the provider recorded it."""
    requests = await asyncio.to_thread(AdminClient(provider.url.removesuffix("/v1")).requests)
    return [(r["method"], r["path"]) for r in requests if r["method"] in WRITES and "/admin/" not in r["path"]]


async def ids_at(provider):
    listed = await asked(provider, "GET", "/v1/compute/clusters")
    return {each["cluster_id"] for each in listed["clusters"] if each["status"] != "Deleting"}


def ready(operator, key=CLUSTER):
    return lambda: operator.condition(key).get("status") == "True"


def gone(operator, key=CLUSTER):
    return lambda: operator.cache.get(key.kind, key.namespace, key.name) is None


async def test_a_cluster_is_adopted_by_name_used_and_deleted_with_its_resource_and_none_is_bought(provider):
    cluster_id = await a_cluster_of_somebody(provider, gpus=8)
    operator = Operator(provider.url, provider.key)
    operator.give("GPUCluster", "train", {"adopt": {"clusterName": "theirs"}, "drift": {"intervalSeconds": 1}})
    await operator.until(ready(operator), CLUSTER)
    assert operator.status(CLUSTER)["clusterID"] == cluster_id
    assert "Adopted" in operator.events
    assert "desired" not in operator.status(CLUSTER)["nodes"]
    assert ("Secret", "ml", "train-kubeconfig") in operator.kube.objects
    assert ("Namespace", None, "tunesmith-jobs") in operator.remotes.inside.objects
    operator.delete(CLUSTER)
    await operator.until(gone(operator), CLUSTER)
    assert [method for method, _ in await writes_at(provider)] == ["POST", "DELETE"]  # the POST is the console's
    assert cluster_id not in await ids_at(provider)


async def test_a_watched_cluster_is_never_written_to_neither_at_the_provider_nor_inside(provider):
    cluster_id = await a_cluster_of_somebody(provider)
    volume_id = await a_volume_of_somebody(provider)
    before = await writes_at(provider)
    operator = Operator(provider.url, provider.key)
    spec = {"adopt": {"clusterID": cluster_id}, "managementPolicy": "Observe", "drift": {"intervalSeconds": 1}}
    operator.give("GPUCluster", "train", {**spec, "idle": {"deleteAfterSeconds": 60}, "expireAfterSeconds": 60})
    operator.give("SharedVolume", "data", {"adopt": {"volumeID": volume_id}, "managementPolicy": "Observe"})
    both = (CLUSTER, VOLUME)
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "NodesNotReady", *both)
    await operator.until(ready(operator, VOLUME), *both)
    assert operator.status(CLUSTER)["cost"]["hourlyUSD"] == "63.84"
    change(operator, CLUSTER, nodes=1)
    await operator.until(lambda: operator.condition(CLUSTER, "Drifted").get("status") == "True", *both)
    for key in both:
        operator.delete(key)
    await operator.until(lambda: gone(operator)() and gone(operator, VOLUME)(), *both)
    assert await writes_at(provider) == before
    assert operator.remotes.inside.writes() == []
    assert cluster_id in await ids_at(provider)


async def test_from_watching_to_managing_and_back(provider):
    cluster_id = await a_cluster_of_somebody(provider, gpus=8)
    operator = Operator(provider.url, provider.key)
    spec = {"adopt": {"clusterID": cluster_id}, "managementPolicy": "Observe", "drift": {"intervalSeconds": 1}}
    operator.give("GPUCluster", "train", spec)
    await operator.until(ready(operator), CLUSTER)
    assert operator.remotes.inside.writes() == []
    change(operator, CLUSTER, managementPolicy="Manage")
    await operator.until(lambda: ("Namespace", None, "tunesmith-jobs") in operator.remotes.inside.objects, CLUSTER)
    await operator.until(lambda: {"Watched", "Adopted"} <= set(operator.events), CLUSTER)
    change(operator, CLUSTER, managementPolicy="Observe")
    before = await writes_at(provider)
    operator.delete(CLUSTER)
    await operator.until(gone(operator), CLUSTER)
    assert await writes_at(provider) == before


async def test_of_two_that_adopt_one_cluster_the_older_owns_it_until_it_goes(provider):
    cluster_id = await a_cluster_of_somebody(provider, gpus=8)
    operator = Operator(provider.url, provider.key)
    spec = {"adopt": {"clusterID": cluster_id}, "deletionPolicy": "Retain", "drift": {"intervalSeconds": 1}}
    operator.give("GPUCluster", "train", spec)
    await operator.until(ready(operator), CLUSTER)
    operator.give("GPUCluster", "later", spec, uid="uid-z")  # made in the same second: the lesser uid owns
    both = (CLUSTER, LATER)
    await operator.until(lambda: operator.condition(LATER).get("reason") == "AlreadyOwned", *both)
    assert ("Secret", "ml", "later-kubeconfig") not in operator.kube.objects
    assert operator.status(LATER).get("clusterID") is None
    operator.delete(CLUSTER)
    await operator.until(lambda: operator.status(LATER).get("clusterID") == cluster_id, *both)
    assert cluster_id in await ids_at(provider)


async def test_a_bought_cluster_cannot_be_taken_by_an_adopter_and_the_adopter_goes_at_once(provider):
    operator = Operator(provider.url, provider.key)
    operator.give("GPUCluster", "train", SPEC)
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    cluster_id = operator.status(CLUSTER)["clusterID"]
    operator.give("GPUCluster", "later", {"adopt": {"clusterID": cluster_id}})
    older = operator.cache.get("GPUCluster", "ml", "later")
    older["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    operator.cache.observe(operator.kube.put(older))
    await operator.until(lambda: operator.condition(LATER).get("reason") == "AlreadyOwned", CLUSTER, LATER)
    assert operator.condition(CLUSTER).get("reason") != "AlreadyOwned"
    requests = len(await asyncio.to_thread(AdminClient(provider.url.removesuffix("/v1")).requests))
    operator.delete(LATER)
    await operator.reconciler.reconcile(LATER)
    await operator.reconciler.reconcile(LATER)
    assert operator.cache.get("GPUCluster", "ml", "later") is None
    assert len(await asyncio.to_thread(AdminClient(provider.url.removesuffix("/v1")).requests)) <= requests + 1


async def test_a_retained_cluster_is_found_by_the_next_resource_of_its_name_and_taken_over_when_told(provider):
    operator = Operator(provider.url, provider.key)
    operator.give("GPUCluster", "train", {**SPEC, "deletionPolicy": "Retain"})
    await operator.until(ready(operator), CLUSTER)
    cluster_id = operator.status(CLUSTER)["clusterID"]
    operator.delete(CLUSTER)
    await operator.until(gone(operator), CLUSTER)
    assert "Retained" in operator.events
    del operator.kube.objects["Secret", "ml", "train-kubeconfig"]  # the garbage collector follows the owner
    operator.give("GPUCluster", "train", SPEC, uid="another")
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "PredecessorFound", CLUSTER)
    assert cluster_id in operator.condition(CLUSTER)["message"]
    change(operator, CLUSTER, adoptionPolicy="SameIdentity")
    await operator.until(ready(operator), CLUSTER)
    assert operator.status(CLUSTER)["clusterID"] == cluster_id
    assert [method for method, _ in await writes_at(provider)] == ["POST"]


async def test_a_restored_backup_without_status_finds_its_cluster_and_under_another_uid_asks(provider):
    operator = Operator(provider.url, provider.key)
    operator.give("GPUCluster", "train", SPEC)
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    cluster_id = operator.status(CLUSTER)["clusterID"]
    stored = operator.cache.get("GPUCluster", "ml", "train")
    after_a_restart = Operator(provider.url, provider.key)
    after_a_restart.cache.observe(after_a_restart.kube.put({**stored, "status": {}}))
    await after_a_restart.until(lambda: after_a_restart.status(CLUSTER).get("clusterID") == cluster_id, CLUSTER)
    elsewhere = Operator(provider.url, provider.key)
    metadata = {**stored["metadata"], "uid": "restored"}
    elsewhere.cache.observe(elsewhere.kube.put({**stored, "metadata": metadata, "status": {}}))
    await elsewhere.until(lambda: elsewhere.condition(CLUSTER).get("reason") == "Restored", CLUSTER)
    assert [method for method, _ in await writes_at(provider)] == ["POST"]


async def test_a_cluster_of_another_account_is_never_adopted(provider):
    cluster_id = await a_cluster_of_somebody(provider)
    operator = Operator(provider.url, "simulated-key-globex")
    operator.give("GPUCluster", "train", {"adopt": {"clusterID": cluster_id}})
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "NothingToAdopt", CLUSTER)


async def test_adoption_with_the_installations_credential_needs_a_namespace_that_it_allows(provider):
    cluster_id = await a_cluster_of_somebody(provider)
    operator = Operator(provider.url, provider.key, installation=replace(INSTALLATION, credential_namespaces=("ops",)))
    operator.give("GPUCluster", "train", {"adopt": {"clusterID": cluster_id}})
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "CredentialsMissing", CLUSTER)
    assert operator.status(CLUSTER).get("clusterID") is None


async def test_a_volume_is_adopted_and_kept_by_default(provider):
    volume_id = await a_volume_of_somebody(provider)
    operator = Operator(provider.url, provider.key)
    operator.give("SharedVolume", "data", {"adopt": {"volumeName": "weights"}})
    await operator.until(ready(operator, VOLUME), VOLUME)
    assert operator.status(VOLUME)["volumeID"] == volume_id
    operator.delete(VOLUME)
    await operator.until(gone(operator, VOLUME), VOLUME)
    assert [method for method, _ in await writes_at(provider)] == ["POST"]


def change(operator, key, **spec):
    """The user changes fields of the spec."""
    stored = operator.cache.get(key.kind, key.namespace, key.name)
    metadata = {**stored["metadata"], "generation": stored["metadata"]["generation"] + 1}
    operator.cache.observe(operator.kube.put({**stored, "metadata": metadata, "spec": {**stored["spec"], **spec}}))
