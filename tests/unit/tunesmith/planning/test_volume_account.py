"""What a SharedVolume costs: by the hour from look to look, also without a cluster, until it is gone."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.unit.tunesmith.planning.cluster_builders import INSTALLATION, NOW, a_view, circumstances, lets_go
from tests.unit.tunesmith.planning.test_shared_volume import a_volume, at_provider, seen

from tunesmith.planning.price_table import PUBLISHED, Prices
from tunesmith.planning.shared_volume import decide
from tunesmith.planning.usage import RecordUsage
from tunesmith.planning.volume_account import last_record

PRICED = replace(INSTALLATION, prices=PUBLISHED)
HOUR_OF_TWO_TIB = Decimal("163.84") * 2 / 730


def looked(status, *, hours=0, size=2, there=True, installation=PRICED, **more):
    """The decision of a pass so many hours later, with a fresh look."""
    monotonic = 1000.0 + 3600 * hours
    volumes = (at_provider(size=size),) if there else ()
    view = a_view(volumes=volumes, begun=monotonic, not_found={} if there else {"v-1": monotonic})
    observation = seen(a_volume(status=status, **more), view)
    around = circumstances(monotonic, now=NOW + timedelta(hours=hours), installation=installation)
    return decide(replace(observation, around=around))


def kept(decision):
    return decision.status.model_dump(by_alias=True, exclude_none=True, mode="json")


def total(decision):
    return decision.status.cost.account.total


def bought():
    """A volume that was ordered at noon and is seen at noon."""
    status = {
        "volumeID": "v-1",
        "providerName": "data",
        "incarnation": 1,
        "credentialFingerprint": "key-1",
        "cost": {"computeUSD": "0.00", "asOfTime": "2026-01-01T12:00:00Z", "account": {"total": {}, "earlier": {}}},
    }
    return kept(looked(status))


def test_a_volume_costs_its_month_by_the_hour():
    after = looked(bought(), hours=100)
    assert after.status.cost.hourly_usd == Decimal("0.45")
    assert abs(total(after).compute_usd - 100 * HOUR_OF_TWO_TIB) < Decimal("0.000001")
    assert (total(after).held_hours, total(after).uncertain_usd) == (200, 0)


def test_within_the_hour_nothing_is_written():
    status = kept(looked(bought(), hours=1))
    assert kept(looked(status, hours=1.9)) == status


def test_growth_between_two_looks_is_uncertain_in_between():
    after = looked(bought(), hours=10, size=5)
    assert abs(total(after).compute_usd - 10 * HOUR_OF_TWO_TIB) < Decimal("0.000001")
    assert abs(total(after).uncertain_usd - 10 * HOUR_OF_TWO_TIB * 3 / 2) < Decimal("0.000001")
    assert after.status.cost.hourly_usd == Decimal("1.12")


def test_how_often_it_was_looked_at_changes_nothing():
    status = bought()
    for hour in range(1, 73):
        status = kept(looked(status, hours=hour))
    assert abs(Decimal(status["cost"]["account"]["total"]["computeUSD"]) - 72 * HOUR_OF_TWO_TIB) < Decimal("0.000001")


def test_without_a_price_there_is_no_sum_and_one_that_comes_later_counts_from_the_beginning():
    unpriced = looked(bought(), hours=10, installation=replace(INSTALLATION, prices=Prices()))
    assert unpriced.status.cost.hourly_usd is None
    later = looked(kept(unpriced), hours=20)
    assert abs(total(later).compute_usd - 20 * HOUR_OF_TWO_TIB) < Decimal("0.000001")


def test_what_a_retained_volume_came_to_is_recorded_before_its_resource_goes():
    status = kept(looked(bought(), hours=100))
    decision = looked(status, hours=100, deleting=True, finalizer=True)
    record = next(action for action in decision.actions if isinstance(action, RecordUsage)).record
    lets_go(decision)
    line = record.as_line()
    assert (line["storageUSD"], line["tibHours"], line["kind"]) == ("44.89", "200.0000", "usage")
    assert line["intervals"] == [{"from": None, "until": "2026-01-05T16:00:00Z"}]


def test_the_last_record_holds_what_was_gone_before_anybody_could_write_it():
    view = a_view(volumes=(), begun=1000.0 + 3600, not_found={"v-1": 4600.0})
    around = circumstances(4600.0, now=NOW + timedelta(hours=1), installation=PRICED)
    (gone,) = last_record(replace(seen(a_volume(status=bought(), deleting=True), view), around=around))
    assert gone.record.uncertain_hours == pytest.approx(2 * Decimal(3601) / 3600)
