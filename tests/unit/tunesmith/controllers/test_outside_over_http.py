"""What happens at the provider without us, over HTTP: told in time, billed, never answered with a second purchase."""

from datetime import datetime
from decimal import Decimal

from tests.unit.tunesmith.controllers.story import a_story
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, INSTALLATION, VOLUME

from tunesmith.planning.price_table import PUBLISHED, BilledFrom, BilledUntil, BillingRules
from tunesmith_simulator import happenings as happen

INTERVAL_SECONDS, SEEN_TWICE_SECONDS = 120, INSTALLATION.absence_interval_seconds
CENT, HOUR = Decimal("0.01"), 3600.0
SPEC = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 2, "drift": {"intervalSeconds": INTERVAL_SECONDS}}
RULES = BillingRules(BilledFrom.CREATED, BilledUntil.GONE)


def has_drifted(operator):
    return operator.condition(CLUSTER, "Drifted").get("status") == "True"


async def test_a_cluster_that_somebody_deletes_is_told_within_the_interval_and_not_bought_again():
    async with a_story(SPEC) as operator:
        await operator.until(lambda: operator.is_ready(CLUSTER))
        operator.provider.simulation.happen(happen.DeleteOutside(cluster="*"))
        in_time = INTERVAL_SECONDS + SEEN_TWICE_SECONDS
        await operator.until(lambda: has_drifted(operator), within_seconds=in_time)
        assert operator.condition(CLUSTER, "Drifted")["reason"] in {"DeletedOutside", "Gone"}
        await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "Gone")
        await operator.go_on(HOUR)
        assert "set `spec.recreatePolicy` to 'WhenGone'" in operator.condition(CLUSTER)["message"]
        assert operator.orders() == [200]


async def test_time_without_credit_is_told_and_not_counted():
    prices = {"prices": PUBLISHED, "billing": RULES}
    async with a_story({**SPEC, "drift": {"intervalSeconds": 600}}, **prices) as operator:
        await operator.until(lambda: operator.is_ready(CLUSTER))
        await operator.go_on(HOUR)
        operator.provider.simulation.happen(happen.Credit(project="proj-acme", has_credit=False))
        await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "NoCredit")
        await operator.until(lambda: operator.status(CLUSTER)["cost"]["hourlyUSD"] == "0.00")
        await operator.go_on(2 * HOUR)
        operator.provider.simulation.happen(happen.Credit(project="proj-acme", has_credit=True))
        await operator.until(lambda: operator.is_ready(CLUSTER))
        await operator.go_on(2 * HOUR)
        cost = operator.status(CLUSTER)["cost"]
        as_of = datetime.fromisoformat(cost["asOfTime"])
        charged = operator.charged(operator.status(CLUSTER)["clusterID"], as_of)
        assert (cost["hourlyUSD"], cost["uncertainUSD"]) == ("63.84", "0.00")
        assert abs(Decimal(cost["computeUSD"]) - charged) <= CENT
        assert charged < 5 * Decimal("63.84") - 100, "two of the hours cost nothing"


async def test_a_volume_in_another_partition_is_explained_and_the_cluster_is_not_bought():
    spec = {**SPEC, "region": "us-central-4", "volumeRef": {"name": "data"}}
    async with a_story(spec) as operator:
        apart = {"region": "us-central-4", "sizeTiB": 1, "bindingMode": "Immediate"}
        operator.give("SharedVolume", "data", apart)
        await operator.until(lambda: operator.status(VOLUME).get("volumeID"))
        await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "VolumeInAnotherPartition")
        assert "Name one with `bindingMode` 'WaitForFirstCluster'" in operator.condition(CLUSTER)["message"]
        assert operator.provider.simulation.world().clusters == {}
        assert operator.status(CLUSTER).get("createIntent") is None


async def test_a_list_that_lags_behind_a_purchase_leads_to_no_second_one():
    async with a_story(SPEC) as operator:
        operator.provider.simulation.happen(happen.ListsLag(of="clusters", appears_after_seconds=120))
        await operator.until(lambda: operator.is_ready(CLUSTER))
        assert operator.orders() == [200]
        assert len(operator.provider.simulation.world().clusters) == 1
