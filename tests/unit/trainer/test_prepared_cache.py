"""Prepared data is shared by all jobs of a storage: made once, believed only when its bytes are right."""

import os
import subprocess
import sys
import threading
import time

import pytest

from tunesmith_trainer.contract.messages import DatasetSaid
from tunesmith_trainer.data.cache import ROWS_FILE, SUMMARY_FILE, kept
from tunesmith_trainer.locks import Rhythm, once

SAID = DatasetSaid(rows=1, trained=1, tokens=3)
QUICK = Rhythm(touch_seconds=0.02, stale_seconds=0.3, look_seconds=0.01)


class Maker:
    """Counts how often it was asked."""

    def __init__(self, text="rows"):
        self.calls, self.text = 0, text

    def __call__(self, path):
        self.calls += 1
        path.write_text(self.text)
        return SAID


@pytest.fixture()
def make():
    return Maker()


def test_what_is_made_is_found_again_and_nothing_else_is_left(tmp_path, make):
    assert kept(tmp_path, "key", make) == kept(tmp_path, "key", make)
    assert make.calls == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda directory: (directory / ROWS_FILE).write_text("wors"),
        lambda directory: (directory / ROWS_FILE).write_text(""),
        lambda directory: (directory / ROWS_FILE).unlink(),
        lambda directory: (directory / SUMMARY_FILE).write_text("{"),
        lambda directory: (directory / SUMMARY_FILE).write_text('{"dataset": {"rows": 1, "trained": 1, "tokens": 3}}'),
        lambda directory: (directory / SUMMARY_FILE).write_bytes(b"\xff\x00"),
        lambda directory: (directory / SUMMARY_FILE).unlink(),
    ],
)
def test_a_damaged_entry_is_found_out_and_made_anew(tmp_path, make, damage):
    rows = kept(tmp_path, "key", make).rows
    damage(rows.parent)
    assert kept(tmp_path, "key", make).rows.read_text() == "rows"
    assert make.calls == 2
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_failure_leaves_nothing_behind_and_the_next_may_try(tmp_path, make):
    def fail(path):
        path.write_text("half")
        raise ValueError

    with pytest.raises(ValueError):
        kept(tmp_path, "key", fail)
    assert list(tmp_path.iterdir()) == []
    kept(tmp_path, "key", make)


def test_of_two_at_once_one_works_and_the_other_takes_what_it_made(tmp_path):
    working, made = threading.Event(), []

    def work():
        working.set()
        time.sleep(0.2)
        made.append("by the first")
        return made[0]

    def found():
        return made[0] if made else None

    lock, results = tmp_path / "lock", []
    first = threading.Thread(target=lambda: results.append(once(lock, found, work, QUICK)))
    first.start()
    working.wait()
    results.append(once(lock, found, lambda: pytest.fail("worked twice"), QUICK))
    first.join()
    assert results == ["by the first"] * 2
    assert not lock.exists()


def test_a_slow_holder_that_lives_is_not_robbed(tmp_path):
    made = []

    def slow():
        time.sleep(3 * QUICK.stale_seconds)
        made.append("slow")
        return "slow"

    first = threading.Thread(target=once, args=(tmp_path / "lock", lambda: None, slow, QUICK))
    first.start()
    while not (tmp_path / "lock").exists():
        time.sleep(0.01)
    assert once(tmp_path / "lock", lambda: made[0] if made else None, lambda: "robbed", QUICK) == "slow"
    first.join()


def test_the_lock_of_a_killed_process_is_broken_after_a_while(tmp_path):
    lock = tmp_path / "lock"
    program = (
        "import sys, time, pathlib; from tunesmith_trainer.locks import once, Rhythm\n"
        "def work():\n print('working', flush=True); time.sleep(60)\n"
        "once(pathlib.Path(sys.argv[1]), lambda: None, work, Rhythm(touch_seconds=0.02))"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, env={**os.environ})
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate()
    assert lock.exists()
    assert once(lock, lambda: None, lambda: "made by the next", QUICK) == "made by the next"
    assert [path.name for path in tmp_path.iterdir()] == []
