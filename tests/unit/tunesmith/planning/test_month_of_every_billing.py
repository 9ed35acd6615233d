"""The account of a cluster against the simulator's ledger over weeks, for every way of paying; and that of a volume."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.builders import HOUR, PROJECT, Played
from tests.unit.tunesmith.planning.month_builders import Kept, KeptVolume

from tunesmith.planning.price_table import BilledFrom, BilledUntil
from tunesmith.resources.timestamps import format_time
from tunesmith_simulator import desk
from tunesmith_simulator import happenings as happen
from tunesmith_simulator.cluster_orders import Billing
from tunesmith_simulator.refusals import RefusedError

CENT = Decimal("0.01")
DAY = 24
EVENTS = st.sampled_from(
    ["grow", "shrink", "preempt", "more", "fewer", "out of credit", "credit", "nothing", "nothing"]
)
STEPS = st.lists(
    st.tuples(st.integers(min_value=1, max_value=30 * HOUR), EVENTS, st.booleans()), min_size=1, max_size=24
)
PREEMPTIBLE, POOL = {"num_preemptible_gpus": 16}, {"capacity_pool_id": "pool-acme", "num_capacity_pool_gpus": 8}


def changed(kept: Kept, *, ends_at=None, **order) -> None:
    """The order of the cluster is another, or its end."""
    world, before = kept.world, kept.world.cluster(kept.cluster_id).order
    after = replace(before, **order)
    world.world = desk.change_order(world.world, world.visit(), kept.cluster_id, after, ends_at)


def happened(kept: Kept, event: str) -> None:
    cluster = kept.world.cluster(kept.cluster_id)
    with suppress(RefusedError):
        match event:
            case "grow":
                kept.world.resize(kept.cluster_id, min(cluster.num_gpus + 16, 64))
            case "shrink":
                kept.world.resize(kept.cluster_id, max(cluster.num_gpus - 8, 8))
            case "preempt":
                kept.world.happen(happen.Preempt(cluster=kept.cluster_id, node="gpu-preemptible-dp-*"))
            case "more":
                changed(kept, num_preemptible_gpus=24)
            case "fewer":
                changed(kept, num_preemptible_gpus=8)
            case "out of credit" | "credit":
                kept.world.happen(happen.Credit(project=PROJECT, has_credit=event == "credit"))


@pytest.mark.parametrize("order", [PREEMPTIBLE, POOL, {**PREEMPTIBLE, **POOL}], ids=["preemptible", "pool", "both"])
@pytest.mark.parametrize("begins", [BilledFrom.CREATED, BilledFrom.READY])
@settings(deadline=None, max_examples=8)
@given(steps=STEPS)
def test_preemptible_nodes_and_those_of_a_pool_are_counted_as_the_ledger_charges_them(order, begins, steps):
    kept = Kept(Played(), begins, BilledUntil.GONE, gpus=16, **order)
    kept.look()
    for seconds, event, looks in steps:
        kept.world.wait(seconds)
        happened(kept, event)
        if looks:
            kept.look()
    kept.world.wait(2 * HOUR)
    kept.look()
    assert equals_the_ledger(kept)


def scheduled(world: Played, *, starts_hours: int, ends_hours: int, **order) -> Kept:
    """Scheduled capacity of 16 GPUs, with its resource."""
    starts_at, ends_at = (world.now + timedelta(hours=hours) for hours in (starts_hours, ends_hours))
    billing = {"type": "ScheduledCapacity", "startTime": format_time(starts_at), "endTime": format_time(ends_at)}
    term = {"billing": Billing.SCHEDULED_CAPACITY, "starts_at": starts_at, "ends_at": ends_at}
    return Kept(
        world, BilledFrom.CREATED, BilledUntil.GONE, spec={"nodes": 2, "billing": billing}, gpus=16, **term, **order
    )


def looked_at(kept: Kept, *, hours: int, every: int = 1) -> None:
    """Some hours pass, with a look now and then."""
    for _ in range(0, hours, every):
        kept.world.wait(every * HOUR)
        kept.look()


def equals_the_ledger(kept: Kept) -> bool:
    return kept.total.uncertain_usd == 0 and abs(kept.total.compute_usd - kept.truth()) < CENT / 100


def test_scheduled_capacity_is_counted_whole_when_its_time_comes_and_never_by_the_hour():
    kept = scheduled(Played(), starts_hours=10, ends_hours=10 + 8 * 24)
    looked_at(kept, hours=9)
    assert (kept.total.compute_usd, kept.status.cost.hourly_usd) == (0, 0)
    looked_at(kept, hours=24)
    assert kept.total.compute_usd == 16 * 8 * 24 * Decimal("3.69")
    assert kept.status.cost.hourly_usd == 0
    assert equals_the_ledger(kept)
    looked_at(kept, hours=8 * 24)
    assert kept.world.cluster(kept.cluster_id).gone_at is not None
    assert kept.status.cost.as_of_time > kept.world.cluster(kept.cluster_id).gone_at
    assert equals_the_ledger(kept)


def test_of_scheduled_capacity_only_the_reserved_gpus_are_paid_ahead_where_the_order_names_them():
    kept = scheduled(Played(), starts_hours=10, ends_hours=10 + 8 * 24, num_reserved_gpus=8)
    looked_at(kept, hours=24)
    assert kept.status.cost.hourly_usd == 8 * Decimal("3.99")
    assert equals_the_ledger(kept)


def test_what_scheduled_capacity_grows_by_counts_by_the_hour():
    kept = scheduled(Played(), starts_hours=10, ends_hours=10 + 8 * 24)
    looked_at(kept, hours=24)
    kept.world.resize(kept.cluster_id, 32)
    looked_at(kept, hours=24)
    assert kept.status.cost.hourly_usd == 16 * Decimal("3.99")
    assert equals_the_ledger(kept)
    kept.world.resize(kept.cluster_id, 8)
    looked_at(kept, hours=24)
    assert kept.status.cost.hourly_usd == 0
    assert equals_the_ledger(kept)


@pytest.mark.parametrize("more_days", [2, 40])
def test_scheduled_capacity_that_is_extended_goes_on_at_the_price_of_the_term_that_was_ordered(more_days):
    kept = scheduled(Played(), starts_hours=10, ends_hours=10 + 8 * DAY)
    looked_at(kept, hours=2 * DAY)
    for _ in range(2):
        ends_at = kept.world.cluster(kept.cluster_id).ends_at + timedelta(days=more_days)
        changed(kept, ends_at=ends_at)
        kept.spec["billing"]["endTime"] = format_time(ends_at)
        looked_at(kept, hours=5)
        assert equals_the_ledger(kept)
    assert kept.total.compute_usd == 16 * (8 + 2 * more_days) * DAY * Decimal("3.69")


def reserved(**order) -> Kept:
    """Sixteen GPUs of which eight are reserved for eight days, with their resource."""
    billing = {"type": "Reserved", "durationDays": 8, "reservedNodes": 1}
    term = {"billing": Billing.RESERVED, "num_reserved_gpus": 8, "duration_days": 8}
    spec = {"nodes": 2, "billing": billing}
    return Kept(Played(), BilledFrom.CREATED, BilledUntil.GONE, spec=spec, gpus=16, **term, **order)


def test_a_reservation_that_is_extended_goes_on_at_the_price_of_the_term_that_was_ordered():
    kept = reserved()
    looked_at(kept, hours=2 * DAY)
    ends_at = kept.world.cluster(kept.cluster_id).ends_at + timedelta(days=40)
    changed(kept, ends_at=ends_at)
    kept.spec["billing"]["endTime"] = format_time(ends_at)
    looked_at(kept, hours=5)
    assert equals_the_ledger(kept)


@pytest.mark.parametrize("every", [1, 30], ids="looked at every {} hours".format)
def test_what_is_beyond_a_reservation_counts_until_its_end_and_nothing_after_it(every):
    kept = reserved()
    kept.look()
    looked_at(kept, hours=10 * DAY, every=every)
    kept.look()
    cluster = kept.world.cluster(kept.cluster_id)
    assert cluster.gone_at is not None
    assert kept.status.cost.hourly_usd == 0
    least, most = kept.total.compute_usd, kept.total.compute_usd + kept.total.uncertain_usd
    assert least - CENT / 2 <= kept.truth() <= most + CENT / 2
    assert most - least <= 8 * Decimal("3.99") * (2 * every + 1), "its absence is seen twice"


def test_a_volume_costs_what_the_ledger_charges_and_is_uncertain_only_between_the_looks_at_a_change():
    kept = KeptVolume(Played(), size_tib=2)
    kept.look()
    for hours, size_tib in ((200, 3), (250, 5)):
        volume_looked_at(kept, hours)
        kept.world.world = desk.grow_volume(kept.world.world, kept.world.visit(), kept.volume_id, size_tib)
    volume_looked_at(kept, 200)
    assert kept.total.compute_usd <= kept.truth() <= kept.total.compute_usd + kept.total.uncertain_usd
    assert kept.total.uncertain_hours == (3 - 2) + (5 - 3)


def test_a_volume_that_is_gone_costs_nothing_from_the_look_that_lacked_it():
    kept = KeptVolume(Played(), size_tib=2)
    kept.look()
    volume_looked_at(kept, 20)
    kept.world.world = desk.delete_volume(kept.world.world, kept.world.visit(), kept.volume_id)
    volume_looked_at(kept, 30)
    assert kept.world.volume(kept.volume_id).gone_at is not None
    assert kept.cost.hourly_usd == 0
    assert kept.total.compute_usd <= kept.truth() <= kept.total.compute_usd + kept.total.uncertain_usd
    assert kept.total.uncertain_hours <= 2 * (2 + Decimal(1) / 3600) + CENT


def volume_looked_at(kept: KeptVolume, hours: int) -> None:
    """It is looked at every hour for so long."""
    for _ in range(hours):
        kept.world.wait(HOUR)
        kept.look()
