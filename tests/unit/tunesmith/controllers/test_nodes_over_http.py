"""The nodes of a bought cluster over HTTP: 512 GPUs bought, shrunk to 256, one repaired, all billed to the cent."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from tests.unit.tunesmith.controllers.story import a_story
from tests.unit.tunesmith.controllers.test_bought import CLUSTER

from tunesmith.cloud.audit import AUDIT_LOGGER
from tunesmith.planning.circumstances import RepairTimes
from tunesmith.planning.price_table import PUBLISHED, BilledFrom, BilledUntil, BillingRules
from tunesmith.planning.usage import USAGE
from tunesmith_simulator import repairs
from tunesmith_simulator.remediations import RemediationMode, Trigger

CENT = Decimal("0.01")
HOUR = 3600.0
RULES = BillingRules(BilledFrom.CREATED, BilledUntil.GONE)
"""Those of the simulator's default scenario."""
SPEC = {
    "region": "us-central-8",
    "gpuType": "H100_SXM",
    "nodes": 64,
    "drift": {"intervalSeconds": 30},
    "repair": {"mode": "Reboot"},
}


def a_ready_story(**spec):
    times = RepairTimes(after_seconds=60, cooldown_seconds=600)
    return a_story({**SPEC, **spec}, repair=times, prices=PUBLISHED, billing=RULES, absence_interval_seconds=2)


def is_ready(operator, nodes):
    return operator.is_ready(CLUSTER) and operator.status(CLUSTER)["nodes"]["ready"] == nodes


def usage_record(caplog):
    """The line for the accountants."""
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == AUDIT_LOGGER]
    (found,) = [line for line in lines if line["kind"] == USAGE]
    return found


@pytest.fixture
async def operator():
    async with a_ready_story() as story:
        await story.until(lambda: story.is_ready(CLUSTER))
        yield story


async def test_512_gpus_are_bought_shrunk_to_256_repaired_and_given_back(operator, caplog):
    caplog.set_level("INFO", AUDIT_LOGGER)
    assert len(operator.remotes.names()) == 64
    operator.change(CLUSTER, nodes=32)
    await operator.until(lambda: is_ready(operator, 32))
    assert (len(operator.remotes.names()), operator.status(CLUSTER)["nodes"]["desired"]) == (32, 32)
    await operator.until(lambda: not operator.remotes.cordoned())
    await operator.until(lambda: operator.status(CLUSTER)["cost"]["hourlyUSD"] == "1021.44")

    sick = operator.remotes.names()[0]
    operator.remotes.broken = {sick}
    await operator.until(lambda: operator.status(CLUSTER).get("repairs"))
    assert operator.condition(CLUSTER, "NodesHealthy")["reason"] == "NodesUnderRepair"
    assert operator.remotes.cordoned() == {sick}
    await operator.until(lambda: operator.status(CLUSTER)["repairs"][0]["outcome"] == "SUCCEEDED")
    operator.remotes.broken = set()
    await operator.until(lambda: is_ready(operator, 32) and not operator.remotes.cordoned())
    (record,) = operator.status(CLUSTER)["repairs"]
    assert (record["node"], record["mode"]) == (sick, "REBOOT_VM")
    assert operator.events.count("NodeRepairAsked") == operator.events.count("NodeRepaired") == 1

    bought = operator.status(CLUSTER)["clusterID"]
    operator.change(CLUSTER, drift={"intervalSeconds": 600})
    await operator.go_on(3 * HOUR)
    cost = operator.status(CLUSTER)["cost"]
    as_of = datetime.fromisoformat(cost["asOfTime"])
    assert as_of > operator.clock.now() - timedelta(hours=1, minutes=15)
    assert cost["uncertainUSD"] == "0.00"
    assert abs(Decimal(cost["computeUSD"]) - operator.charged(bought, as_of)) <= CENT

    operator.delete(CLUSTER)
    await operator.until(lambda: operator.gone(CLUSTER))
    assert "Deleted" in operator.events
    record, whole = usage_record(caplog), operator.charged(bought, operator.clock.exactly())
    assert whole > Decimal(cost["computeUSD"])
    assert Decimal(record["computeUSD"]) - CENT <= whole
    assert whole <= Decimal(record["computeUSD"]) + Decimal(record["uncertainUSD"]) + CENT
    assert Decimal(record["uncertainUSD"]) < 5, "the seconds between the last look that showed it and the next"


async def test_growth_beyond_the_stock_keeps_what_is_there(operator):
    operator.change(CLUSTER, nodes=4096)
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "OutOfStock")
    assert len(operator.remotes.names()) == 64
    operator.change(CLUSTER, nodes=65)
    await operator.until(lambda: is_ready(operator, 65))


async def test_a_repair_that_the_provider_proposes_is_approved_when_the_user_allows_it():
    async with a_ready_story(nodes=2, repair={"mode": "Off", "providerProposals": "Approve"}) as operator:
        await operator.until(lambda: operator.is_ready(CLUSTER))
        sick, simulation = operator.remotes.names()[0], operator.provider.simulation
        world, mode = simulation.world(), RemediationMode.REBOOT_VM
        (cluster_id,) = world.clusters
        now = simulation.clock()
        simulation.become(repairs.propose_remediation(world, cluster_id, sick, mode=mode, reason="XID 48", now=now))
        await operator.until(lambda: operator.status(CLUSTER).get("repairs"))
        await operator.until(lambda: operator.status(CLUSTER)["repairs"][0]["outcome"] == "SUCCEEDED")
        (done,) = simulation.world().remediations.values()
        assert done.review is not None
        assert (done.host_name, done.trigger) == (sick, Trigger.AUTOMATED)
        await operator.until(lambda: is_ready(operator, 2) and not operator.remotes.cordoned())
