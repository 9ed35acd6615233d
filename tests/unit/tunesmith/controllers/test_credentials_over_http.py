"""Whose key is used, over real HTTP: that of the own namespace's Secret as it is now, and no other."""

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from tests.unit.canary import KEY
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, INSTALLATION, SPEC, VOLUME, Operator

from tunesmith.controllers.controller import Key
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.scenario import AccountEntry
from tunesmith_simulator.server import Simulator

CRDS = sorted((Path(__file__).parents[4] / "crds").glob("*.yaml"))
MINE = {"credentialsRef": {"name": "together"}}
SIZE = {"region": "us-central-8", "sizeTiB": 1}


@pytest.fixture
async def provider():
    """The default provider, where the first customer has a second key."""
    scenario = scenarios.named("default").model_copy(update={"speed": 20000.0})
    first = scenario.accounts[0]
    second = AccountEntry.model_validate({"name": "rotated", "key": KEY, "projects": first.projects})
    second = second.model_copy(update={"organization": first.organization or first.name})
    async with Simulator(scenario.model_copy(update={"accounts": (*scenario.accounts, second)})) as simulator:
        yield simulator


@pytest.fixture
def keys_sent(monkeypatch):
    """The key of every request that leaves, in order."""
    sent, send = [], httpx.AsyncClient.send

    async def recorded(client, request, **more):
        sent.append(request.headers["authorization"].removeprefix("Bearer "))
        return await send(client, request, **more)

    monkeypatch.setattr(httpx.AsyncClient, "send", recorded)
    return sent


def a_secret(namespace, key, **more):
    data = {field: base64.b64encode(text.encode()).decode() for field, text in {"apiKey": key, **more}.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "together", "namespace": namespace},
        "data": data,
    }


@pytest.mark.parametrize(("key", "spec"), [(CLUSTER, SPEC), (VOLUME, SIZE)], ids=str)
async def test_a_secret_of_another_namespace_is_no_secret(provider, keys_sent, key, spec):
    """B-SEC-01: a reference reaches nothing outside the resource's own namespace, not even to ask whether it exists."""
    operator = Operator(provider.url, None)
    operator.kube.put(a_secret("ops", provider.key))
    asked = []
    get = operator.kube.get

    async def recorded(kind, namespace, name):
        asked.append((kind.kind, namespace))
        return await get(kind, namespace, name)

    operator.kube.get = recorded
    operator.give(key.kind, key.name, {**spec, **MINE})
    await operator.until(lambda: operator.condition(key).get("reason") == "CredentialsMissing", key)
    assert "in this namespace" in operator.condition(key)["message"]
    assert {namespace for kind, namespace in asked if kind == "Secret"} == {"ml"}
    assert keys_sent == []


@pytest.mark.parametrize(("key", "spec"), [(CLUSTER, SPEC), (VOLUME, SIZE)], ids=str)
async def test_the_installations_key_is_not_used_for_a_namespace_that_it_does_not_allow(provider, keys_sent, key, spec):
    limited = replace(INSTALLATION, credential_namespaces=("ops",))
    operator = Operator(provider.url, provider.key, installation=limited)
    operator.give(key.kind, key.name, spec)
    await operator.until(lambda: operator.condition(key).get("reason") == "CredentialsMissing", key)
    assert "may not be used in namespace 'ml'" in operator.condition(key)["message"]
    assert keys_sent == []


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_no_reference_has_a_namespace(path):
    """B-SEC-01, the other half: there is no field that a namespace could be written into."""
    schema = yaml.safe_load(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(fields_named(schema["properties"]["spec"], "namespace")) == []


def fields_named(schema, name, at="spec"):
    """The paths of all fields of this name, arrays and maps included."""
    for field, inner in schema.get("properties", {}).items():
        if field == name:
            yield f"{at}.{field}"
        yield from fields_named(inner, name, f"{at}.{field}")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from fields_named(schema[part], name, at)


async def test_resources_that_go_at_once_do_not_leave_the_secret_that_they_share_to_each_other(provider):
    operator = Operator(provider.url, None)
    operator.kube.put(a_secret("ml", provider.key))
    keys = (CLUSTER, VOLUME, Key("SharedVolume", "ml", "more"))
    operator.give("GPUCluster", "train", {**SPEC, **MINE})
    for key in keys[1:]:
        operator.give(
            "SharedVolume", key.name, {**SIZE, **MINE, "bindingMode": "Immediate", "deletionPolicy": "Delete"}
        )
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), *keys)
    await operator.until(lambda: all(operator.status(key).get("volumeID") for key in keys[1:]), *keys)
    for verb in ("get", "list", "merge_patch", "patch_status"):
        setattr(operator.kube, verb, giving_way(getattr(operator.kube, verb)))
    for key in keys:
        operator.delete(key)

    def gone():
        return not any(operator.cache.get(key.kind, key.namespace, key.name) for key in keys)

    async with asyncio.timeout(60):
        while not gone():
            await asyncio.gather(*(operator.reconciler.reconcile(key) for key in keys))
            await asyncio.sleep(0.02)
    assert not operator.kube.objects["Secret", "ml", "together"]["metadata"].get("finalizers")


def giving_way(call):
    """The same, but others get their turn in between, as with a real API server."""

    async def called(*arguments, **more):
        await asyncio.sleep(0)
        answer = await call(*arguments, **more)
        await asyncio.sleep(0)
        return answer

    return called


async def test_a_key_that_is_rotated_in_place_is_used_at_once_and_the_old_one_never_again(provider, keys_sent):
    operator = Operator(provider.url, None)
    operator.kube.put(a_secret("ml", provider.key))
    operator.give("GPUCluster", "train", {**SPEC, **MINE})
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    before = operator.status(CLUSTER)
    assert set(keys_sent) == {provider.key}

    replaced(operator, KEY)
    keys_sent.clear()
    await operator.until(
        lambda: operator.status(CLUSTER)["credentialFingerprint"] != before["credentialFingerprint"], CLUSTER
    )
    operator.delete(CLUSTER)
    await operator.until(lambda: operator.cache.get("GPUCluster", "ml", "train") is None, CLUSTER)
    assert set(keys_sent) == {KEY}, "looked, deleted and confirmed with the new one alone"
    told = json.dumps([before, *operator.kube.objects.values()], default=str).replace(
        a_secret("ml", KEY)["data"]["apiKey"], ""
    )
    assert KEY not in told
    assert provider.key not in told


async def test_a_volume_is_not_made_with_a_cluster_of_another_account_until_both_have_the_same_key(provider):
    operator = Operator(provider.url, "simulated-key-globex")
    operator.kube.put(a_secret("ml", provider.key))
    operator.give("SharedVolume", "data", SIZE)
    operator.give("GPUCluster", "train", {**SPEC, **MINE, "volumeRef": {"name": "data"}})
    both = (VOLUME, CLUSTER)
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "VolumeOfAnotherAccount", *both)
    await operator.until(lambda: "'train'" in operator.condition(VOLUME).get("message", ""), *both)
    assert {request.method for request in provider.record.all()} == {"GET"}

    stored = operator.cache.get(VOLUME.kind, VOLUME.namespace, VOLUME.name)
    meta = {**stored["metadata"], "generation": 2}
    operator.cache.observe(operator.kube.put({**stored, "metadata": meta, "spec": {**SIZE, **MINE}}))
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), *both)
    await operator.until(lambda: operator.status(VOLUME).get("volumeID"), *both)


async def test_the_project_of_the_secret_is_the_project_that_pays_as_if_the_spec_said_it(provider):
    operator = Operator(provider.url, None)
    operator.kube.put(a_secret("ml", provider.key, projectID="proj-acme-research"))
    operator.give("SharedVolume", "data", {**SIZE, **MINE, "projectID": "proj-acme-research"})
    operator.give("GPUCluster", "train", {**SPEC, **MINE, "volumeRef": {"name": "data"}})
    both = (VOLUME, CLUSTER)
    await operator.until(lambda: operator.status(VOLUME).get("volumeID"), *both)
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), *both)
    assert {operator.status(key)["projectID"] for key in both} == {"proj-acme-research"}
    (bought,) = provider.simulation.world().clusters.values()
    assert bought.order.project_id == "proj-acme-research"


@pytest.mark.parametrize(
    ("key", "spec", "its_id"),
    [
        (CLUSTER, SPEC, "clusterID"),
        (VOLUME, {**SIZE, "bindingMode": "Immediate", "deletionPolicy": "Delete"}, "volumeID"),
    ],
    ids=str,
)
async def test_what_is_deleted_while_its_key_is_revoked_goes_with_the_new_key(provider, key, spec, its_id):
    operator = Operator(provider.url, None)
    operator.kube.put(a_secret("ml", provider.key))
    operator.give(key.kind, key.name, {**spec, **MINE})
    await operator.until(lambda: operator.status(key).get(its_id), key)

    replaced(operator, "a-key-that-was-revoked")
    operator.delete(key)
    await operator.until(lambda: operator.condition(key).get("reason") == "AbsenceUnproven", key)
    replaced(operator, KEY)
    await operator.until(lambda: operator.cache.get(key.kind, key.namespace, key.name) is None, key)
    assert not operator.kube.objects["Secret", "ml", "together"]["metadata"]["finalizers"]


def replaced(operator, key):
    """Another API key stands in the Secret, which stays the same object otherwise."""
    meta = operator.kube.objects["Secret", "ml", "together"]["metadata"]
    operator.kube.put({**a_secret("ml", key), "metadata": meta})
