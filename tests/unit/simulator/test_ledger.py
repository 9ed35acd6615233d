"""What the provider charges: by the second, at its own moments, and equal to counting every second by hand."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.builders import HOUR, PROJECT, REGION, Played

from tunesmith_simulator import desk, machines, repairs
from tunesmith_simulator import happenings as happen
from tunesmith_simulator.cluster_orders import Billing
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.courses import ClusterCourse
from tunesmith_simulator.desk import VolumeOrder
from tunesmith_simulator.ledger import ON_DEMAND, PREEMPTIBLE, RESERVED, STORAGE, Ledger, dollars, ledger
from tunesmith_simulator.machines import NodePhase, Source
from tunesmith_simulator.refusals import RefusedError
from tunesmith_simulator.remediations import RemediationMode

RATE = Fraction("3.99")
DAY = 24 * HOUR


@pytest.fixture
def world() -> Played:
    return Played()


def book(world: Played) -> Ledger:
    return ledger(world.world, world.now)


def hours(begins: datetime, until: datetime) -> Fraction:
    return Fraction((until - begins) // timedelta(microseconds=1), 3_600_000_000)


@pytest.mark.parametrize("bill_from", ["Created", "Ready"])
@pytest.mark.parametrize("bill_until", ["DeleteRequested", "Gone"])
def test_a_cluster_is_charged_between_the_ends_that_the_rules_name(world, bill_from, bill_until):
    world.billed(bill_from, bill_until)
    bought = world.buy(gpus=16)
    world.wait(10 * HOUR)
    asked = world.now
    world.delete(bought)
    world.wait(HOUR)
    cluster = world.cluster(bought)
    begins = cluster.created_at if bill_from == "Created" else cluster.first_ready_at
    until = asked if bill_until == "DeleteRequested" else cluster.gone_at
    assert begins is not None
    assert until is not None
    (charge,) = book(world).of(bought).charges
    assert (charge.kind, charge.begins, charge.until, charge.units) == (ON_DEMAND, begins, until, 16)
    assert charge.usd == 16 * RATE * hours(begins, until)


def test_what_never_became_ready_costs_nothing_where_ready_is_what_counts(world):
    world.billed("Ready").with_courses(ClusterCourse(tests_fail="ACCEPTANCE_TESTS_FAILED"))
    world.buy()
    world.wait(100 * HOUR)
    assert book(world).usd == 0


def test_nodes_are_charged_from_and_to_their_own_moments(world):
    world.billed("Created", "DeleteRequested")
    cluster = world.buy(gpus=16)
    world.wait(HOUR)
    world.resize(cluster, 32)
    world.wait(HOUR)
    world.resize(cluster, 8)
    world.wait(HOUR)
    assert [charge.units for charge in book(world).of(cluster).charges] == [16, 32, 8]
    assert book(world).usd == RATE * (16 + 32 + 8)
    assert book(world).unit_hours_of(ON_DEMAND) == 56


def test_a_node_that_is_added_late_is_charged_from_when_it_runs_where_ready_counts(world):
    world.billed("Ready", "Gone")
    cluster = world.buy(gpus=8)
    world.wait(HOUR)
    world.resize(cluster, 16)
    world.wait(HOUR)
    added = world.cluster(cluster).gpu_nodes[1].since
    assert [charge.begins for charge in book(world).of(cluster).charges][1] == added


@pytest.mark.parametrize("mode", ["REMEDIATION_MODE_VM_ONLY", "REMEDIATION_MODE_HOST_AWARE"])
def test_a_node_that_is_replaced_is_charged_once(world, mode):
    bought = world.buy(gpus=8)
    world.wait(HOUR)
    instance = world.cluster(bought).gpu_nodes[0].instance_id
    world.world, _ = repairs.request_remediation(
        world.world, world.visit(), bought, instance, mode=RemediationMode(mode), reason=""
    )
    world.wait(HOUR)
    assert world.cluster(bought).gpu_nodes[0].replaces == instance
    assert [charge.units for charge in book(world).of(bought).charges] == [8]
    assert book(world).usd == 8 * RATE * 2


def test_two_nodes_that_are_there_for_one_place_are_charged_as_one(world):
    bought = world.buy(gpus=8)
    world.wait(HOUR)
    cluster = world.cluster(bought)
    (old,) = cluster.gpu_nodes
    history = (replace(old.history[0], time=world.now),)
    new = replace(old, instance_id="new", host_name="new", replaces=old.instance_id, history=history)
    leaving = replace(old, leaves_at=world.now + timedelta(minutes=10))
    world.world = world.world.with_cluster(replace(cluster, gpu_nodes=(leaving, new)))
    world.wait(HOUR)
    assert book(world).usd == 8 * RATE * 2


def test_paused_for_want_of_credit_is_not_charged(world):
    cluster = world.buy(gpus=8)
    world.wait(HOUR)
    world.happen(happen.Credit(project=PROJECT, has_credit=False))
    world.wait(5 * HOUR)
    assert book(world).of(cluster).usd_per_hour == 0
    world.happen(happen.Credit(project=PROJECT, has_credit=True))
    assert book(world).of(cluster).usd_per_hour == 8 * RATE
    world.wait(HOUR)
    assert [charge.units for charge in book(world).of(cluster).charges] == [8, 8]
    assert book(world).usd == 8 * RATE * 2


@pytest.mark.parametrize(("days", "usd"), [(1, "3.99"), (7, "3.69"), (30, "3.69"), (31, "3.45"), (90, "3.45")])
def test_a_reservation_is_charged_whole_at_ready_by_its_term(world, days, usd):
    cluster = world.buy(gpus=16, billing=Billing.RESERVED, num_reserved_gpus=16, duration_days=days)
    assert book(world).usd == 0
    world.wait(HOUR)
    assert book(world).usd == book(world).usd_of(RESERVED) == 16 * 24 * days * Fraction(usd)
    world.delete(cluster)
    world.wait(200 * DAY)
    assert book(world).usd == 16 * 24 * days * Fraction(usd)


def test_what_is_used_beyond_a_reservation_is_charged_on_demand(world):
    cluster = world.buy(gpus=8, billing=Billing.RESERVED, num_reserved_gpus=8, duration_days=7)
    world.wait(HOUR)
    world.resize(cluster, 24)
    world.wait(HOUR)
    assert book(world).usd_of(ON_DEMAND) == 16 * RATE


def test_scheduled_capacity_is_charged_whole_when_its_time_comes(world):
    starts_at, ends_at = world.now + timedelta(hours=10), world.now + timedelta(hours=20)
    world.buy(gpus=8, billing=Billing.SCHEDULED_CAPACITY, starts_at=starts_at, ends_at=ends_at)
    world.wait(9 * HOUR)
    assert book(world).usd == 0
    world.wait(HOUR)
    assert book(world).usd == 8 * 10 * RATE
    world.wait(DAY)
    assert book(world).usd == 8 * 10 * RATE


def test_a_reservation_that_is_prolonged_costs_the_longer_term(world):
    bought = world.buy(gpus=8, billing=Billing.RESERVED, num_reserved_gpus=8, duration_days=7)
    world.wait(HOUR)
    cluster = world.cluster(bought)
    assert cluster.ends_at is not None
    world.world = world.world.with_cluster(replace(cluster, ends_at=cluster.ends_at + timedelta(days=1)))
    assert book(world).usd == 8 * 24 * 8 * Fraction("3.69")


def test_preemptible_nodes_have_a_price_of_their_own(world):
    cluster = world.buy(gpus=8, num_preemptible_gpus=16)
    world.wait(HOUR)
    before = book(world).usd_of(ON_DEMAND), book(world).usd_of(PREEMPTIBLE)
    world.wait(HOUR)
    after = book(world).usd_of(ON_DEMAND), book(world).usd_of(PREEMPTIBLE)
    assert (after[0] - before[0], after[1] - before[1]) == (8 * RATE, 16 * Fraction("1.99"))
    assert book(world).of(cluster).usd_per_hour == 8 * RATE + 16 * Fraction("1.99")


def test_a_node_is_not_charged_while_it_is_a_capacity_pools(world):
    bought = world.buy(gpus=16)
    world.wait(HOUR)
    cluster = world.cluster(bought)
    moved = machines.moved(cluster.gpu_nodes[0], Source.CAPACITY_POOL, world.now)
    world.world = world.world.with_cluster(cluster.with_node(moved))
    world.wait(HOUR)
    assert book(world).usd == 16 * RATE + 8 * RATE


def test_a_volume_is_charged_from_made_to_gone_by_the_steps_of_its_size(world):
    volume = world.buy_volume(size_tib=1)
    world.wait(HOUR)
    world.world = desk.grow_volume(world.world, world.visit(), volume, 3)
    world.wait(HOUR)
    world.world = desk.delete_volume(world.world, world.visit(), volume)
    world.wait(HOUR)
    charges = book(world).of(volume).charges
    gone_at = world.volume(volume).gone_at
    assert [(charge.kind, charge.units) for charge in charges] == [(STORAGE, 1), (STORAGE, 3)]
    assert charges[-1].until == gone_at
    tib_hours = 1 + 3 * hours(charges[1].begins, gone_at)
    assert book(world).usd == tib_hours * Fraction("163.84") / 730


def test_dollars_are_decimal_numbers():
    assert dollars(Fraction(1, 3)) == Decimal("0.333333333333")
    assert dollars(Fraction("63.84")) == Decimal("63.84")


# ---- counted by hand: what is charged in each second, told from the world as it is in that second -------------------


def charged_now(cluster: Cluster, bill_from: str, bill_until: str, source: Source) -> int:
    """How many GPUs are charged for in the second that begins, from what the cluster is now."""
    if cluster.gone_at is not None or cluster.status == "OnDemandComputePaused":
        return 0
    if bill_until == "DeleteRequested" and cluster.leaving:
        return 0
    if bill_from == "Ready" and cluster.first_ready_at is None:
        return 0
    nodes = [node for node in cluster.gpu_nodes if node.source is source]
    if bill_from == "Ready":
        nodes = [node for node in nodes if any(step.phase is NodePhase.RUNNING for step in node.history)]
    if bill_until == "DeleteRequested":
        nodes = [node for node in nodes if node.leaving_since is None]
    reserved = cluster.order.num_reserved_gpus if source is Source.STANDARD else 0
    return max(0, sum(node.num_gpus for node in nodes) - reserved)


STEP = 10
"""Seconds between two looks; every duration and every move of these histories is a multiple."""

MOVES = ["buy", "reserve", "grow", "shrink", "delete", "fail", "preempt", "out", "in", "volume", "grow_volume", "drop"]
ACTS = st.lists(
    st.tuples(st.sampled_from(MOVES), st.integers(0, 3), st.sampled_from([0, 3, 20, 70])), min_size=3, max_size=12
)
"""What is done, to which of those that are there, and how many looks pass after it."""


def act(world: Played, what: str, which: int) -> None:
    living = [each.cluster_id for each in world.world.clusters.values() if each.gone_at is None]
    volumes = [each.volume_id for each in world.world.volumes.values() if each.gone_at is None]
    one = living[which % len(living)] if living else None
    match what:
        case "buy":
            world.buy(f"c{which}", gpus=8 * (which + 1))
        case "reserve":
            world.buy("r", gpus=16, billing=Billing.RESERVED, num_reserved_gpus=8, duration_days=1)
        case "grow" | "shrink" if one:
            world.resize(one, 8 * (4 if what == "grow" else 1))
        case "delete" if one:
            world.delete(one)
        case "fail" if one:
            world.happen(happen.FailNode(cluster=one, node=which))
        case "preempt" if one:
            world.happen(happen.Preempt(cluster=one, node=which))
        case "out" | "in":
            world.happen(happen.Credit(project=PROJECT, has_credit=what == "in"))
        case "volume":
            world.buy_volume(f"v{which}", size_tib=which + 1)
        case "grow_volume" if volumes:
            volume = world.volume(volumes[which % len(volumes)])
            world.world = desk.grow_volume(world.world, world.visit(), volume.volume_id, volume.size_tib + which)
        case "drop" if volumes:
            world.world = desk.delete_volume(world.world, world.visit(), volumes[which % len(volumes)])


@settings(max_examples=120, deadline=None)
@given(ACTS, st.sampled_from(["Created", "Ready"]), st.sampled_from(["DeleteRequested", "Gone"]))
def test_the_ledger_equals_what_is_counted_second_by_second(acts, bill_from, bill_until):
    world = Played().billed(bill_from, bill_until)
    pace = world.world.pace
    durations = pace.durations.model_copy(
        update={"node_leaving_seconds": 40, "volume_scheduled_seconds": 10, "preemption_notice_seconds": 60}
    )
    world.world = replace(world.world, pace=pace.model_copy(update={"durations": durations}))
    counted = {ON_DEMAND: 0, PREEMPTIBLE: 0, STORAGE: 0}
    terms = Fraction(0)
    for what, which, steps in [("buy", 2, 70), *acts, ("rest", 0, 120)]:
        with suppress(RefusedError):
            act(world, what, which)
        for _ in range(steps):
            for cluster in world.world.clusters.values():
                counted[ON_DEMAND] += STEP * charged_now(cluster, bill_from, bill_until, Source.STANDARD)
            counted[STORAGE] += STEP * sum(v.size_tib for v in world.world.volumes.values() if v.gone_at is None)
            world.wait(STEP)
    for cluster in world.world.clusters.values():
        if cluster.order.billing is Billing.RESERVED and cluster.first_ready_at is not None:
            terms += 8 * 24 * RATE
    found = book(world)
    assert found.usd_of(ON_DEMAND) == Fraction(counted[ON_DEMAND], 3600) * RATE
    assert found.usd_of(STORAGE) == Fraction(counted[STORAGE], 3600) * Fraction("163.84") / 730
    assert found.usd_of(RESERVED) == terms
    assert found.usd == found.usd_of(ON_DEMAND) + found.usd_of(STORAGE) + found.usd_of(RESERVED)


def test_an_inline_volume_is_charged_beside_its_cluster(world):
    world.buy(gpus=8, volume=VolumeOrder("inline", REGION, 2, lifecycle_independent=False))
    world.wait(HOUR)
    assert book(world).unit_hours_of(STORAGE) == 2
