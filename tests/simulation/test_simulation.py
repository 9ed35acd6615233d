"""Lives of the operator, whole, from seeds; and what makes their failures readable."""

import logging
import os
import random

import pytest
from tests.simulation.campaign import Report, campaign
from tests.simulation.faults import APPLICABLE, Boundary, Fault, Kind, Weather, planned
from tests.simulation.life import lived
from tests.simulation.shrinking import shrunk

STEPS = int(os.environ.get("TUNESMITH_SIMULATION_STEPS", "1000000"))


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("tunesmith").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tunesmith").setLevel(logging.NOTSET)


def played(seed, steps):
    report = Report(seed)
    for told in campaign(seed, steps=steps):
        report.add(told)
    return report


@pytest.mark.parametrize("seed", (10_000, 20_000, 30_000, 40_000))
def test_no_fault_makes_the_operator_buy_twice_or_forget_what_bills(seed):
    report = played(seed, 5_000)
    assert [(told.seed, told.violation) for told in report.failures] == []
    assert report.steps >= 5_000


@pytest.mark.prove
def test_simulation_of_a_million_steps_and_every_fault_at_every_boundary():
    report = played(1, STEPS)
    assert [(told.seed, told.violation) for told in report.failures] == []
    assert report.never_struck() == []


def test_the_same_seed_tells_the_same_life():
    first, again = lived(7), lived(7)
    assert (first.steps, first.passes, first.struck) == (again.steps, again.passes, again.struck)


def test_a_fault_strikes_at_its_crossing_and_not_while_it_is_calm():
    fault = Fault(0, Boundary.KUBE_GET, 1, Kind.DELAY, 0.5)
    weather = Weather((fault,), calm=True)
    assert weather.strikes(fault.boundary, 0.0) is None
    weather.calm = False
    assert weather.strikes(fault.boundary, 1.0) is fault
    assert weather.strikes(fault.boundary, 2.0) is None


def test_a_create_is_never_carried_out_twice_by_the_transport():
    for boundary in (Boundary.CLUSTER_CREATE, Boundary.VOLUME_CREATE):
        assert Kind.DUPLICATE not in APPLICABLE[boundary]


def test_shrinking_leaves_just_the_faults_that_it_takes():
    faults = planned(random.Random(1), 2)
    needed = {faults[1], faults[-1]}
    assert set(shrunk(faults, lambda some: needed <= set(some), 10_000)) == needed
