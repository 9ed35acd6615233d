"""The thread that brings checkpoints to the storage: in order, from every process, and never a half one."""

import shutil
import threading
from types import SimpleNamespace

import pytest

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.keeping import Keeper, Plan, has_room
from tunesmith_trainer.rhythm import Steps

HASH = "a" * 64


@pytest.fixture()
def job(tmp_path):
    return tmp_path / "job"


def a_plan(job, *, rank=0, world_size=1, number=1, needed_bytes=0, patience_seconds=60, **more):
    attempt = Attempt(job, number)
    if rank == 0:
        attempt.claim()
    return Plan(
        attempt=attempt,
        rank=rank,
        world_size=world_size,
        config_hash=HASH,
        keep=2,
        counted=Steps(tuple(range(100))),
        staging=job.parent / f"staging-{number}-{rank}",
        needed_bytes=needed_bytes,
        patience_seconds=patience_seconds,
        **more,
    )


def save(keeper, step, name="optimizer.pt"):
    directory = keeper.place(step)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(b"o" * 1000)
    keeper.hand_over(step, Memory(tokens=step))


def newest(job):
    return checkpoints.search(job, HASH).newest


@pytest.mark.parametrize("needed_bytes", [0, 10**18], ids=["by the pod's disk", "straight to the storage"])
def test_what_is_handed_over_becomes_a_checkpoint(job, needed_bytes):
    keeper = Keeper(a_plan(job, needed_bytes=needed_bytes))
    for step in (1, 2):
        save(keeper, step)
    keeper.finish()
    assert [kept.step for kept in keeper.news()] == [1, 2]
    assert newest(job).memory.tokens == 2
    assert newest(job).manifest.files.keys() == {"optimizer.pt", "tunesmith-memory.json"}


def test_training_goes_on_while_a_checkpoint_is_on_its_way_and_the_next_waits_its_turn(job):
    gate = threading.Event()
    keeper = Keeper(a_plan(job, verify=lambda _: gate.wait()))
    save(keeper, 1)
    assert newest(job) is None
    threading.Timer(0.01, gate.set).start()
    keeper.place(2)
    assert newest(job).manifest.step == 1


def test_a_checkpoint_has_every_process_own_files(job):
    first, second = Keeper(a_plan(job, world_size=2)), Keeper(a_plan(job, rank=1, world_size=2))
    save(first, 1)
    assert newest(job) is None
    save(second, 1, name="rng_state_1.pth")
    first.finish()
    assert newest(job).manifest.files.keys() == {"optimizer.pt", "rng_state_1.pth", "tunesmith-memory.json"}


def test_without_the_others_files_there_is_no_checkpoint(job):
    keeper = Keeper(a_plan(job, world_size=2, patience_seconds=0))
    save(keeper, 1)
    keeper.finish()
    assert "Not every process brought its part" in str(keeper.failure)
    assert newest(job) is None


def test_what_fails_to_verify_is_not_committed(job):
    def spoilt(_):
        raise TrainerError(ErrorClass.DIVERGED, "NaN")

    keeper = Keeper(a_plan(job, verify=spoilt))
    save(keeper, 1)
    keeper.finish()
    assert keeper.failure.error_class is ErrorClass.DIVERGED
    assert newest(job) is None


def test_a_superseded_attempt_commits_nothing(job):
    keeper = Keeper(a_plan(job))
    Attempt(job, 2).claim()
    save(keeper, 1)
    keeper.finish()
    assert keeper.failure.error_class is ErrorClass.SUPERSEDED
    assert newest(job) is None


def test_a_checkpoint_is_told_while_its_copy_is_still_on_its_way_and_nothing_told_is_lost(job):
    on_its_way, gate = threading.Event(), threading.Event()

    def slow_copy(_path, _best):
        on_its_way.set()
        gate.wait()
        return "The store is away."

    keeper = Keeper(a_plan(job, after_commit=slow_copy))
    save(keeper, 1)
    on_its_way.wait()
    assert [kept.step for kept in keeper.news()] == [1]
    assert keeper.troubles() == []
    gate.set()
    keeper.finish()
    assert keeper.news() == []
    assert keeper.troubles() == ["The store is away."]


def test_training_goes_on_together_once_the_slowest_has_brought_what_it_had(job):
    """Rank 0 alone brings weights: the others must not run into a collective, and its time-out, without it."""
    met = []
    keeper = Keeper(a_plan(job, meet=lambda: met.append(newest(job))))
    save(keeper, 1)
    keeper.place(2)
    before_the_first, before_the_second = met
    assert before_the_first is None
    assert before_the_second.manifest.step == 1


def test_what_is_on_its_way_is_waited_for_as_long_as_is_said(job):
    gate = threading.Event()
    keeper = Keeper(a_plan(job, verify=lambda _: gate.wait()))
    save(keeper, 1)
    keeper.finish(at_most_seconds=0.01)
    assert newest(job) is None
    gate.set()


@pytest.mark.parametrize(
    ("free", "needed", "has"),
    [(900, 500, True), (900, 800, False), (100, 5, True), (100, 20, False), (4, 5, False)],
    ids=["enough", "the node would run short", "too little to matter", "it is short already", "no room at all"],
)
def test_the_pods_disk_is_used_where_the_node_does_not_run_short_of_it(tmp_path, monkeypatch, free, needed, has):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, free=free))
    assert has_room(tmp_path, needed) == has
