"""The sweep for orphans over real HTTP: what it finds, tells, writes and deletes, and what it leaves alone."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from pydantic import SecretStr
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, INSTALLATION, SPEC, Operator
from tests.unit.tunesmith.controllers.test_credentials_over_http import a_secret

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.controllers.orphans import ORPHANS_KEY
from tunesmith.controllers.ports import SystemClock
from tunesmith.planning.name_book import BOOK_ANNOTATION, KeepName, Kept, read_book
from tunesmith.planning.orphan_report import OrphanReport
from tunesmith.serving.metrics import Metrics, Readings
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.admin_client import AdminClient
from tunesmith_simulator.faults import Answer, Fault
from tunesmith_simulator.server import Simulator

DAYS = 5 * 86400
OTHER_KEY = "simulated-key-globex"
REPORT = ("ConfigMap", "tunesmith-system", "tunesmith-orphans")
NAMES = ("ConfigMap", "tunesmith-system", "tunesmith-names")


class LaterClock(SystemClock):
    """A clock that a test may put forward."""

    def __init__(self):
        self.ahead = 0.0

    def now(self):
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self):
        return super().monotonic() + self.ahead


@pytest.fixture
async def provider():
    scenario = scenarios.named("default")
    async with Simulator(scenario.model_copy(update={"speed": 2000.0})) as simulator:
        yield simulator


async def an_operator_with_a_cluster(provider, *, deletes, **spec):
    """An operator that has bought one cluster, and has a Lease to tell on."""
    installation = replace(INSTALLATION, orphans_are_deleted=deletes)
    operator = Operator(provider.url, provider.key, clock=LaterClock(), installation=installation)
    meta = {"name": "tunesmith", "namespace": "tunesmith-system"}
    operator.kube.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta})
    operator.give("GPUCluster", "train", {**SPEC, **spec})
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    return operator


async def swept(operator, *, later=0.0):
    operator.clock.ahead += later
    await operator.costly.orphan_sweep.work(ORPHANS_KEY)
    return dict(operator.costly.orphan_sweep.counted())


def reported(operator):
    """The lines of the report as it stands in its ConfigMap."""
    return OrphanReport.model_validate_json(operator.kube.objects[REPORT]["data"]["report.json"]).orphans


def at_provider(operator, cluster_id):
    """The cluster as the sweep's own list showed it last."""
    return operator.costly.orphan_sweep._clouds.of_installation().view.cluster(cluster_id)


async def test_while_every_cluster_has_its_resource_a_sweep_writes_nothing_and_asks_the_api_server_nothing(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=False)
    assert await swept(operator) == {}
    assert reported(operator) == (), "the first says that somebody has looked"
    before = list(operator.kube.requests)
    assert await swept(operator, later=DAYS) == {}
    assert operator.kube.requests == before
    assert NAMES not in operator.kube.objects, "no write is spent on names where nothing is ever deleted"


async def test_an_orphan_is_reported_with_its_cost_by_number_event_and_report(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=False)
    cluster_id = operator.status(CLUSTER)["clusterID"]
    operator.lose(CLUSTER)
    assert await swept(operator) == {}, "the young are left alone"
    assert await swept(operator, later=DAYS) == {"GPUCluster": 1}
    assert operator.told == [("Lease", "OrphanFound")]
    metrics = Metrics(Readings(int, int, bool, lambda kind: (), orphans=operator.costly.orphan_sweep.counted))
    assert b'\ntunesmith_orphans{kind="GPUCluster"} 1.0\n' in generate_latest(metrics.registry)
    report = OrphanReport.model_validate_json(operator.kube.objects[REPORT]["data"]["report.json"])
    assert [each.id for each in report.orphans] == [cluster_id]
    assert report.orphans[0].orphan().cost_usd(operator.clock.now()) > 0
    while at_provider(operator, cluster_id).status != "Ready":  # a state that moves on is news
        await swept(operator, later=60)
    await swept(operator, later=60)
    writes = len(operator.kube.writes())
    assert await swept(operator, later=3600) == {"GPUCluster": 1}
    assert len(operator.kube.writes()) == writes, "nothing new, nothing written"
    assert at_provider(operator, cluster_id).status != "Deleting"


async def test_a_restart_while_the_provider_is_silent_forgets_no_orphan(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=False)
    operator.lose(CLUSTER)
    await swept(operator)
    await swept(operator, later=DAYS)
    report = operator.kube.objects[REPORT]["data"]

    blind = Operator("http://127.0.0.1:9", provider.key, kube=operator.kube, clock=operator.clock)
    assert await swept(blind) == {"GPUCluster": 1}
    assert operator.kube.objects[REPORT]["data"] == report
    seeing = Operator(provider.url, provider.key, kube=operator.kube, clock=operator.clock)
    assert await swept(seeing) == {"GPUCluster": 1}, "what was reported before is not young again"


async def an_orphan_of_a_secrets_account(provider):
    """An operator with a key of its own, and an orphan of another customer's, whose last resource has gone."""
    operator = Operator(provider.url, provider.key, clock=LaterClock())
    operator.kube.put(a_secret("ml", OTHER_KEY))
    operator.give("GPUCluster", "train", {**SPEC, "credentialsRef": {"name": "together"}})
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    operator.lose(CLUSTER)
    await swept(operator)
    assert await swept(operator, later=1200) == {"GPUCluster": 1}
    assert reported(operator)[0].stays == "this installation only reports (`orphans.mode: Report`)"
    return operator


async def test_an_orphan_whose_key_fell_out_of_use_stays_reported_over_restarts(provider):
    """It bills on, and no account that is still looked with could say that it is gone."""
    operator = await an_orphan_of_a_secrets_account(provider)
    assert await swept(operator, later=7200) == {"GPUCluster": 1}
    assert "key that showed it is not in use any more" in reported(operator)[0].stays
    restarted = Operator(provider.url, provider.key, kube=operator.kube, clock=operator.clock)
    assert await swept(restarted, later=DAYS) == {"GPUCluster": 1}
    assert len(reported(restarted)) == 1


async def test_who_takes_the_report_away_has_what_is_out_of_sight_forgotten(provider):
    operator = await an_orphan_of_a_secrets_account(provider)
    await swept(operator, later=7200)
    del operator.kube.objects[REPORT]
    assert await swept(operator, later=600) == {}


async def test_its_own_key_says_whether_an_orphan_is_gone(provider):
    operator = await an_orphan_of_a_secrets_account(provider)
    cluster_id = reported(operator)[0].id
    await swept(operator, later=7200)
    key = SecretStr(OTHER_KEY)
    account = operator.costly.orphan_sweep._clouds._accounts.account(ApiCredential(key))
    assert await swept(operator) == {"GPUCluster": 1}
    assert "not in use" not in reported(operator)[0].stays
    await account.cloud.delete_cluster(cluster_id)
    async with asyncio.timeout(30):
        while any(cluster.id == cluster_id for cluster in await account.cloud.list_clusters()):
            await asyncio.sleep(0.02)
    assert await swept(operator, later=600) == {}
    assert reported(operator) == ()


async def test_an_orphan_that_was_recorded_is_deleted_after_a_day_where_the_installation_says_so(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=True)
    cluster_id = operator.status(CLUSTER)["clusterID"]
    assert operator.status(CLUSTER)["providerName"] in read_book(operator.kube.objects[NAMES]["data"])
    operator.lose(CLUSTER)
    await swept(operator)
    assert await swept(operator, later=3600) == {"GPUCluster": 1}
    assert operator.told == [("Lease", "OrphanFound")], "not in its first 24 hours"
    await swept(operator, later=DAYS)
    assert operator.told[-1] == ("Lease", "OrphanDeleted")
    await swept(operator, later=60)
    found = at_provider(operator, cluster_id)
    assert found is None or found.status == "Deleting"


async def test_a_cluster_of_days_is_not_deleted_within_a_day_of_losing_its_resource_over_a_restart(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=True)
    assert await swept(operator, later=DAYS) == {}
    operator.lose(CLUSTER)
    await swept(operator)
    assert await swept(operator, later=3600) == {"GPUCluster": 1}
    assert reported(operator)[0].stays == "it has been an orphan for less than 24 hours"
    restarted = Operator(
        provider.url, provider.key, kube=operator.kube, clock=operator.clock, installation=operator.installation
    )
    await swept(restarted, later=22 * 3600)
    assert "OrphanDeleted" not in [reason for _, reason in restarted.told]
    await swept(restarted, later=3600)
    assert restarted.told[-1] == ("Lease", "OrphanDeleted")


async def an_operator_with_an_orphan(provider):
    """It was reported, and is to be deleted when it has waited long enough."""
    operator = await an_operator_with_a_cluster(provider, deletes=True)
    operator.lose(CLUSTER)
    await swept(operator)
    await swept(operator, later=3600)
    return operator


async def test_a_deletion_is_told_when_the_provider_has_taken_it_and_tried_again_when_it_has_not(provider):
    operator, admin = await an_operator_with_an_orphan(provider), AdminClient(provider.url)
    await asyncio.to_thread(admin.arm, Fault(route="DELETE clusters", effect=Answer(status=503)))
    assert await swept(operator, later=DAYS) == {"GPUCluster": 1}
    assert operator.told == [("Lease", "OrphanFound"), ("Lease", "OrphanNotDeleted")]
    assert "did not confirm that it deletes it" in reported(operator)[0].stays
    await asyncio.to_thread(admin.clear_faults)
    await swept(operator, later=60)
    assert operator.told[2:] == [("Lease", "OrphanDeleted")]
    assert reported(operator)[0].stays == ""


async def test_what_only_the_last_word_of_a_silent_provider_shows_is_neither_deleted_nor_told_as_deleted(provider):
    operator, admin = await an_operator_with_an_orphan(provider), AdminClient(provider.url)
    await asyncio.to_thread(admin.arm, Fault(route="LIST *", effect=Answer(status=503)))
    assert await swept(operator, later=DAYS) == {"GPUCluster": 1}
    assert "OrphanDeleted" not in [reason for _, reason in operator.told]
    assert "does not answer" in reported(operator)[0].stays


async def test_a_retained_cluster_is_marked_before_its_resource_goes_and_never_deleted(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=True, deletionPolicy="Retain")
    name, cluster_id = (operator.status(CLUSTER)[key] for key in ("providerName", "clusterID"))
    operator.delete(CLUSTER)
    await operator.until(lambda: operator.cache.get("GPUCluster", "ml", "train") is None, CLUSTER)
    del operator.kube.objects["GPUCluster", "ml", "train"]  # as the API server does when the last finalizer goes
    assert read_book(operator.kube.objects[NAMES]["data"])[name].kept is Kept.RETAINED
    await swept(operator)
    assert await swept(operator, later=DAYS) == {}, "what its user keeps is no orphan"
    assert operator.told == []
    report = OrphanReport.model_validate_json(operator.kube.objects[REPORT]["data"]["report.json"])
    assert [(each.id, each.kept) for each in report.orphans] == [(cluster_id, Kept.RETAINED)]
    assert at_provider(operator, cluster_id).status != "Deleting"


async def test_a_cluster_that_was_to_stay_is_not_deleted_when_its_resource_is_lost(provider):
    """Nobody let it go, so it is an orphan that is told and counted; but its resource had said to keep it."""
    operator = await an_operator_with_a_cluster(provider, deletes=True, deletionPolicy="Retain")
    cluster_id = operator.status(CLUSTER)["clusterID"]
    operator.lose(CLUSTER)
    await swept(operator)
    assert await swept(operator, later=DAYS) == {"GPUCluster": 1}
    assert await swept(operator, later=DAYS) == {"GPUCluster": 1}
    assert "OrphanDeleted" not in [reason for _, reason in operator.told]
    assert "deletionPolicy: Retain" in reported(operator)[0].stays
    assert at_provider(operator, cluster_id).status != "Deleting"


@pytest.mark.parametrize(("before", "after"), [("Delete", "Retain"), ("Retain", "Delete")])
async def test_the_book_follows_the_policy_while_the_resource_lives(provider, before, after):
    operator = await an_operator_with_a_cluster(provider, deletes=True, deletionPolicy=before)
    name = operator.status(CLUSTER)["providerName"]
    assert read_book(operator.kube.objects[NAMES]["data"])[name].retains is (before == "Retain")
    stored = operator.cache.get("GPUCluster", "ml", "train")
    meta = {**stored["metadata"], "generation": 2}
    changed = {**stored, "metadata": meta, "spec": {**stored["spec"], "deletionPolicy": after}}
    operator.cache.observe(operator.kube.put(changed))
    is_kept = after == "Retain"
    await operator.until(lambda: read_book(operator.kube.objects[NAMES]["data"])[name].retains is is_kept, CLUSTER)


async def test_a_book_that_was_restored_or_copied_deletes_nothing_until_somebody_confirms_it(provider):
    """The clusters that it names may be those of the installation that it was copied from."""
    operator = await an_operator_with_a_cluster(provider, deletes=True)
    book = operator.kube.objects[NAMES]
    assert book["metadata"]["annotations"] == {BOOK_ANNOTATION: book["metadata"]["uid"]}
    operator.kube.put({**book, "metadata": {**book["metadata"], "uid": "uid-of-the-copy"}})
    operator.lose(CLUSTER)
    await swept(operator)
    assert await swept(operator, later=DAYS) == {"GPUCluster": 1}
    assert operator.told == [("Lease", "OrphanFound")]
    report = OrphanReport.model_validate_json(operator.kube.objects[REPORT]["data"]["report.json"])
    assert f"{BOOK_ANNOTATION}=uid-of-the-copy" in report.orphans[0].stays

    copied = operator.kube.objects[NAMES]
    confirmed = {**copied["metadata"], "annotations": {BOOK_ANNOTATION: "uid-of-the-copy"}}
    operator.kube.put({**copied, "metadata": confirmed})
    await swept(operator, later=DAYS)
    assert operator.told[-1] == ("Lease", "OrphanDeleted")


async def test_a_copied_book_is_not_made_our_own_by_writing_into_it(provider):
    operator = await an_operator_with_a_cluster(provider, deletes=True)
    book = operator.kube.objects[NAMES]
    operator.kube.put({**book, "metadata": {**book["metadata"], "uid": "uid-of-the-copy"}})
    await operator.costly.orphan_sweep._clouds.names.write(KeepName("ts-prod01-any", Kept.RETAINED))
    written = operator.kube.objects[NAMES]
    assert read_book(written["data"])["ts-prod01-any"].kept is Kept.RETAINED
    assert written["metadata"]["annotations"] == {BOOK_ANNOTATION: book["metadata"]["uid"]}
