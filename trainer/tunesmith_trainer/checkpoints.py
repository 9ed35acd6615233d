"""Checkpoints that can be trusted: complete only with `COMPLETE.json`, which is written last and names every file.

A checkpoint is put together under `unfinished/` and gets its name by one rename. The training library's own rule (the
highest number is the newest) crashes for ever on a half-written directory, and goes on silently with a fresh optimizer
when `optimizer.pt` is missing; so only what verifies is resumed from, and what is damaged is set aside, not deleted.
"""

import re
import shutil
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from tunesmith_trainer.attempts import Attempt, numbers
from tunesmith_trainer.contract.messages import SHA256, EvaluationLosses, FileSaid, Said
from tunesmith_trainer.patience import HeldOut
from tunesmith_trainer.storage import first_damage, sync_directory, sync_tree, write_whole

MANIFEST = "COMPLETE.json"
MEMORY = "tunesmith-memory.json"
REASON = "REASON.json"
NEWEST_KEPT = 2
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
    held_out: HeldOut = HeldOut()
    evaluation_owed: bool = False
    dataset_sha256: SHA256 | None = None

    def evaluation(self) -> EvaluationLosses | None:
        """Both losses, when both were measured; the last one for the last step."""
        if self.evaluation_before is None or self.evaluation_last is None or self.evaluation_owed:
            return None
        return EvaluationLosses(before=self.evaluation_before, after=self.evaluation_last)


class SetAside(Said):
    """Why a checkpoint lies under `damaged/`."""

    was: str
    reason: str
    by_attempt: int
    time: datetime


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint whose files were verified."""

    path: Path
    manifest: Manifest
    memory: Memory


@dataclass(frozen=True)
class Ignored:
    """A directory that looks like a checkpoint and cannot be resumed from; `damaged` ones are good for nobody."""

    path: Path
    reason: str
    damaged: bool = True


@dataclass(frozen=True)
class Search:
    """What was found: the newest good checkpoint, and the newer ones passed over."""

    newest: Checkpoint | None
    ignored: tuple[Ignored, ...]


def unfinished(attempt: Attempt, step: int) -> Path:
    """Where the checkpoint of a step is put together."""
    return attempt.directory / "unfinished" / f"checkpoint-{step}"


def finished(attempt: Attempt, step: int) -> Path:
    """Where the checkpoint of a step lies once it is complete."""
    return attempt.checkpoints / f"checkpoint-{step}"


def commit(attempt: Attempt, *, step: int, world_size: int, config_hash: str, files: dict[str, FileSaid]) -> Path:
    """Makes what lies under `unfinished/` a checkpoint; every file must be on the storage. Returns its path.

    Raises:
        TrainerError: superseded, when a newer attempt exists; the checkpoint then stays unfinished.
    """
    partial, path = unfinished(attempt, step), finished(attempt, step)
    attempt.ensure_newest()
    manifest = Manifest(
        step=step,
        attempt=attempt.number,
        world_size=world_size,
        config_hash=config_hash,
        files=files,
        time=datetime.now(UTC),
    )
    sync_tree(partial)
    write_whole(partial / MANIFEST, manifest.line())
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt.ensure_newest()
    partial.rename(path)
    sync_directory(path.parent)
    sync_directory(path.parent.parent)
    return path


def search(job_path: Path, config_hash: str) -> Search:
    """Looks for the newest complete, undamaged checkpoint of this configuration in all attempts of the job."""
    ignored: list[Ignored] = []
    for _, path in _newest_first(job_path):
        found = opened(path, config_hash)
        if isinstance(found, Checkpoint):
            return Search(found, tuple(ignored))
        ignored.append(found)
    return Search(None, tuple(ignored))


def opened(path: Path, config_hash: str) -> Checkpoint | Ignored:
    """A checkpoint whose every byte was read again, or why it cannot be resumed from."""
    if not (path / MANIFEST).is_file():
        return Ignored(path, f"it has no {MANIFEST}: it was not finished")
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except ValidationError:
        return Ignored(path, f"its {MANIFEST} cannot be read")
    if manifest.config_hash != config_hash:
        return Ignored(path, "it was made under another configuration", damaged=False)
    if damage := first_damage(path, manifest.files):
        return Ignored(path, damage)
    try:
        memory = Memory.model_validate_json((path / MEMORY).read_bytes())
    except (OSError, ValidationError):
        return Ignored(path, f"its {MEMORY} cannot be read")
    return Checkpoint(path, manifest, memory)


def set_aside(ignored: Ignored, attempt: Attempt) -> Path:
    """Moves a damaged checkpoint under the job's `damaged/`, with the reason beside its files; returns where to.

    Nothing looks there again: an administrator may find out what the storage did, or delete it.
    """
    number = ignored.path.parent.parent.name
    directory = attempt.job_path / "damaged"
    directory.mkdir(parents=True, exist_ok=True)
    aside = directory / f"a{number}-{ignored.path.name}"
    attempt.ensure_newest()
    ignored.path.rename(aside)
    told = SetAside(was=str(ignored.path), reason=ignored.reason, by_attempt=attempt.number, time=datetime.now(UTC))
    write_whole(aside / REASON, told.line())
    sync_directory(directory)
    return aside


def forget_unfinished(attempt: Attempt) -> None:
    """Removes what earlier attempts were putting together when they ended: it never was a checkpoint."""
    for number in numbers(attempt.job_path):
        if number < attempt.number:
            shutil.rmtree(Attempt(attempt.job_path, number).directory / "unfinished", ignore_errors=True)


def rotate(attempt: Attempt, keep: int, *, counted: Container[int], best_step: int | None = None) -> None:
    """Removes old complete checkpoints of this and earlier attempts.

    What stays: the newest `keep` of the `counted` steps, the best one, and the newest of all with one before it, should
    it be damaged; with `keep` 1 that one alone.
    """
    complete = [
        (step, path)
        for (step, number), path in _newest_first(attempt.job_path)
        if number <= attempt.number and (path / MANIFEST).is_file()
    ]
    newest = complete[: min(keep, NEWEST_KEPT)]
    staying = {path for _, path in [*newest, *[one for one in complete if one[0] in counted][:keep]]}
    for step, path in complete:
        if path in staying or step == best_step:
            continue
        attempt.ensure_newest()  # a newer attempt may be reading it
        # Its name goes first: a half-removed checkpoint must not look like one.
        going = path.parent.parent / "unfinished" / f"removed-{path.name}"
        going.parent.mkdir(parents=True, exist_ok=True)
        path.rename(going)
        # What a network file system still holds goes with the next attempt; no training ends for it.
        shutil.rmtree(going, ignore_errors=True)


def of_step(job_path: Path, step: int, config_hash: str) -> Checkpoint | None:
    """The verified checkpoint of one step, of the newest attempt that has it."""
    for (found_step, _), path in _newest_first(job_path):
        if found_step == step and isinstance(found := opened(path, config_hash), Checkpoint):
            return found
    return None


def _newest_first(job_path: Path) -> list[tuple[tuple[int, int], Path]]:
    found = [
        ((int(match[1]), number), path)
        for number in numbers(job_path)
        for path in Attempt(job_path, number).checkpoints.glob("checkpoint-*")
        if (match := DIRECTORY.fullmatch(path.name))
    ]
    return sorted(found, reverse=True)
