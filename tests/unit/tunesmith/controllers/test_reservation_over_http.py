"""Eight days that are paid ahead, over HTTP: warned about, made longer by one request, and ended by the provider."""

from datetime import datetime, timedelta
from decimal import Decimal

from tests.unit.tunesmith.controllers.story import FIRST_MOMENT, a_story
from tests.unit.tunesmith.controllers.test_bought import CLUSTER

from tunesmith.planning.price_table import PUBLISHED, BilledFrom, BilledUntil, BillingRules
from tunesmith.resources.timestamps import format_time

CENT, DAY = Decimal("0.01"), 86400.0
RESERVED = {"type": "Reserved", "durationDays": 8}
SPEC = {
    "region": "us-central-8",
    "gpuType": "H100_SXM",
    "nodes": 1,
    "billing": RESERVED,
    "drift": {"intervalSeconds": 21600},
}
RULES = BillingRules(BilledFrom.CREATED, BilledUntil.GONE)


def end_of(operator):
    return datetime.fromisoformat(operator.status(CLUSTER)["reservation"]["endTime"])


async def test_a_reservation_is_warned_about_made_longer_and_ended_as_agreed():
    async with a_story(SPEC, prices=PUBLISHED, billing=RULES, absence_interval_seconds=30) as operator:
        await operator.until(lambda: operator.is_ready(CLUSTER))
        bought = operator.status(CLUSTER)["clusterID"]
        first_end = end_of(operator)
        assert abs(first_end - (FIRST_MOMENT + timedelta(days=8))) < timedelta(hours=1)
        await operator.until(lambda: "ReservationEndsInADay" in operator.events, within_seconds=8 * DAY)
        assert first_end - operator.clock.exactly() > timedelta(hours=23)
        assert operator.events.count("ReservationEndsInDays") == operator.events.count("ReservationEndsInADay") == 1

        longer = first_end + timedelta(days=2)
        operator.change(CLUSTER, billing={**RESERVED, "endTime": format_time(longer)})
        await operator.until(lambda: end_of(operator) == longer.replace(microsecond=0))
        asked = [each for each in operator.provider.record.all() if each.method == "PUT"]
        assert [each.status for each in asked] == [200]
        await operator.go_on(DAY)
        cost = operator.status(CLUSTER)["cost"]
        assert cost["uncertainUSD"] == "0.00"
        assert abs(Decimal(cost["computeUSD"]) - operator.charged(bought, operator.clock.exactly())) <= CENT

        await operator.until(
            lambda: operator.condition(CLUSTER).get("reason") == "ReservationEnded", within_seconds=4 * DAY
        )
        await operator.until(lambda: operator.provider.simulation.world().clusters[bought].gone_at is not None)
        await operator.go_on(3600)
        assert operator.condition(CLUSTER)["reason"] == "ReservationEnded"
        assert not {"DeletedOutside", "Gone"} & set(operator.events)
        assert operator.orders() == [200]
        cost = operator.status(CLUSTER)["cost"]
        assert (cost["uncertainUSD"], cost["hourlyUSD"]) == ("0.00", "0.00")
        assert abs(Decimal(cost["computeUSD"]) - operator.charged(bought, operator.clock.exactly())) <= CENT
