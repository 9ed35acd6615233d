"""When training evaluates and saves: exactly as often as asked for, and before too much would be lost."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.following import Follower
from tunesmith_trainer.rhythm import Rhythm, Steps, rhythm_of, spread
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.testing import tiny_configuration
from tunesmith_trainer.world import World


@given(st.integers(1, 500), st.integers(1, 500))
def test_so_many_as_asked_for_the_last_step_among_them_and_no_gap_wider_than_another_by_more_than_one(total, count):
    steps = spread(total, count).numbers
    assert len(steps) == min(total, count)
    assert steps[-1] == total
    gaps = [after - before for before, after in zip((0, *steps), steps, strict=False)]
    assert max(gaps) - min(gaps) <= 1


@given(st.sets(st.integers(1, 50)), st.integers(0, 51))
def test_steps_know_what_is_among_them_and_what_is_to_come(numbers, step):
    steps = Steps(tuple(sorted(numbers)))
    assert (step in steps) == (step in numbers)
    assert steps.after(step) == sum(1 for number in numbers if number > step)


@pytest.mark.parametrize(
    ("checkpoints", "saved"),
    [({"everySteps": 4}, (4, 8, 10)), ({"everySteps": 20}, (10,)), ({"count": 3}, (4, 7, 10)), ({"count": 1}, (10,))],
)
def test_what_the_configuration_asks_for(tmp_path, checkpoints, saved):
    document = tiny_configuration(tmp_path, evaluations={"count": 6})
    document["checkpoints"] = checkpoints
    rhythm = rhythm_of(Configuration.model_validate(document), 10)
    assert rhythm.saved.numbers == saved
    assert rhythm.evaluated.numbers == ()
    document["data"]["validation"] = document["data"]["training"]
    assert rhythm_of(Configuration.model_validate(document), 10).evaluated.numbers == (2, 4, 5, 7, 9, 10)


@pytest.mark.parametrize(
    ("apart", "passed", "takes", "saves"),
    [
        (None, 9999.0, None, False),
        (900, 899.0, None, False),
        (900, 901.0, None, True),
        (900, 901.0, 5.0, True),
        (900, 901.0, 120.0, False),
        (900, 1201.0, 120.0, True),
    ],
)
def test_it_is_saved_when_too_much_would_be_lost_and_not_so_often_that_saving_costs_more(
    tmp_path, apart, passed, takes, saves
):
    document = tiny_configuration(tmp_path)
    document["checkpoints"] = {"count": 1} | ({} if apart is None else {"maxSecondsApart": apart})
    keeper = SimpleNamespace(
        news=list, troubles=list, failure=None, seconds_of_a_save=takes, seconds_since_a_save=passed
    )
    follower = Follower(
        Configuration.model_validate(document),
        world=World(0, 1, 0),
        stop=StopWish(),
        reporter=SimpleNamespace(),
        keeper=keeper,
        memory=Memory(),
        rhythm=Rhythm(saved=Steps((50,))),
    )
    control = SimpleNamespace(should_save=False, should_evaluate=False)
    follower.on_step_end(SimpleNamespace(), SimpleNamespace(global_step=7, max_steps=50), control)
    assert control.should_save is saves
