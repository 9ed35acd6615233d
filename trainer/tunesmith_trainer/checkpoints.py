"""Checkpoints that can be trusted: complete only with `COMPLETE.json`, which is written last and names every file.

The training library's own rule (the highest number is the newest) crashes for ever on a half-written directory, and
goes on silently with a fresh optimizer when `optimizer.pt` is missing; so only what verifies is resumed from.
"""

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from tunesmith_trainer.attempts import Attempt, numbers
from tunesmith_trainer.contract.messages import SHA256, EvaluationLosses, FileSaid, Said
from tunesmith_trainer.storage import first_damage, said_files, sync_directory, write_whole

MANIFEST = "COMPLETE.json"
MEMORY = "tunesmith-memory.json"
DIRECTORY = re.compile(r"checkpoint-([0-9]+)")


class Manifest(Said):
    """What makes a checkpoint complete."""

    step: int
    attempt: int
    world_size: int
    config_hash: SHA256
    files: dict[str, FileSaid]
    time: datetime


class Memory(Said):
    """What the trainer must not forget over a restart, and the training library does not keep."""

    tokens: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    evaluation_before: float | None = None
    evaluation_last: float | None = None

    def evaluation(self) -> EvaluationLosses | None:
        """Both losses, when both were measured."""
        if self.evaluation_before is None or self.evaluation_last is None:
            return None
        return EvaluationLosses(before=self.evaluation_before, after=self.evaluation_last)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint whose files were verified."""

    path: Path
    manifest: Manifest
    memory: Memory


@dataclass(frozen=True)
class Ignored:
    """A directory that looks like a checkpoint and cannot be resumed from."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Search:
    """What was found: the newest good checkpoint, and the newer ones passed over."""

    newest: Checkpoint | None
    ignored: tuple[Ignored, ...]


def commit(directory: Path, attempt: Attempt, *, step: int, world_size: int, config_hash: str, memory: Memory) -> None:
    """Marks a checkpoint complete, after its last file is on the storage.

    Raises:
        TrainerError: superseded, when a newer attempt exists; the checkpoint then stays incomplete.
    """
    write_whole(directory / MEMORY, memory.line())
    files = said_files(directory)
    attempt.ensure_newest()
    manifest = Manifest(
        step=step,
        attempt=attempt.number,
        world_size=world_size,
        config_hash=config_hash,
        files=files,
        time=datetime.now(UTC),
    )
    write_whole(directory / MANIFEST, manifest.line())
    sync_directory(directory.parent)


def search(job_path: Path, config_hash: str) -> Search:
    """Looks for the newest complete, undamaged checkpoint of this configuration in all attempts of the job."""
    ignored: list[Ignored] = []
    for _, path in _newest_first(job_path):
        found = _opened(path, config_hash)
        if isinstance(found, Checkpoint):
            return Search(found, tuple(ignored))
        ignored.append(found)
    return Search(None, tuple(ignored))


def rotate(attempt: Attempt, keep: int) -> None:
    """Removes the oldest complete checkpoints of this and earlier attempts beyond `keep`."""
    complete = [
        path
        for (_, number), path in _newest_first(attempt.job_path)
        if number <= attempt.number and (path / MANIFEST).is_file()
    ]
    for path in complete[keep:]:
        # The mark goes first: a half-removed checkpoint must not look complete.
        (path / MANIFEST).unlink()
        shutil.rmtree(path)


def _newest_first(job_path: Path) -> list[tuple[tuple[int, int], Path]]:
    found = [
        ((int(match[1]), number), path)
        for number in numbers(job_path)
        for path in Attempt(job_path, number).checkpoints.glob("checkpoint-*")
        if (match := DIRECTORY.fullmatch(path.name))
    ]
    return sorted(found, reverse=True)


def _opened(path: Path, config_hash: str) -> Checkpoint | Ignored:
    if not (path / MANIFEST).is_file():
        return Ignored(path, f"it has no {MANIFEST}: it was not finished")
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except ValidationError:
        return Ignored(path, f"its {MANIFEST} cannot be read")
    if manifest.config_hash != config_hash:
        return Ignored(path, "it was made under another configuration")
    if damage := first_damage(path, manifest.files):
        return Ignored(path, damage)
    return Checkpoint(path, manifest, Memory.model_validate_json((path / MEMORY).read_bytes()))
