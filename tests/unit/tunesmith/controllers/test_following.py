"""A bought cluster followed over real HTTP: kubeconfigs late, rotated, cut or hostile; changes from outside."""

import base64

import httpx
import pytest
import yaml
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, SPEC, Operator, PlayedRemotes
from tests.unit.tunesmith.kube.test_kubeconfig import a_kubeconfig

from tunesmith.kube.credential_life import facts_of
from tunesmith.kube.remote import RemoteView
from tunesmith.planning.circumstances import Rejected
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator


class JudgingRemotes(PlayedRemotes):
    """Kubeconfigs are judged as they really are; tokens in `rejected` are answered with 401."""

    def __init__(self):
        super().__init__()
        self.text, self.rejected = "", set()

    def judge(self, kubeconfig):
        return facts_of(kubeconfig, allow_loopback=True)

    def view(self, remote):
        if any(token in self.text for token in self.rejected):
            no = Rejected("The cluster's API server does not accept the kubeconfig.")
            return RemoteView(no, no, no, no)
        return super().view(remote)


def a_config(token):
    config = a_kubeconfig()
    config["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(config, sort_keys=False)


@pytest.fixture
async def followed():
    """A cluster that is bought and Ready, and what the provider's own staff can do to it."""
    scenario = scenarios.named("default")
    async with Simulator(scenario.model_copy(update={"speed": 20000.0})) as simulator, httpx.AsyncClient() as http:
        yield Followed(simulator, http)


class Followed:
    def __init__(self, simulator, http):
        self.simulator, self.http = simulator, http
        self.remotes = JudgingRemotes()
        self.operator = Operator(simulator.url, simulator.key, remotes=self.remotes)
        self.operator.give("GPUCluster", "train", SPEC)

    @property
    def cluster_id(self):
        return self.operator.status(CLUSTER).get("clusterID")

    @property
    def stored(self):
        secret = self.operator.kube.objects.get(("Secret", "ml", "train-kubeconfig"))
        text = base64.b64decode(secret["data"]["value"]).decode() if secret else ""
        self.remotes.text = text
        return text

    def ready(self):
        return self.operator.condition(CLUSTER).get("status") == "True"

    async def until(self, reached):
        def reached_now():
            assert self.stored is not None
            return reached()

        await self.operator.until(reached_now, CLUSTER)

    async def bought(self):
        await self.until(lambda: self.cluster_id)

    async def hand_out(self, text):
        address = self.simulator.url.removesuffix("/v1")
        sent = {"kubeconfig": text}
        answer = await self.http.post(f"{address}/admin/clusters/{self.cluster_id}/kubeconfig", json=sent)
        answer.raise_for_status()


async def test_a_kubeconfig_that_comes_late_cut_off_and_then_whole_is_written_once_it_is_whole(followed):
    await followed.bought()
    await followed.hand_out("")
    await followed.until(lambda: followed.operator.condition(CLUSTER).get("reason") == "KubeconfigMissing")
    await followed.hand_out(a_config("one")[:120])
    operator = followed.operator
    await followed.until(lambda: "not whole" in operator.condition(CLUSTER, "KubeconfigAvailable").get("message", ""))
    assert followed.stored == ""
    await followed.hand_out(a_config("one"))
    await followed.until(followed.ready)
    assert followed.stored == a_config("one")


async def test_a_rotated_kubeconfig_replaces_the_one_that_is_stored(followed):
    await followed.bought()
    await followed.hand_out(a_config("one"))
    await followed.until(followed.ready)
    await followed.hand_out(a_config("two"))
    await followed.until(lambda: followed.stored == a_config("two"))
    await followed.until(followed.ready)


async def test_on_401_the_cluster_is_asked_for_by_its_id_before_the_next_list(followed):
    await followed.bought()
    await followed.hand_out(a_config("one"))
    await followed.until(followed.ready)
    followed.remotes.rejected.add("one")
    await followed.until(lambda: followed.operator.condition(CLUSTER).get("reason") == "KubeconfigRejected")
    answer = await followed.http.get(f"{followed.simulator.url.removesuffix('/v1')}/admin/requests")
    asked = [f"{each['method']} {each['path']}" for each in answer.json()["requests"]]
    assert any(each.endswith(f"/compute/clusters/{followed.cluster_id}") and "GET" in each for each in asked)
    await followed.hand_out(a_config("two"))
    await followed.until(followed.ready)
    assert followed.stored == a_config("two")


async def test_a_hostile_kubeconfig_is_never_stored(followed):
    await followed.bought()
    hostile = a_kubeconfig()
    hostile["users"][0]["user"] = {"exec": {"command": "sh"}}
    await followed.hand_out(yaml.safe_dump(hostile))
    await followed.until(lambda: followed.operator.condition(CLUSTER, "Stalled").get("reason") == "KubeconfigRefused")
    assert followed.stored == ""
    assert "exec" in followed.operator.condition(CLUSTER)["message"]


async def test_a_size_that_somebody_changes_at_the_provider_is_told_with_both_values(followed):
    await followed.bought()
    await followed.hand_out(a_config("one"))
    await followed.until(followed.ready)
    path = f"{followed.simulator.url.removesuffix('/v1')}/v1/compute/clusters/{followed.cluster_id}"
    key = {"Authorization": f"Bearer {followed.simulator.key}"}
    (await followed.http.put(path, json={"num_gpus": 16}, headers=key)).raise_for_status()
    await followed.until(lambda: "SizeChangedOutside" in followed.operator.events)
