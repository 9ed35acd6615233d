"""Progress: a bounded history, and what is a stall and what is not."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.planning.contract import Heartbeat
from tunesmith.planning.progress import (
    HISTORY_POINTS,
    SECONDS_FOR_ITS_LAST_WORDS,
    LossPoint,
    Report,
    merged,
    stalled,
)


def points(*steps: int) -> tuple[LossPoint, ...]:
    return tuple(LossPoint(step, 1.0) for step in steps)


def a_heartbeat(**changes: object) -> Heartbeat:
    facts = {"time": datetime(2025, 11, 8, tzinfo=UTC), "attempt": 1, "stage": "Training", "last_step": 7}
    return Heartbeat(**{**facts, **changes})


def test_silence_is_a_stall_only_while_the_log_can_be_read():
    silent = Report(1, since_monotonic=0, heard_monotonic=100)
    assert stalled(silent, 300, 399) is None
    assert "300 s" in stalled(silent, 300, 400)
    assert stalled(Report(1, readable=False, heard_monotonic=100), 300, 1e6) is None
    assert stalled(None, 300, 1e6) is None


def test_silence_counts_from_when_the_log_could_be_read_again():
    assert stalled(Report(1, since_monotonic=350, heard_monotonic=100), 300, 400) is None


def test_a_heartbeat_that_says_so_is_a_stall_once_the_trainer_had_time_to_end_itself():
    report = Report(1, heard_monotonic=100, stalled_monotonic=100, heartbeat=a_heartbeat(stalled=True))
    assert stalled(report, 3600, 100 + SECONDS_FOR_ITS_LAST_WORDS - 1) is None
    assert "step 7" in stalled(report, 3600, 100 + SECONDS_FOR_ITS_LAST_WORDS)


def test_a_resumed_attempt_replaces_what_the_lost_one_reported_beyond_it():
    assert [p.step for p in merged(points(1, 2, 3, 4, 5), points(3))] == [1, 2, 3]


def test_an_evaluation_that_is_told_after_its_step_joins_it():
    step, evaluated = LossPoint(10, 1.0), LossPoint(10, 1.0, 0.9)
    assert merged(merged((), (step,)), (evaluated,)) == (evaluated,)
    assert merged((evaluated,), (step,)) == (evaluated,)


def test_losses_on_held_out_rows_are_thinned_out_last():
    curve = tuple(LossPoint(step, 1.0, 0.5 if step % 50 == 0 else None) for step in range(1, 501))
    assert [p.step for p in merged((), curve) if p.evaluation_loss is not None] == list(range(50, 501, 50))


steps_strategy = st.lists(st.integers(1, 1000), max_size=300, unique=True).map(sorted)


curve_strategy = steps_strategy.flatmap(
    lambda steps: st.lists(st.sampled_from([None, 0.5]), min_size=len(steps), max_size=len(steps)).map(
        lambda losses: tuple(LossPoint(step, 1.0, loss) for step, loss in zip(steps, losses, strict=True))
    )
)


@given(curve_strategy, curve_strategy)
def test_the_history_is_bounded_in_order_keeps_the_newest_and_comes_to_rest(first, second):
    once = merged(merged((), first), second)
    assert len(once) <= HISTORY_POINTS
    assert [p.step for p in once] == sorted({p.step for p in once})
    if second:
        assert once[-1].step == second[-1].step
    assert merged(once, second) == once
