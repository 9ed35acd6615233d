"""Attempts and checkpoints on the storage: who may write, and what may be resumed from."""

import pytest

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import MANIFEST, MEMORY, REASON, Memory, SetAside
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.storage import said_files

HASH = "a" * 64


@pytest.fixture()
def job(tmp_path):
    return tmp_path / "job"


def claimed(job, number):
    attempt = Attempt(job, number)
    attempt.claim()
    return attempt


def saved(attempt, step, config_hash=HASH):
    directory = checkpoints.unfinished(attempt, step)
    directory.mkdir(parents=True)
    (directory / "optimizer.pt").write_bytes(b"o" * 1000)
    (directory / "adapter_model.safetensors").write_bytes(bytes([step]) * 100)
    (directory / MEMORY).write_text(Memory(tokens=step * 10).line())
    files = said_files(directory)
    return checkpoints.commit(attempt, step=step, world_size=1, config_hash=config_hash, files=files)


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
        (lambda at: [path.unlink() for path in at.iterdir()], "not finished"),
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


def test_what_is_damaged_is_set_aside_with_its_reason_and_not_found_again(job):
    first = claimed(job, 1)
    cut(saved(first, 5) / "optimizer.pt")
    second = claimed(job, 2)
    (ignored,) = checkpoints.search(job, HASH).ignored
    aside = checkpoints.set_aside(ignored, second)
    assert aside == job / "damaged" / "a1-checkpoint-5"
    told = SetAside.model_validate_json((aside / REASON).read_text())
    assert (told.by_attempt, told.reason) == (2, "its file optimizer.pt has 999 bytes, not 1000")
    assert (aside / "adapter_model.safetensors").is_file()
    assert checkpoints.search(job, HASH).ignored == ()


def test_a_superseded_attempt_sets_nothing_aside(job):
    first = claimed(job, 1)
    cut(saved(first, 5) / "optimizer.pt")
    claimed(job, 2)
    (ignored,) = checkpoints.search(job, HASH).ignored
    with pytest.raises(TrainerError, match="Attempt 2 of this job exists"):
        checkpoints.set_aside(ignored, first)
    assert ignored.path.is_dir()


def test_the_newest_are_kept_over_all_attempts_and_the_best_besides(job):
    first = claimed(job, 1)
    for step in (5, 10, 15):
        saved(first, step)
    second = claimed(job, 2)
    saved(second, 20)
    checkpoints.rotate(second, keep=2, counted=range(100), best_step=5)
    left = sorted(path.name for path in job.glob("attempts/*/checkpoints/*"))
    assert left == ["checkpoint-15", "checkpoint-20", "checkpoint-5"]


@pytest.mark.parametrize(
    ("keep", "stay"),
    [(3, [10, 20, 30, 33, 34]), (2, [20, 30, 33, 34]), (1, [30, 34])],
)
def test_what_is_saved_between_the_counted_steps_goes_as_soon_as_it_is_not_needed(job, keep, stay):
    first = claimed(job, 1)
    for step in (10, 15, 20, 25, 30, 31, 32, 33, 34):
        saved(first, step)
    checkpoints.rotate(first, keep=keep, counted={10, 20, 30, 40})
    assert sorted(int(path.name[11:]) for path in job.glob("attempts/*/checkpoints/*")) == stay


def test_a_superseded_attempt_removes_nothing_that_its_successor_may_read(job):
    first = claimed(job, 1)
    for step in (5, 10):
        saved(first, step)
    claimed(job, 2)
    with pytest.raises(TrainerError):
        checkpoints.rotate(first, keep=1, counted=range(100))
    assert checkpoints.of_step(job, 5, HASH) is not None


def test_what_a_dead_attempt_was_putting_together_is_removed(job):
    first = claimed(job, 1)
    checkpoints.unfinished(first, 5).mkdir(parents=True)
    second = claimed(job, 2)
    own = checkpoints.unfinished(second, 5)
    own.mkdir(parents=True)
    checkpoints.forget_unfinished(second)
    assert not checkpoints.unfinished(first, 5).exists()
    assert own.is_dir()
