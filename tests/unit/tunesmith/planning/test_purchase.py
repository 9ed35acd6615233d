"""The intent protocol: how money is spent at most once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.planning.circumstances import Circumstances, Installation
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.purchase import (
    DEFINITE_REFUSALS,
    CloseIntent,
    Intent,
    LookFirst,
    Made,
    OpenIntent,
    Pause,
    Post,
    PurchaseMemory,
    Unsent,
    is_absent_twice,
    next_step,
    orders_unanswered,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
INTENT = Intent(name="ts-a", nonce="n1", started=NOW)


def around(monotonic=1000.0, now=NOW):
    return Circumstances(
        now=now, monotonic=monotonic, jitter=0.5, fresh_nonce="n2", installation=Installation(id="test")
    )


def own_memory(written=1000.0):
    return PurchaseMemory(first_seen=900.0).with_intent_written("n1", decided=written, written=written)


def test_nothing_is_intended_before_a_list_of_this_process():
    assert next_step(None, PurchaseMemory(first_seen=990.0), None, around()) == LookFirst(990.0)
    assert next_step(None, PurchaseMemory(first_seen=990.0), 980.0, around()) == LookFirst(990.0)
    assert isinstance(next_step(None, PurchaseMemory(first_seen=990.0), 995.0, around()), OpenIntent)


def test_a_purchase_waits_for_a_list_begun_after_its_intent_was_written():
    assert next_step(INTENT, own_memory(), 999.0, around(1001.0)) == LookFirst(1000.0)


def test_the_process_that_wrote_the_intent_buys_within_the_window():
    assert next_step(INTENT, own_memory(), 1000.5, around(1001.0)) == Post(deadline=1030.0)


def test_after_the_window_an_unused_intent_begins_again_at_once():
    assert isinstance(next_step(INTENT, own_memory(), 1000.5, around(1031.0)), OpenIntent)


def test_another_process_never_buys_under_an_intent_that_it_did_not_write():
    memory = PurchaseMemory(first_seen=1000.0).with_intent_seen("n1", 1000.0)
    assert isinstance(next_step(INTENT, memory, 1001.0, around(1002.0)), Pause)


def test_an_ambiguous_create_is_looked_up_before_anything_else_is_bought():
    memory = own_memory().with_post_begun("n1")
    memory = memory.with_post_answered("n1", Failure(ErrorClass.AMBIGUOUS, "?"), 1002.0)
    assert isinstance(next_step(INTENT, memory, 1003.0, around(1003.0)), Pause)
    late = around(1301.0, NOW + timedelta(seconds=301))
    assert next_step(INTENT, memory, 1003.0, late) == LookFirst(1300.0)
    assert isinstance(next_step(INTENT, memory, 1300.5, late), OpenIntent)


def answered(memory, count, answer):
    for order in range(count):
        memory = memory.with_intent_written(f"n{order}", decided=0.0, written=0.0).with_post_begun(f"n{order}")
        memory = memory.with_post_answered(f"n{order}", answer, 1.0)
    return memory


def test_orders_that_are_answered_by_errors_again_and_again_are_told_and_a_clear_answer_ends_that():
    broken = Failure(ErrorClass.AMBIGUOUS, "The provider answered 500.")
    assert orders_unanswered(answered(own_memory(), 2, broken)) is None
    often = answered(own_memory(), 3, broken)
    assert "3 orders in a row" in orders_unanswered(often)
    assert "The provider answered 500." in orders_unanswered(often)
    assert orders_unanswered(answered(often, 1, Failure(ErrorClass.NOT_SENT, "kept back"))) is not None
    assert orders_unanswered(answered(often, 1, Failure(ErrorClass.OUT_OF_STOCK, "none left"))) is None
    assert orders_unanswered(answered(often, 1, "c-1")) is None


def test_a_clock_that_jumps_ahead_does_not_shorten_the_settle_time():
    memory = PurchaseMemory(first_seen=1000.0).with_intent_seen("n1", 1000.0)
    assert isinstance(next_step(INTENT, memory, 1001.0, around(1002.0, NOW + timedelta(days=1))), Pause)


@pytest.mark.parametrize("error", sorted(DEFINITE_REFUSALS - {ErrorClass.NOT_SENT}))
def test_a_definite_refusal_closes_the_intent(error):
    memory = own_memory().with_post_begun("n1").with_post_answered("n1", Failure(error, "no"), 1001.0)
    assert next_step(INTENT, memory, 1000.5, around(1002.0)) == CloseIntent(Failure(error, "no"))


def test_after_a_refusal_the_next_try_waits_longer_each_time():
    memory, waits = PurchaseMemory(first_seen=900.0), []
    for number in range(1, 5):
        memory = memory.with_intent_written(f"n{number}", decided=1000.0, written=1000.0)
        memory = memory.with_post_begun(f"n{number}")
        memory = memory.with_post_answered(f"n{number}", Failure(ErrorClass.OUT_OF_STOCK, "none"), 1000.0)
        step = next_step(None, memory, 1000.0, around(1000.0))
        assert isinstance(step, Pause)
        waits.append(step.seconds)
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]


def test_the_providers_own_wish_for_a_pause_is_followed():
    memory = own_memory().with_post_begun("n1")
    memory = memory.with_post_answered("n1", Failure(ErrorClass.RATE_LIMITED, "slow", 77.0), 1000.0)
    assert next_step(None, memory, 1000.0, around(1000.0)) == Pause(
        77.0, Failure(ErrorClass.RATE_LIMITED, "slow", 77.0)
    )


def test_a_request_that_was_never_sent_is_made_again_soon_and_then_with_growing_pauses():
    unsent = Failure(ErrorClass.NOT_SENT, "-")
    memory = own_memory().with_post_begun("n1").with_post_answered("n1", unsent, 1001.0)
    assert next_step(INTENT, memory, 1000.5, around(1001.0)) == Unsent(0.75, unsent)
    assert isinstance(next_step(INTENT, memory, 1000.5, around(1002.0)), OpenIntent)
    for nonce in ("n2", "n3"):
        memory = memory.with_intent_written(nonce, decided=1002.0, written=1002.0).with_post_begun(nonce)
        memory = memory.with_post_answered(nonce, unsent, 1003.0)
    assert next_step(replace(INTENT, nonce="n3"), memory, 1002.5, around(1003.0)) == Unsent(3.0, unsent)
    sent = memory.with_intent_written("n4", decided=1, written=1).with_post_begun("n4").with_post_answered("n4", "c", 9)
    assert (sent.unsent, sent.last_unsent) == (0, None)


def test_the_answer_to_the_create_is_the_purchase():
    memory = own_memory().with_post_begun("n1").with_post_answered("n1", "id-1", 1001.0)
    assert next_step(INTENT, memory, 1000.5, around(1002.0)) == Made("id-1")


def test_a_nonce_is_posted_once():
    with pytest.raises(ValueError, match="no POST is allowed"):
        own_memory().with_post_begun("n1").with_post_begun("n1")
    with pytest.raises(ValueError, match="no POST is allowed"):
        PurchaseMemory(first_seen=0.0).with_intent_seen("n1", 0.0).with_post_begun("n1")


@given(
    posted=st.booleans(),
    error=st.sampled_from([None, *ErrorClass]),
    lists_begun=st.one_of(st.none(), st.floats(0, 5000)),
    elapsed=st.floats(0, 5000),
    clock_error=st.floats(-4000, 4000),
    own=st.booleans(),
)
def test_no_new_nonce_while_an_earlier_create_may_still_land(posted, error, lists_begun, elapsed, clock_error, own):
    memory = own_memory() if own else PurchaseMemory(first_seen=900.0).with_intent_seen("n1", 1000.0)
    if own and posted:
        memory = memory.with_post_begun("n1")
        if error is not None:
            memory = memory.with_post_answered("n1", Failure(error, "."), 1000.0)
    seen = around(1000.0 + elapsed, NOW + timedelta(seconds=elapsed + clock_error))
    step = next_step(INTENT, memory, lists_begun, seen)
    certain = own and (not posted or error in DEFINITE_REFUSALS)
    if isinstance(step, OpenIntent) and not certain:
        assert elapsed >= 300
        assert lists_begun is not None
        assert lists_begun >= 1300
    if isinstance(step, Post):
        assert own
        assert not posted
        assert elapsed <= 30


def test_gone_needs_two_clean_looks_apart_in_time():
    memory = PurchaseMemory(first_seen=0.0).with_look("c1", begun=100.0, present=False)
    assert not is_absent_twice(memory, "c1", 100.0, around(110.0))
    assert not is_absent_twice(memory, "c1", 129.0, around(130.0))
    assert is_absent_twice(memory, "c1", 130.0, around(131.0))
    assert not is_absent_twice(memory.with_look("c1", begun=120.0, present=True), "c1", 130.0, around(131.0))
    assert not is_absent_twice(memory, "c2", 130.0, around(131.0))


def test_an_unclean_look_proves_nothing():
    memory = PurchaseMemory(first_seen=0.0).with_look("c1", begun=None, present=False)
    assert replace(memory) == PurchaseMemory(first_seen=0.0)
