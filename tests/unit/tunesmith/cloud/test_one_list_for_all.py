"""However many resources look at the provider, it is asked once per credential, project and interval."""

import asyncio
import random

import httpx
from pydantic import SecretStr
from tests.unit.tunesmith.cloud.clouds import a_gate, a_transport

from tunesmith.cloud.accounts import Accounts
from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.g2 import CLUSTERS, REGIONS, G2Cloud

MANY = 500
HOUR = 3600.0
LATE = 0.01  # a queue comes a little later than it was asked to


class Asked:
    """A provider that keeps when it was asked for what."""

    def __init__(self, now):
        self.now, self.times = now, {}

    async def __call__(self, request):
        await asyncio.sleep(0)
        self.times.setdefault((request.url.path, request.url.params.get("projectId")), []).append(self.now[0])
        return httpx.Response(200, json={"clusters": [], "volumes": [], "regions": []})

    def lists(self, project="p-1"):
        return self.times[CLUSTERS, project]


def some_accounts():
    now = [0.0]
    provider = Asked(now)

    def clock():
        return now[0]

    def make_cloud(credential):
        return G2Cloud(a_transport(provider, project_id=credential.project_id, clock=clock, gate=a_gate(clock)))

    return Accounts(make_cloud, monotonic=clock), provider, now


async def an_hour_of(accounts, now, resources):
    """Each resource `(credential, interval)` looks once per interval, at times of its own, for an hour.

    Answers with the age of the oldest list that a resource of each interval was shown.
    """
    oldest = {interval: 0.0 for _, interval in resources}
    chance = random.Random(7)
    due = [(chance.uniform(0, interval), credential, interval) for credential, interval in resources]
    while True:
        due.sort(key=lambda each: each[0])
        moment, credential, interval = due[0]
        if moment > HOUR:
            return oldest
        now[0] = moment
        account = accounts.account(credential)
        await account.look(moment - interval)
        oldest[interval] = max(oldest[interval], moment - account.view().begun)
        due[0] = (moment + interval + LATE, credential, interval)


async def test_five_hundred_resources_cost_one_list_per_interval():
    accounts, provider, now = some_accounts()
    credential = ApiCredential(SecretStr("k"), "p-1")
    await an_hour_of(accounts, now, [(credential, 60.0)] * MANY)
    assert len(provider.lists()) <= HOUR / 60 + 1
    assert len(provider.times[REGIONS, None]) <= HOUR / 600 + 1


async def test_the_smallest_interval_that_a_resource_asks_for_serves_all():
    accounts, provider, now = some_accounts()
    credential = ApiCredential(SecretStr("k"), "p-1")
    oldest = await an_hour_of(accounts, now, [(credential, 60.0)] * (MANY - 1) + [(credential, 5.0)])
    assert len(provider.lists()) <= HOUR / 5 + 1
    assert oldest[5.0] <= 5.0
    assert oldest[60.0] <= 10.0


async def test_each_project_has_lists_of_its_own():
    accounts, provider, now = some_accounts()
    projects = [ApiCredential(SecretStr("k"), project) for project in ("p-1", "p-2")]
    await an_hour_of(accounts, now, [(projects[number % 2], 60.0) for number in range(MANY)])
    for project in ("p-1", "p-2"):
        assert len(provider.lists(project)) <= HOUR / 60 + 1


async def test_five_hundred_at_the_same_moment_share_the_list_that_is_in_flight():
    accounts, provider, _ = some_accounts()
    credential = ApiCredential(SecretStr("k"), "p-1")
    await asyncio.gather(*(accounts.account(credential).look(0.0) for _ in range(MANY)))
    assert len(provider.lists()) == 1
