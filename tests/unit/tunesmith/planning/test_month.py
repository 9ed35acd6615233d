"""The account of a cluster against the simulator's ledger, over histories of a month with faults and outages."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.builders import HOUR, PROJECT, Played
from tests.unit.tunesmith.planning.month_builders import Kept

from tunesmith.planning.price_table import BilledFrom, BilledUntil
from tunesmith_simulator import happenings as happen
from tunesmith_simulator import repairs
from tunesmith_simulator.clusters import Billing
from tunesmith_simulator.refusals import RefusedError
from tunesmith_simulator.remediations import RemediationMode

CENT = Decimal("0.01")
KNOWN_ENDS = [(BilledFrom.CREATED, BilledUntil.GONE), (BilledFrom.READY, BilledUntil.GONE)]
RULES = [(begins, ends) for begins in BilledFrom for ends in BilledUntil]
EVENTS = st.sampled_from(["grow", "shrink", "out of credit", "credit", "nothing", "nothing"])
STEPS = st.lists(
    st.tuples(st.integers(min_value=1, max_value=30 * HOUR), EVENTS, st.booleans()), min_size=1, max_size=24
)


def happened(kept: Kept, event: str) -> None:
    cluster = kept.world.cluster(kept.cluster_id)
    with suppress(RefusedError):
        if event == "grow":
            kept.world.resize(kept.cluster_id, min(cluster.num_gpus + 16, 64))
        elif event == "shrink":
            kept.world.resize(kept.cluster_id, max(cluster.num_gpus - 8, 8))
        elif event == "out of credit":
            kept.world.happen(happen.Credit(project=PROJECT, has_credit=False))
        elif event == "credit":
            kept.world.happen(happen.Credit(project=PROJECT, has_credit=True))


def played(kept: Kept, steps) -> None:
    """Things happen; the operator looks only now and then: it was down in between."""
    for seconds, event, looks in steps:
        kept.world.wait(seconds)
        happened(kept, event)
        if looks:
            kept.look()


def replaced(kept: Kept) -> None:
    """A repair puts another machine into the place of the first node."""
    node = kept.world.cluster(kept.cluster_id).gpu_nodes[0]
    kept.world.world, _ = repairs.request_remediation(
        kept.world.world,
        kept.world.visit(),
        kept.cluster_id,
        node.instance_id,
        mode=RemediationMode.VM_ONLY,
        reason="NotReady",
    )


@pytest.mark.parametrize(("begins", "ends"), KNOWN_ENDS)
@pytest.mark.parametrize("every", [24, 100], ids="looked at every {} hours".format)
def test_a_month_with_repairs_equals_the_ledger_because_one_place_is_paid_once(begins, ends, every):
    kept = Kept(Played(), begins, ends, gpus=16)
    kept.look()
    for hour in range(24 * 30):
        kept.world.wait(HOUR)
        if hour in {50, 51 + 24, 500}:
            replaced(kept)
        if hour % every == every - 1:
            kept.look()
    kept.world.wait(2 * HOUR)
    kept.look()
    assert len(kept.world.cluster(kept.cluster_id).deleted_nodes) == 3
    assert kept.total.uncertain_usd == 0
    assert abs(kept.total.compute_usd - kept.truth()) < CENT / 100


def within(kept: Kept) -> None:
    least = kept.total.compute_usd
    assert least - CENT / 2 <= kept.truth() <= least + kept.total.uncertain_usd + CENT / 2


@pytest.mark.parametrize(("begins", "ends"), KNOWN_ENDS)
@settings(deadline=None, max_examples=8)
@given(steps=STEPS)
def test_the_account_of_a_month_equals_the_ledger_to_the_cent_where_both_ends_are_known(begins, ends, steps):
    kept = Kept(Played(), begins, ends, gpus=16)
    kept.look()
    played(kept, steps)
    kept.world.wait(2 * HOUR)
    kept.look()
    assert kept.total.uncertain_usd == 0
    assert abs(kept.total.compute_usd - kept.truth()) < CENT / 100


@pytest.mark.parametrize(("begins", "ends"), RULES)
@settings(deadline=None, max_examples=4)
@given(steps=STEPS, end_gap=st.integers(min_value=1, max_value=5 * HOUR))
def test_the_ledger_lies_within_the_stated_uncertainty_to_the_very_end(begins, ends, steps, end_gap):
    kept = Kept(Played(), begins, ends, gpus=16)
    kept.look()
    played(kept, steps)
    kept.look()
    within(kept)
    kept.world.delete(kept.cluster_id)
    kept.look(deleting=True)
    for seconds in (end_gap, end_gap, 2 * HOUR, 2 * HOUR):
        kept.world.wait(seconds)
        kept.look(deleting=True)
    assert kept.world.cluster(kept.cluster_id).gone_at is not None
    within(kept)
    (record,) = kept.records.values()
    assert record.usd == kept.total.compute_usd


def test_how_often_it_was_looked_at_changes_nothing():
    often, seldom = (Kept(Played(), BilledFrom.CREATED, BilledUntil.GONE, gpus=16) for _ in range(2))
    for kept, every in ((often, 1), (seldom, 24)):
        kept.look()
        for hour in range(24 * 10):
            kept.world.wait(HOUR)
            happened(kept, {50: "grow", 100: "out of credit", 110: "credit", 180: "shrink"}.get(hour, "nothing"))
            if hour % every == every - 1:
                kept.look()
    assert often.status.cost.as_of_time == seldom.status.cost.as_of_time
    assert abs(often.total.compute_usd - seldom.total.compute_usd) < CENT / 1000


def test_a_reservation_is_counted_whole_when_it_begins_and_what_is_beyond_it_by_the_hour():
    kept = Kept(
        Played(),
        BilledFrom.READY,
        BilledUntil.GONE,
        gpus=16,
        billing=Billing.RESERVED,
        num_reserved_gpus=8,
        duration_days=30,
    )
    kept.look()
    kept.world.wait(10 * HOUR)
    kept.look()
    kept.world.wait(HOUR)
    kept.look()
    assert kept.total.compute_usd > 8 * 24 * 30 * Decimal("3.69")
    assert abs(kept.total.compute_usd - kept.truth()) < CENT


def test_an_hour_of_looks_at_a_cluster_in_which_nothing_happens_is_one_write():
    kept = Kept(Played(), BilledFrom.CREATED, BilledUntil.GONE, gpus=8)
    kept.world.wait(2 * HOUR)
    kept.look()
    before = kept.writes
    for _ in range(60):
        kept.world.wait(60)
        kept.look()
    assert kept.writes - before == 1
