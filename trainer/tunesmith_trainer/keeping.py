"""Keeps checkpoints beside training: the library writes to a fast disk of the pod, a thread brings it to the storage.

Every process has one Keeper, because each writes files of its own (random states, at least). Rank 0's commits, once
all have brought theirs. One checkpoint is on the way at a time, in order, and training waits only where the next one
is due before.
"""

import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import MEMORY, Memory
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.messages import FileSaid, Said
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.rhythm import Steps
from tunesmith_trainer.storage import copy_whole, said_files, write_whole

Item = TypeVar("Item")

POLL_SECONDS = 0.02
PARTS = "parts"
# Room for two: one on its way, and the next one being written.
CHECKPOINTS_ON_STAGING = 2
# A node whose disk is fuller than this throws its pods out, and the next one would be thrown out by the same save.
KEPT_FREE = 0.15
# So little of a disk brings no node over that border.
NOTHING = 0.01


class Part(Said):
    """The files that one process brought."""

    files: dict[str, FileSaid]


@dataclass(frozen=True)
class Kept:
    """A checkpoint that is complete on the storage, and the seconds from its first byte to its last."""

    step: int
    path: Path
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What the keepers of all processes agree on.

    `keep` of the `counted` steps stay, see `checkpoints.rotate`. `patience_seconds` is how long rank 0 waits for the
    others' files; `after_commit` is called on rank 0 with each complete checkpoint and the best step so far, off the
    training thread; it returns what a person should know. `meet` returns when the training threads of all processes
    have come to it: rank 0 alone writes weights, and what comes after must not be waited for in a collective of
    training, whose time-out is shorter than a large save.
    """

    attempt: Attempt
    rank: int
    world_size: int
    config_hash: str
    keep: int
    counted: Steps
    staging: Path
    needed_bytes: int
    patience_seconds: float
    verify: Callable[[Path], None] = lambda _: None
    after_commit: Callable[[Path, int | None], str | None] = lambda _path, _best: None
    meet: Callable[[], None] = lambda: None


class Keeper:
    """Takes each checkpoint over from the training thread and sees it through."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._news: deque[Kept] = deque()
        self._troubles: deque[str] = deque()
        self._began = time.monotonic()
        self._last_seconds: float | None = None
        self.last_step = 0
        self.seconds_waited = 0.0
        plan.staging.mkdir(parents=True, exist_ok=True)
        self.staged = has_room(plan.staging, CHECKPOINTS_ON_STAGING * plan.needed_bytes)

    def place(self, step: int) -> Path:
        """The directory `checkpoint-<step>` is to be written to. Waits for the one before.

        Where the pod's disk has no room, it is on the storage at once, and only reading again is left to the thread.
        """
        self._wait()
        self.meet()
        self._began = time.monotonic()
        self._where(step).parent.mkdir(parents=True, exist_ok=True)
        return self._where(step)

    def meet(self) -> None:
        """Waits for the training threads of all processes."""
        self._plan.meet()

    def hand_over(self, step: int, memory: Memory) -> None:
        """The library has written everything of this process: the thread does the rest."""
        written = self._where(step)
        written.mkdir(parents=True, exist_ok=True)
        if self._plan.rank == 0:
            write_whole(written / MEMORY, memory.line())
        self._thread = threading.Thread(
            target=self._see_through, args=(step, written, memory), name="tunesmith-keeper", daemon=True
        )
        self._thread.start()

    def news(self) -> list[Kept]:
        """Checkpoints that were completed since the last call, on rank 0."""
        return list(_taken(self._news))

    def troubles(self) -> list[str]:
        """What went wrong since the last call after a checkpoint was complete, in words."""
        return list(_taken(self._troubles))

    @property
    def failure(self) -> BaseException | None:
        """What the thread met that must end the attempt."""
        return self._failure

    @property
    def seconds_of_a_save(self) -> float | None:
        """From the first byte to the commit, as last measured; None before the first."""
        return self._last_seconds

    @property
    def seconds_since_a_save(self) -> float:
        """From the first byte of the last one on, or from when this attempt began to train."""
        return time.monotonic() - self._began

    def finish(self, at_most_seconds: float | None = None) -> None:
        """Waits until everything handed over is complete, or has failed; or so long."""
        self._wait(at_most_seconds)

    def _where(self, step: int) -> Path:
        return (
            self._plan.staging / f"checkpoint-{step}"
            if self.staged
            else checkpoints.unfinished(self._plan.attempt, step)
        )

    def _wait(self, at_most_seconds: float | None = None) -> None:
        if self._thread is None:
            return
        began = time.monotonic()
        self._thread.join(at_most_seconds)
        self._thread = None
        self.seconds_waited += time.monotonic() - began

    def _see_through(self, step: int, written: Path, memory: Memory) -> None:
        try:
            self._bring(step, written)
            if self._plan.rank == 0:
                self._commit(step, memory)
            else:
                self._done(step)
        except BaseException as error:
            self._failure = error

    def _bring(self, step: int, written: Path) -> None:
        """Brings the files of this process to the storage and says which they are."""
        plan = self._plan
        self._plan.verify(written)
        partial = checkpoints.unfinished(plan.attempt, step)
        files: dict[str, FileSaid] = {}
        if self.staged:
            for path in sorted(path for path in written.rglob("*") if path.is_file()):
                name = path.relative_to(written)
                files[name.as_posix()] = copy_whole(path, partial / name)
            shutil.rmtree(written)
        parts = partial.parent / f"{PARTS}-{step}"
        parts.mkdir(parents=True, exist_ok=True)
        write_whole(parts / f"{plan.rank}.json", Part(files=files).line())

    def _commit(self, step: int, memory: Memory) -> None:
        plan = self._plan
        parts = checkpoints.unfinished(plan.attempt, step).parent / f"{PARTS}-{step}"
        brought = self._all_files(parts)
        # What a process wrote to the storage at once has not been read yet.
        files = said_files(checkpoints.unfinished(plan.attempt, step), known=brought)
        path = checkpoints.commit(
            plan.attempt, step=step, world_size=plan.world_size, config_hash=plan.config_hash, files=files
        )
        shutil.rmtree(parts)
        self._news.append(Kept(step, path, self._done(step)))
        best = memory.held_out.best_step
        trouble = plan.after_commit(path, best)
        if trouble is not None:
            self._troubles.append(trouble)
        checkpoints.rotate(plan.attempt, plan.keep, counted=plan.counted, best_step=best)

    def _done(self, step: int) -> float:
        """What comes after, such as a mirror, is not waited for when a stop is asked for."""
        self._last_seconds = seconds = time.monotonic() - self._began
        self.last_step = step
        return seconds

    def _all_files(self, parts: Path) -> dict[str, FileSaid]:
        """Every process's files, once the last has brought its own."""
        deadline = time.monotonic() + self._plan.patience_seconds
        wanted = {f"{rank}.json" for rank in range(self._plan.world_size)}
        while not wanted <= {path.name for path in parts.iterdir()}:
            if time.monotonic() > deadline:
                raise TrainerError(
                    ErrorClass.INFRASTRUCTURE,
                    f"Not every process brought its part of a checkpoint within {self._plan.patience_seconds:.0f} s. "
                    "The checkpoint before it stands.",
                )
            time.sleep(POLL_SECONDS)
        said = [Part.model_validate_json((parts / name).read_bytes()) for name in sorted(wanted)]
        return {name: file for part in said for name, file in part.files.items()}


def has_room(directory: Path, needed_bytes: int) -> bool:
    """Whether the disk of a directory takes so much and the node still does not run short of it."""
    disk = shutil.disk_usage(directory)
    left = disk.free - needed_bytes
    return left > 0 and (left >= KEPT_FREE * disk.total or needed_bytes <= NOTHING * disk.total)


def _taken(queue: deque[Item]) -> Iterator[Item]:
    """Empties a queue to which another thread may be adding."""
    with suppress(IndexError):
        while True:
            yield queue.popleft()


@contextmanager
def temporary_directory(configuration: Configuration, rank: int) -> Iterator[Path]:
    """A directory of this process's own on a fast disk of the pod, until training is over."""
    with tempfile.TemporaryDirectory(
        prefix=f"tunesmith-{rank}-", dir=configuration.checkpoints.staging_path, ignore_cleanup_errors=True
    ) as own:
        yield Path(own)
