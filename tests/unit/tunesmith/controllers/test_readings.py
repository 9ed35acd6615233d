"""Of many clusters, what nobody watches is not asked for in every pass; what was done or changed is seen at once."""

import asyncio
import base64
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, SPEC, Operator

from tunesmith.controllers import gpu_cluster as readings
from tunesmith.planning.circumstances import NotYet
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_cluster():
    """An operator with a cluster that is bought and used; it takes seconds to come there."""
    scenario = scenarios.named("default").model_copy(update={"speed": 20000.0})
    async with Simulator(scenario) as simulator:
        made = Operator(simulator.url, None)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key", "namespace": "ml"},
            "data": {"apiKey": base64.b64encode(simulator.key.encode()).decode()},
        }
        made.kube.put(secret)
        made.give("GPUCluster", "train", {**SPEC, "credentialsRef": {"name": "key"}, "drift": {"intervalSeconds": 300}})
        await made.until(lambda: made.condition(CLUSTER).get("status") == "True", CLUSTER)
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def operator(one_cluster):
    """With nothing left to do."""
    await settled(one_cluster)
    return one_cluster


async def settled(operator):
    async with asyncio.timeout(30):
        while (await operator.reconciler.reconcile(CLUSTER)).outcome != "settled":
            await asyncio.sleep(0.02)


async def asked(operator):
    """What one more pass asks of the two API servers."""
    here, inside = operator.kube.requests, operator.remotes.inside.requests
    before = len(here), len(inside)
    await operator.reconciler.reconcile(CLUSTER)
    return [kind for _, kind in here[before[0] :]], [kind for _, kind in inside[before[1] :]]


async def test_of_few_clusters_every_pass_asks_for_everything(operator):
    await asyncio.sleep(2 / readings.READINGS_A_SECOND)
    here, inside = await asked(operator)
    assert here.count("Secret") == 2
    assert len(inside) == 4


async def test_of_very_many_a_pass_in_which_nothing_has_happened_asks_for_nothing(operator, monkeypatch):
    await asyncio.sleep(2 / readings.READINGS_A_SECOND)
    await asked(operator)
    monkeypatch.setattr(readings, "READINGS_A_SECOND", 1e-9)
    assert await asked(operator) == ([], [])
    assert operator.condition(CLUSTER)["status"] == "True"


async def test_a_reading_ends_with_its_time_and_with_any_change_of_the_resource(operator, monkeypatch):
    monkeypatch.setattr(readings, "READINGS_A_SECOND", 1e-9)
    await asked(operator)
    monkeypatch.setattr(readings, "LONGEST_READING_SECONDS", 0.0)
    assert (await asked(operator))[0] == ["Secret", "Secret"]
    monkeypatch.setattr(readings, "LONGEST_READING_SECONDS", 300.0)
    assert await asked(operator) == ([], [])
    stored = operator.cache.get(CLUSTER.kind, CLUSTER.namespace, CLUSTER.name)
    operator.cache.observe(operator.kube.put({**stored, "metadata": {**stored["metadata"], "labels": {"a": "b"}}}))
    assert (await asked(operator))[0] == ["Secret", "Secret"]


async def test_a_cluster_that_is_seen_with_another_kubeconfig_or_not_at_all_is_asked_anew(operator, monkeypatch):
    monkeypatch.setattr(readings, "READINGS_A_SECOND", 1e-9)
    await asked(operator)
    assert await asked(operator) == ([], [])
    as_before = operator.remotes.view(None)
    for now in (replace(as_before, kubeconfig_hash="another"), replace(as_before, nodes=NotYet("it does not answer"))):
        monkeypatch.setattr(operator.remotes, "view", lambda remote, now=now: now)
        assert "Secret" in (await asked(operator))[0]


async def test_what_is_missing_is_asked_for_in_every_pass(operator, monkeypatch):
    monkeypatch.setattr(readings, "READINGS_A_SECOND", 1e-9)
    operator.kube.objects.pop(("Secret", "ml", "train-kubeconfig"))
    monkeypatch.setattr(readings, "LONGEST_READING_SECONDS", 0.0)
    await asked(operator)
    monkeypatch.setattr(readings, "LONGEST_READING_SECONDS", 300.0)
    await operator.until(lambda: ("Secret", "ml", "train-kubeconfig") in operator.kube.objects, CLUSTER, seconds=20)
