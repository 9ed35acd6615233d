"""One list per credential and project, however many resources ask."""

import asyncio

import pytest
from pydantic import SecretStr

from tunesmith.cloud.accounts import Account, Accounts
from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError, error_of
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import ClusterOrder
from tunesmith.planning.provider import ProviderCluster, Region, Remediation


class PlayedCloud:
    """A provider in memory."""

    def __init__(self):
        self.clusters, self.hidden, self.lists, self.failing = [], [], 0, False
        self.repairs, self.repair_lists = [], 0

    async def list_clusters(self):
        self.lists += 1
        await asyncio.sleep(0)
        if self.failing:
            raise error_of(ErrorClass.UNAVAILABLE, "list the clusters")
        return tuple(self.clusters)

    async def list_volumes(self):
        return ()

    async def list_regions(self):
        return (Region("us-central-8", ("H100_SXM",)),)

    async def list_remediations(self, cluster_id):
        self.repair_lists += 1
        await asyncio.sleep(0)
        return tuple(self.repairs)

    async def create_remediation(self, cluster_id, instance_id, mode, reason):
        return Remediation("r-9", cluster_id, instance_id, mode, "PENDING")

    async def get_cluster(self, cluster_id):
        return next((c for c in (*self.clusters, *self.hidden) if c.id == cluster_id), None)

    async def create_cluster(self, order, *, deadline):
        made = ProviderCluster("c-9", order.name, "WaitingForSubnet", order.region, order.gpu_type, order.gpus)
        self.hidden.append(made)
        return made


def an_account(cloud):
    now = [100.0]

    def clock():
        now[0] += 1
        return now[0]

    return Account(cloud, ApiCredential(SecretStr("k")), monotonic=clock)


async def test_a_hundred_looks_at_once_are_one_list():
    cloud = PlayedCloud()
    account = an_account(cloud)
    await asyncio.gather(*(account.look(100.0) for _ in range(100)))
    assert cloud.lists == 1


async def test_a_look_that_wants_a_later_list_gets_a_later_one():
    cloud = PlayedCloud()
    account = an_account(cloud)
    await account.look(0.0)
    begun = account.view().begun
    await account.look(begun + 0.5)
    assert cloud.lists == 2
    assert account.view().begun >= begun + 0.5


async def test_a_failed_list_leaves_the_last_clean_one():
    cloud = PlayedCloud()
    account = an_account(cloud)
    await account.look(0.0)
    before, cloud.failing = account.view(), True
    with pytest.raises(CloudError):
        await account.look(1e6)
    assert account.view() == before


async def test_who_waited_for_a_list_that_failed_does_not_wait_for_another():
    cloud = PlayedCloud()
    cloud.failing = True
    account = an_account(cloud)
    ends = await asyncio.gather(*(account.look(100.0) for _ in range(50)), return_exceptions=True)
    assert cloud.lists == 1
    assert {end.failure.error for end in ends} == {ErrorClass.UNAVAILABLE}
    cloud.failing = False
    await account.look(100.0)
    assert account.view().begun is not None


async def test_what_was_just_bought_is_seen_although_the_list_lags():
    cloud = PlayedCloud()
    account = an_account(cloud)
    await account.look(0.0)
    await account.buy_cluster(ClusterOrder("ts-a", "r", "g", 8), deadline=1e9)
    assert account.view().cluster("c-9") is not None
    await account.look(account.view().begun + 0.5, cluster_id="c-9")
    assert account.view().cluster("c-9") is not None
    assert account.view().not_found == {}


async def test_an_id_that_the_list_lacks_is_asked_for_by_itself():
    account = an_account(PlayedCloud())
    await account.look(0.0, cluster_id="c-1")
    assert "c-1" in account.view().not_found


def test_the_same_key_and_project_share_one_account():
    accounts = Accounts(lambda credential: PlayedCloud())
    one = accounts.account(ApiCredential(SecretStr("k"), "p"))
    assert accounts.account(ApiCredential(SecretStr("k"), "p")) is one
    assert accounts.account(ApiCredential(SecretStr("k"), "q")) is not one
    assert accounts.account(ApiCredential(SecretStr("other"), "p")) is not one


async def test_the_repairs_of_a_cluster_are_listed_once_for_all_who_look():
    cloud = PlayedCloud()
    cloud.repairs = [Remediation("r-1", "c-1", "i-1", "REBOOT_VM", "RUNNING")]
    account = an_account(cloud)
    await asyncio.gather(*(account.look_at_remediations("c-1", 100.0) for _ in range(20)))
    assert cloud.repair_lists == 1
    assert [each.id for each in account.view().remediations["c-1"].value] == ["r-1"]
    await account.look_at_remediations("c-1", account.view().remediations["c-1"].as_of + 0.5)
    assert cloud.repair_lists == 2


async def test_a_repair_that_was_just_asked_for_is_seen_although_the_list_lags():
    account = an_account(PlayedCloud())
    await account.look(0.0)
    await account.look_at_remediations("c-1", 0.0)
    made = await account.repair_node("c-1", "i-1", "REBOOT_VM", "why")
    assert account.view().remediations["c-1"].value == (made,)
    assert "c-2" not in account.view().remediations
