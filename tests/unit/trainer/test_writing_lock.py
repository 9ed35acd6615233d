"""The lock for what is written over many runs: one holder, a successor when it died, and the old one finds out."""

import threading

import pytest
from tests.unit.trainer.fetch_builders import QUICK

from tunesmith_trainer.exit_codes import TrainerError
from tunesmith_trainer.locks import Rhythm
from tunesmith_trainer.writing_lock import held

DEAD = Rhythm(touch_seconds=1000, stale_seconds=0.2, look_seconds=0.02)


def numbers(directory):
    return sorted(int(path.name) for path in directory.iterdir())


def test_one_after_the_other_and_never_two(tmp_path):
    inside, most, done = [], [], []

    def work():
        with held(tmp_path / "lock", rhythm=QUICK):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()
            done.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(done)) == (1, 6)
    assert numbers(tmp_path / "lock") == [6]


def test_a_holder_that_is_silent_is_followed_and_finds_out(tmp_path):
    with held(tmp_path / "lock", rhythm=DEAD) as old, held(tmp_path / "lock", rhythm=DEAD) as new:
        assert not old.beat()
        with pytest.raises(TrainerError, match="was taken over by another process"):
            old.ensure()
        new.ensure()
        # The old one's end does not let a third one in beside the second's number.
    assert numbers(tmp_path / "lock") == [2]


def test_a_holder_that_lives_is_waited_for(tmp_path):
    looked = []

    class GivenUp(Exception):
        pass

    def look():
        looked.append(1)
        if len(looked) > 3 * QUICK.stale_seconds / QUICK.look_seconds:
            raise GivenUp

    with (
        held(tmp_path / "lock", rhythm=QUICK),
        pytest.raises(GivenUp),
        held(tmp_path / "lock", waiting=look, rhythm=QUICK),
    ):
        pass
    with held(tmp_path / "lock", rhythm=QUICK) as lock:
        lock.ensure()


def test_a_number_made_too_late_does_not_count(tmp_path):
    """One who looked when 1 was the highest, and comes when 3 is, must not believe in the 2 that it can make."""
    from tunesmith_trainer.writing_lock import _created

    (tmp_path / "3").touch()
    assert _created(tmp_path, 2) is None
    assert numbers(tmp_path) == [3]
