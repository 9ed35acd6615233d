"""The stop watch: rates and the time left are those of this attempt's steps, whatever stands between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith_trainer.pace import Pace
from tunesmith_trainer.rhythm import Rhythm, Steps


class HandClock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def a_pace():
    clock = HandClock()
    return Pace(clock), clock


def take_steps(pace, clock, count, *, seconds, waited=0.0, tokens=100, start=0):
    for number in range(count):
        pace.begin_step()
        pace.waited(waited)
        clock.now += seconds
        pace.end_step(start + tokens * (number + 1))


def pause(pace, clock, kind, seconds):
    pace.begin_pause()
    clock.now += seconds
    pace.end_pause(kind)


def test_the_first_step_of_an_attempt_says_nothing():
    pace, clock = a_pace()
    take_steps(pace, clock, 1, seconds=500, start=90_000)
    assert (pace.tokens_per_second, pace.data_wait_share, pace.eta_seconds(901, 1000)) == (None, None, None)


def every(apart, total):
    return Steps(tuple(range(apart, total + 1, apart)))


def test_what_earlier_attempts_did_changes_no_rate():
    pace, clock = a_pace()
    take_steps(pace, clock, 1, seconds=500, start=90_000)
    take_steps(pace, clock, 3, seconds=2, waited=0.5, start=90_100)
    assert pace.tokens_per_second == 50
    assert pace.data_wait_share == 0.25
    assert pace.eta_seconds(904, 1000) == 96 * 2


def test_evaluations_and_saves_are_no_part_of_a_step_and_part_of_the_time_left():
    pace, clock = a_pace()
    pace.rhythm = Rhythm(every(10, 100), every(25, 100))
    take_steps(pace, clock, 3, seconds=2)
    pause(pace, clock, "Evaluating", 30)
    pause(pace, clock, "Saving", 8)
    take_steps(pace, clock, 1, seconds=2, start=300)
    assert pace.tokens_per_second == 50
    assert (pace.paused_seconds("Evaluating"), pace.paused_seconds("Saving")) == (30, 8)
    # From step 50 to 100: evaluations at 60, 70, 80, 90, 100, saves at 75 and 100.
    assert pace.eta_seconds(50, 100) == 50 * 2 + 5 * 30 + 2 * 8


def test_an_evaluation_that_was_never_measured_is_not_guessed():
    pace, clock = a_pace()
    pace.rhythm = Rhythm(every(10, 100))
    take_steps(pace, clock, 3, seconds=2)
    assert pace.eta_seconds(3, 100) == 97 * 2


def test_a_median_needs_some_steps_and_forgives_a_slow_one():
    pace, clock = a_pace()
    take_steps(pace, clock, 3, seconds=1)
    assert pace.median_step_seconds is None
    take_steps(pace, clock, 3, seconds=1, start=300)
    take_steps(pace, clock, 1, seconds=600, start=600)
    assert pace.median_step_seconds == 1


def test_at_the_end_nothing_is_left():
    pace, _ = a_pace()
    assert pace.eta_seconds(10, 10) == 0


@given(
    seconds=st.lists(st.floats(0.001, 100), min_size=2, max_size=60),
    apart=st.integers(1, 50),
    total=st.integers(1, 500),
    data=st.data(),
)
def test_the_time_left_is_never_negative_and_falls_with_every_step(seconds, apart, total, data):
    pace, clock = a_pace()
    pace.rhythm = Rhythm(every(apart, total), every(apart, total))
    for number, length in enumerate(seconds):
        take_steps(pace, clock, 1, seconds=length, start=100 * number)
    pause(pace, clock, "Saving", 3)
    step = data.draw(st.integers(0, total - 1))
    assert pace.eta_seconds(step, total) > pace.eta_seconds(step + 1, total) >= 0 == pace.eta_seconds(total, total)


@pytest.mark.parametrize("waited", [0.0, 1.0, 5.0])
def test_the_share_of_waiting_is_a_share(waited):
    pace, clock = a_pace()
    take_steps(pace, clock, 4, seconds=1, waited=waited)
    assert 0 <= pace.data_wait_share <= 1
