"""Which requests a fault strikes: by route, number, chance and time, and always the same ones for the same seed."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.simulator.builders import BEGIN

from tunesmith_simulator.faults import Answer, Asked, Cut, Delay, Fault, FaultBook, Rewrite
from tunesmith_simulator.http.route_names import asked_for

BROKEN = Answer(status=503)
CREATE = Asked("POST", "clusters")


def a_book(*faults: Fault, seed: int = 7) -> FaultBook:
    book = FaultBook(seed)
    for fault in faults:
        book = book.with_fault(fault, BEGIN)
    return book


def struck(book: FaultBook, asked: list[Asked], seconds_between: float = 1) -> list[tuple[int, ...]]:
    """The numbers of the faults that each request meets."""
    met = []
    for index, each in enumerate(asked):
        book, strikes = book.meet(each, BEGIN + timedelta(seconds=index * seconds_between))
        met.append(tuple(strike.number for strike in strikes))
    return met


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/v1/compute/clusters", Asked("LIST", "clusters")),
        ("GET", "/v1/compute/clusters/c-1", Asked("GET", "clusters", "c-1")),
        ("POST", "/v1/compute/clusters", Asked("POST", "clusters")),
        ("PUT", "/v1/compute/clusters/storage/volumes", Asked("PUT", "volumes")),
        ("DELETE", "/v1/compute/clusters/storage/volumes/v-1", Asked("DELETE", "volumes", "v-1")),
        ("GET", "/v1/compute/regions", Asked("LIST", "regions")),
        ("GET", "/v1/compute/clusters/c/instances/-/remediations", Asked("LIST", "remediations")),
        ("POST", "/v1/compute/clusters/c/instances/i/remediations/r/approve", Asked("POST", "remediations", "r")),
        ("GET", "/gpu_clusters", Asked("LIST", "clusters")),
        ("DELETE", "/api/v1/gpu_cluster/c-1", Asked("DELETE", "clusters", "c-1")),
        ("POST", "/v1/shared_volume", Asked("POST", "volumes")),
        ("GET", "/v1/nothing", Asked("LIST", "other")),
    ],
)
def test_a_request_is_known_by_verb_collection_and_object_in_every_dialect(method, path, asked):
    assert asked_for(method, path) == asked


@pytest.mark.parametrize(
    ("fault", "strikes"),
    [
        (Fault(effect=BROKEN), True),
        (Fault(route="POST clusters", effect=BROKEN), True),
        (Fault(route="* clusters", effect=BROKEN), True),
        (Fault(route="POST *", effect=BROKEN), True),
        (Fault(route="LIST clusters", effect=BROKEN), False),
        (Fault(route="POST volumes", effect=BROKEN), False),
        (Fault(effect=BROKEN, account="globex"), False),
        (Fault(effect=BROKEN, object_id="c-*"), False),
    ],
)
def test_a_fault_strikes_the_requests_that_it_names(fault, strikes):
    assert struck(a_book(fault), [CREATE]) == [(1,) if strikes else ()]


def test_a_fault_strikes_the_next_requests_and_is_spent():
    assert struck(a_book(Fault(effect=BROKEN, next_requests=2)), [CREATE] * 4) == [(1,), (1,), (), ()]


def test_a_fault_waits_for_its_time_and_ends_with_it():
    fault = Fault(effect=BROKEN, after_seconds=2, for_seconds=3)
    assert struck(a_book(fault), [CREATE] * 7) == [(), (), (1,), (1,), (1,), (), ()]


def test_of_two_faults_that_end_a_request_the_second_is_kept_for_later():
    book = a_book(Fault(effect=BROKEN, next_requests=1), Fault(effect=Cut(), next_requests=1))
    assert struck(book, [CREATE] * 3) == [(1,), (2,), ()]


def test_delays_and_rewrites_come_together_with_what_ends_a_request():
    book = a_book(Fault(effect=Delay(seconds=1)), Fault(effect=Rewrite()), Fault(effect=BROKEN))
    assert struck(book, [CREATE]) == [(1, 2, 3)]


@pytest.mark.parametrize("route", ["clusters", "FETCH clusters", "POST planets", ""])
def test_a_route_that_is_none_is_refused(route):
    with pytest.raises(ValidationError):
        Fault(route=route, effect=BROKEN)


ANY_ASKED = st.builds(
    Asked, st.sampled_from(["LIST", "GET", "POST", "DELETE"]), st.sampled_from(["clusters", "volumes"])
)


@given(st.lists(ANY_ASKED, max_size=40), st.integers(0, 2**32), st.floats(0.01, 1))
def test_the_same_seed_and_the_same_requests_meet_the_same_faults(asked, seed, probability):
    faults = [Fault(effect=BROKEN, probability=probability), Fault(route="POST *", effect=Cut(), probability=0.5)]
    assert struck(a_book(*faults, seed=seed), asked) == struck(a_book(*faults, seed=seed), asked)


def test_another_seed_meets_others():
    fault = Fault(effect=BROKEN, probability=0.5)
    runs = {tuple(struck(a_book(fault, seed=seed), [CREATE] * 30)) for seed in range(10)}
    assert len(runs) == 10


def test_requests_of_another_route_do_not_change_whom_a_fault_strikes():
    fault = Fault(route="POST clusters", effect=BROKEN, probability=0.5)
    alone = struck(a_book(fault), [CREATE] * 20)
    mixed = struck(a_book(fault), [Asked("LIST", "volumes"), CREATE] * 20, seconds_between=0)
    assert mixed[1::2] == alone
