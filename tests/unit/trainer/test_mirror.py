"""Copies in a store: complete ones only, fenced by marks of their own, as many as are kept."""

import pytest
from obstore.store import MemoryStore

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import MEMORY, Checkpoint, Memory
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.mirror import Copy, Mirror
from tunesmith_trainer.object_store import ChangedError, NotStoredError, ObjectStore
from tunesmith_trainer.storage import said_files

HASH = "a" * 64


@pytest.fixture()
def store():
    made = ObjectStore("http://127.0.0.1:1", "bucket", None)
    made._store = MemoryStore()
    return made


def a_mirror(store, job, number=1, keep=2):
    attempt = Attempt(job, number)
    attempt.claim()
    return attempt, Mirror(store, "copies/", attempt, keep=keep)


def saved(attempt, step):
    directory = checkpoints.unfinished(attempt, step)
    (directory / "below").mkdir(parents=True)
    (directory / "below" / "optimizer.pt").write_bytes(bytes([step]) * 100)
    (directory / MEMORY).write_text(Memory(tokens=step).line())
    return checkpoints.commit(attempt, step=step, world_size=1, config_hash=HASH, files=said_files(directory))


def test_a_copy_comes_back_whole_on_another_volume(store, tmp_path):
    attempt, mirror = a_mirror(store, tmp_path / "old" / "job")
    mirror.claim()
    assert mirror.send(saved(attempt, 4), None) is None
    _, elsewhere = a_mirror(store, tmp_path / "new" / "job", number=2)
    assert elsewhere.newest_first() == [Copy(step=4, attempt=1)]
    found = elsewhere.fetch(Copy(4, 1), HASH)
    assert isinstance(found, Checkpoint)
    assert found.memory.tokens == 4
    assert found.path == tmp_path / "new/job/attempts/2/checkpoints/checkpoint-4"
    assert checkpoints.search(tmp_path / "new" / "job", HASH).newest == found


def test_a_copy_without_its_manifest_does_not_count(store, tmp_path):
    attempt, mirror = a_mirror(store, tmp_path / "job")
    mirror.send(saved(attempt, 4), None)
    store.delete("copies/job/checkpoints/1/checkpoint-4/COMPLETE.json")
    assert mirror.newest_first() == []


def test_a_damaged_copy_is_not_used(store, tmp_path):
    attempt, mirror = a_mirror(store, tmp_path / "job")
    mirror.send(saved(attempt, 4), None)
    store.write("copies/job/checkpoints/1/checkpoint-4/below/optimizer.pt", b"x" * 100)
    _, elsewhere = a_mirror(store, tmp_path / "new" / "job", number=2)
    assert "other contents" in elsewhere.fetch(Copy(4, 1), HASH).reason
    assert not checkpoints.unfinished(Attempt(tmp_path / "new" / "job", 2), 4).exists()
    store.delete("copies/job/checkpoints/1/checkpoint-4/below/optimizer.pt")
    _, third = a_mirror(store, tmp_path / "newer" / "job", number=3)
    assert "does not exist" in third.fetch(Copy(4, 1), HASH).reason


def test_the_newest_copies_are_kept_and_the_best(store, tmp_path):
    attempt, mirror = a_mirror(store, tmp_path / "job")
    for step in (2, 4, 6, 8):
        mirror.send(saved(attempt, step), best_step=2)
    assert {copy.step for copy in mirror._copies()} == {2, 6, 8}
    assert list(store.list("copies/job/checkpoints/1/checkpoint-4")) == []


def test_an_attempt_on_a_lost_volume_is_superseded_by_the_mark_in_the_store(store, tmp_path):
    attempt, older = a_mirror(store, tmp_path / "old" / "job")
    older.claim()
    path = saved(attempt, 4)
    _, newer = a_mirror(store, tmp_path / "new" / "job", number=2)
    newer.claim()
    with pytest.raises(TrainerError, match="Attempt 2 of this job exists") as raised:
        older.send(path, None)
    assert raised.value.error_class is ErrorClass.SUPERSEDED
    assert newer.newest_first() == []


def test_a_store_that_fails_is_told_and_training_goes_on(store, tmp_path, monkeypatch):
    def fails(*_):
        raise TrainerError(ErrorClass.INFRASTRUCTURE, "The store is away.")

    attempt, mirror = a_mirror(store, tmp_path / "job")
    path = saved(attempt, 4)
    monkeypatch.setattr(store, "upload", fails)
    assert mirror.send(path, None) == "checkpoint-4 is on the storage and not in the mirror: The store is away."


@pytest.mark.parametrize("failure", [NotStoredError("'a' does not exist in bucket 'b'"), ChangedError("it changed")])
def test_a_bucket_that_is_gone_is_told_and_training_goes_on(store, tmp_path, monkeypatch, failure):
    def fails(*_):
        raise failure

    attempt, mirror = a_mirror(store, tmp_path / "job")
    path = saved(attempt, 4)
    monkeypatch.setattr(store, "upload", fails)
    assert mirror.send(path, None) == f"checkpoint-4 is on the storage and not in the mirror: {failure}."


def test_a_bucket_that_never_was_ends_the_attempt_before_it_trains(store, tmp_path, monkeypatch):
    def fails(*_):
        raise NotStoredError("'a' does not exist in bucket 'b'")

    _, mirror = a_mirror(store, tmp_path / "job")
    monkeypatch.setattr(store, "write", fails)
    with pytest.raises(TrainerError, match=r"cannot be mirrored: 'a' does not exist in bucket 'b'. Make the bucket"):
        mirror.claim()
