"""Several accounts with keys, projects and rights: who they are, what they see, what they are refused."""

import base64

import aiohttp
import pytest
import together
import yaml
from tests.unit.simulator.conftest import client_for

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator

HOUR = 3600
OIDC = {
    "client_id": "id",
    "group_claim": "groups",
    "group_prefix": "oidc:",
    "issuer_url": "https://issuer.example",
    "username_claim": "email",
    "username_prefix": "oidc:",
}


async def test_a_key_says_who_it_is_and_not_what_it_is(client, clients):
    me = await client.whoami()
    assert (me.type, me.project.id, me.organization.name) == ("project_api_key", "proj-acme", "acme")
    other = await clients["globex"].whoami()
    assert other.project.id == "proj-globex"
    assert me.api_key.id != other.api_key.id
    assert "simulated-key" not in me.model_dump_json()


@pytest.mark.parametrize(
    ("account", "status", "code"), [("nobody", 401, 16), ("acme-editor", 403, 7), ("penniless", 402, 9)]
)
async def test_refusals_have_the_form_of_a_grpc_status(simulator, an_order, account, status, code):
    headers = {"Authorization": f"Bearer simulated-key-{account}"}
    async with (
        aiohttp.ClientSession(simulator.url, headers=headers) as session,
        session.post("/v1/compute/clusters", json=an_order) as answer,
    ):
        body = await answer.json()
    assert (answer.status, body["code"], set(body)) == (status, code, {"code", "message"})


async def test_an_editor_sees_all_and_changes_nothing(clients, clock, an_order):
    cluster = await clients["acme"].clusters.create(**an_order)
    volume = await clients["acme"].clusters.storage.create(region="us-central-8", size_tib=1, volume_name="data")
    clock.pass_seconds(HOUR)
    editor = clients["acme-editor"].clusters
    assert [each.cluster_id for each in (await editor.list()).clusters] == [cluster.cluster_id]
    for refused in (
        editor.update(cluster.cluster_id, num_gpus=8),
        editor.delete(cluster.cluster_id),
        editor.storage.create(region="us-central-8", size_tib=1, volume_name="more"),
        editor.storage.update(volume_id=volume.volume_id, size_tib=2),
        editor.storage.delete(volume.volume_id),
    ):
        with pytest.raises(together.PermissionDeniedError):
            await refused


async def test_two_keys_of_one_customer_see_the_same(scenario, clock, an_order):
    acme = scenario.accounts[0]
    second = acme.model_copy(update={"name": "acme-2", "key": type(acme.key)("another-key"), "organization": "acme"})
    async with (
        Simulator(scenario.model_copy(update={"accounts": (*scenario.accounts, second)}), clock=clock) as simulator,
        client_for(simulator) as one,
        client_for(simulator, "another-key") as two,
    ):
        cluster = await one.clusters.create(**an_order)
        assert (await two.clusters.retrieve(cluster.cluster_id)).ums_org_id == cluster.ums_org_id == "org-acme"


async def test_with_oidc_only_admins_get_the_administrators_kubeconfig(clients, clock, an_order):
    cluster = await clients["acme"].clusters.create(**an_order, oidc_config=OIDC)
    clock.pass_seconds(HOUR)

    async def user(account: str) -> dict:
        seen = await clients[account].clusters.retrieve(cluster.cluster_id)
        return yaml.safe_load(base64.b64decode(seen.kube_config))["users"][0]["user"]

    assert "token" in await user("acme")
    login = (await user("acme-editor"))["exec"]
    assert [login["command"], *login["args"]][:3] == ["kubectl", "together-login", "get-token"]
    assert "--issuer-url=https://issuer.example" in login["args"]


async def test_without_credit_what_is_there_can_be_given_back_but_not_grown(scenario, clock, an_order):
    owner = scenario.accounts[0]
    broke = owner.model_copy(update={"name": "broke", "key": type(owner.key)("broke-key"), "has_credit": False})
    async with (
        Simulator(scenario.model_copy(update={"accounts": (owner, broke)}), clock=clock) as simulator,
        client_for(simulator) as rich,
        client_for(simulator, "broke-key") as poor,
    ):
        cluster = await rich.clusters.create(**an_order)
        clock.pass_seconds(HOUR)
        with pytest.raises(together.APIStatusError) as refused:
            await poor.clusters.update(cluster.cluster_id, num_gpus=32)
        assert refused.value.status_code == 402
        assert (await poor.clusters.update(cluster.cluster_id, num_gpus=8)).num_gpus == 8
        await poor.clusters.delete(cluster.cluster_id)


def test_an_account_without_an_organization_is_one_of_its_own():
    accounts = scenarios.named("default").accounts_by_key().values()
    assert {account.organization for account in accounts} == {"acme", "acme-editor", "globex", "penniless"}
