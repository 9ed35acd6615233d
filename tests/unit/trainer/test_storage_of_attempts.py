"""Attempts and checkpoints on the storage: who may write, and what may be resumed from."""

import pytest

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import MANIFEST, Memory
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

HASH = "a" * 64


@pytest.fixture()
def job(tmp_path):
    return tmp_path / "job"


def claimed(job, number):
    attempt = Attempt(job, number)
    attempt.claim()
    return attempt


def saved(attempt, step, config_hash=HASH):
    directory = attempt.checkpoints / f"checkpoint-{step}"
    directory.mkdir(parents=True)
    (directory / "optimizer.pt").write_bytes(b"o" * 1000)
    (directory / "adapter_model.safetensors").write_bytes(bytes([step]) * 100)
    checkpoints.commit(
        directory, attempt, step=step, world_size=1, config_hash=config_hash, memory=Memory(tokens=step * 10)
    )
    return directory


def test_an_attempt_is_claimed_once(job):
    claimed(job, 1)
    with pytest.raises(TrainerError, match="was begun before") as raised:
        claimed(job, 1)
    assert raised.value.error_class is ErrorClass.SUPERSEDED


def test_a_lower_number_cannot_begin_after_a_higher_one(job):
    claimed(job, 10)
    with pytest.raises(TrainerError, match="Attempt 10 of this job exists, so attempt 9 stops"):
        claimed(job, 9)


def test_a_superseded_attempt_commits_no_checkpoint(job):
    older = claimed(job, 1)
    claimed(job, 2)
    with pytest.raises(TrainerError) as raised:
        saved(older, 5)
    assert raised.value.error_class is ErrorClass.SUPERSEDED
    assert checkpoints.search(job, HASH).newest is None


def test_the_newest_step_of_all_attempts_is_resumed(job):
    saved(claimed(job, 1), 20)
    saved(claimed(job, 2), 10)
    newest = checkpoints.search(job, HASH).newest
    assert newest.manifest.step == 20
    assert newest.memory.tokens == 200


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    path.write_bytes(b"x" + path.read_bytes()[1:])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda at: (at / MANIFEST).unlink(), "not finished"),
        (lambda at: cut(at / MANIFEST), "cannot be read"),
        (lambda at: (at / "optimizer.pt").unlink(), "optimizer.pt is missing"),
        (lambda at: cut(at / "optimizer.pt"), "has 999 bytes, not 1000"),
        (lambda at: flip(at / "adapter_model.safetensors"), "other contents"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_told(job, damage, told):
    attempt = claimed(job, 1)
    saved(attempt, 5)
    damage(saved(attempt, 10))
    search = checkpoints.search(job, HASH)
    assert search.newest.manifest.step == 5
    assert [told in ignored.reason for ignored in search.ignored] == [True]


def test_a_checkpoint_of_another_configuration_is_not_resumed(job):
    saved(claimed(job, 1), 5, config_hash="b" * 64)
    search = checkpoints.search(job, HASH)
    assert search.newest is None
    assert "another configuration" in search.ignored[0].reason


def test_the_newest_are_kept_over_all_attempts(job):
    first = claimed(job, 1)
    for step in (5, 10):
        saved(first, step)
    second = claimed(job, 2)
    saved(second, 15)
    unfinished = second.checkpoints / "checkpoint-20"
    unfinished.mkdir()
    checkpoints.rotate(second, keep=2)
    left = sorted(path.name for path in job.glob("attempts/*/checkpoints/*"))
    assert left == ["checkpoint-10", "checkpoint-15", "checkpoint-20"]
