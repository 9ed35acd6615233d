"""A lock that is taken from a living holder by mistake goes back to it, and stays nowhere when it was set free."""

import os
import threading

import pytest

from tunesmith_trainer import locks
from tunesmith_trainer.locks import put_aside, taken


def test_a_lock_that_is_held_after_all_is_put_back(tmp_path):
    lock = tmp_path / "work.lock"
    with taken(lock) as mine:
        assert mine
        put_aside(lock, b"what its last holder had written")
        assert list(tmp_path.iterdir()) == [lock]
        with taken(lock) as another:
            assert not another
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("freed", ["before it is back", "after it is back"])
def test_a_lock_set_free_while_it_is_put_aside_stays_nowhere(tmp_path, monkeypatch, freed):
    lock, link = tmp_path / "work.lock", os.link
    holder = taken(lock)
    assert holder.__enter__()

    def set_free(source, target):
        if freed == "after it is back":
            link(source, target)
        holder.__exit__(None, None, None)
        if freed == "before it is back":
            link(source, target)

    monkeypatch.setattr(locks.os, "link", set_free)
    put_aside(lock, b"what its last holder had written")
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_was_robbed_does_not_write_into_the_lock_of_who_has_it_now(tmp_path, monkeypatch):
    lock, write, written = tmp_path / "work.lock", locks._write, threading.Semaphore(0)

    def seen(descriptor, text):
        write(descriptor, text)
        written.release()

    monkeypatch.setattr(locks, "_write", seen)
    with taken(lock, locks.Rhythm(touch_seconds=0.01)):
        while lock.exists():
            put_aside(lock, lock.read_bytes())
        with taken(lock) as mine:
            assert mine
            beat = lock.read_bytes()
            while written.acquire(blocking=False):
                pass
            assert all(written.acquire(timeout=20) for _ in range(3)), "the robbed one goes on writing"
            assert lock.read_bytes() == beat
    assert list(tmp_path.iterdir()) == []
