"""Early stopping, losses that are no numbers, and losses that jump: pure."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith_trainer.contract.surroundings import EarlyStopping
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.losses import Losses, SourceRows, ensure_finite
from tunesmith_trainer.patience import HeldOut


def after(losses, **rule):
    held_out = HeldOut()
    for step, loss in enumerate(losses, start=1):
        held_out = held_out.after(loss, step, EarlyStopping(**rule))
        if held_out.stopped_at_step:
            break
    return held_out


@pytest.mark.parametrize(
    ("losses", "rule", "best", "stopped"),
    [
        ([3, 2, 1], {"patience": 1}, 3, None),
        ([3, 2, 2.5], {"patience": 1}, 2, 3),
        ([3, 2, 2.5, 1], {"patience": 2}, 4, None),
        ([3, 2.9, 2.8], {"patience": 2, "min_delta": 0.5}, 3, 3),
        ([1, 3, 2.5], {"patience": 1, "warmup_evaluations": 1}, 3, None),
        ([1, 2, 3, 4], {"patience": 1, "warmup_evaluations": 3}, 4, None),
        ([math.nan, 2, 1], {"patience": 2}, 3, None),
        ([2, math.nan, math.inf, 1], {"patience": 2}, 1, 3),
        ([math.nan, math.nan], {"patience": 2}, None, 2),
    ],
)
def test_patience_counts_evaluations_without_progress(losses, rule, best, stopped):
    held_out = after(losses, **rule)
    assert (held_out.best_step, held_out.stopped_at_step) == (best, stopped)


@given(losses=st.lists(st.floats(0, 100), min_size=1), warmup=st.integers(0, 3), patience=st.integers(1, 4))
def test_the_best_is_the_lowest_after_the_warm_up(losses, warmup, patience):
    held_out = after(losses, patience=patience, warmup_evaluations=warmup)
    counted = losses[warmup : held_out.evaluations]
    assert held_out.best_loss == min(counted, default=None)
    if held_out.stopped_at_step:
        assert held_out.stopped_at_step - held_out.best_step >= patience


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_no_number_ends_the_attempt_and_names_step_rows_and_rate(loss, gradient):
    with pytest.raises(TrainerError) as raised:
        ensure_finite(7, loss, gradient, 0.001, lambda step: SourceRows("a.parquet", "row", range(step, step + 20)))
    assert raised.value.error_class is ErrorClass.DIVERGED
    assert "Step 7" in raised.value.message
    assert "from rows 7, 8, 9" in raised.value.message
    assert "and 4 more of 'a.parquet'" in raised.value.message
    assert "learning rate 0.001" in raised.value.message


def test_a_loss_that_stands_out_is_told_and_an_ordinary_one_is_not():
    losses = Losses()
    assert [losses.spike(step, 2.0 + 0.01 * (step % 3)) for step in range(20)] == [None] * 20
    assert losses.spike(20, 9.0) == "Step 20: the loss jumped to 9; over the last 20 steps it was 2.01."
    assert losses.spike(21, 2.0) is None
