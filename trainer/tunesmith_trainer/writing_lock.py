"""One writer at a time on the shared storage, whichever node it runs on; a writer that died is followed by another.

Beside `locks`, which saves work that each does in a place of its own, this one fences: fetched files are gone on from
where they broke off, so two writers would write into the same file.

A lock is a directory of numbered files; the highest number holds it. Taking it is the exclusive creation of the next
number, which one process alone can win on every file system, and the highest number is never removed: so a lock that
was given up on can be taken over by one successor only, and the old holder finds out by the number above its own.
The holder's beat is a counter in its file. Who waits watches whether it moves, by its own clock: nodes' clocks differ.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.locks import Rhythm

RELEASED = "released"


class HeldLock:
    """A lock that this process holds, for as long as its beat reaches the storage."""

    def __init__(self, path: Path, stale_seconds: float) -> None:
        self._path = path
        self._owner = uuid.uuid4().hex
        self._count = 0
        self._stale_seconds = stale_seconds
        self._beaten = time.monotonic()
        self._writing = threading.Lock()

    def ensure(self) -> None:
        """Raises TrainerError of class infrastructure when the lock may be another's by now.

        To be called before each write: a process that was stopped for a while must not go on where it was.
        """
        if time.monotonic() - self._beaten > self._stale_seconds / 2 and not self.beat():
            raise TrainerError(
                ErrorClass.INFRASTRUCTURE,
                f"The lock '{self._path.parent}' was taken over by another process, because this one gave no sign of "
                f"life for {self._stale_seconds:.0f} seconds. What it had fetched stays; try again.",
            )

    def beat(self) -> bool:
        """Gives a sign of life; False when somebody else holds the lock, or the storage does not answer."""
        with self._writing:
            began = time.monotonic()
            try:
                if _highest(self._path.parent) != int(self._path.name):
                    return False
                self._count += 1
                with self._path.open("r+", encoding="utf-8") as file:
                    file.write(f"{self._owner} {self._count:012d}\n")
            except OSError:
                return False
            self._beaten = began
            return True

    def release(self) -> None:
        """Lets the next one in at once."""
        with self._writing, self._path.open("w", encoding="utf-8") as file:
            file.write(RELEASED)


@contextmanager
def held(
    directory: Path,
    *,
    waiting: Callable[[], None] = lambda: None,
    rhythm: Rhythm | None = None,
) -> Iterator[HeldLock]:
    """Waits until the lock is free or its holder gives no sign of life, and holds it.

    Args:
        directory: the lock's own; made when it is not there.
        waiting: called before each look while another holds it; what it raises ends the waiting.
    """
    rhythm = rhythm or Rhythm()
    directory.mkdir(parents=True, exist_ok=True)
    with _beating(_taken(directory, waiting, rhythm), rhythm) as lock:
        yield lock


@contextmanager
def held_at_once(
    directory: Path, *, given_up: Callable[[Path], bool], rhythm: Rhythm | None = None
) -> Iterator[HeldLock | None]:
    """Holds the lock where that needs no waiting; None where it does.

    Args:
        given_up: whether the holder's file is one that nobody writes into any more; a living holder does all the time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    highest = _highest(directory)
    holder = directory / str(highest)
    free = highest == 0 or _content(holder) == RELEASED or given_up(holder)
    path = _created(directory, highest + 1) if free else None
    if path is None:
        yield None
        return
    with _beating(path, rhythm or Rhythm()) as lock:
        yield lock


@contextmanager
def _beating(path: Path, rhythm: Rhythm) -> Iterator[HeldLock]:
    lock = HeldLock(path, rhythm.stale_seconds)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(rhythm.touch_seconds):
            lock.beat()

    thread = threading.Thread(target=beat, name="tunesmith-lock", daemon=True)
    lock.beat()
    thread.start()
    try:
        yield lock
    finally:
        over.set()
        thread.join()
        if lock.beat():
            lock.release()


def _taken(directory: Path, waiting: Callable[[], None], rhythm: Rhythm) -> Path:
    seen: tuple[int, str] | None = None
    moved = time.monotonic()
    while True:
        highest = _highest(directory)
        content = _content(directory / str(highest))
        if (highest, content) != seen:
            seen, moved = (highest, content), time.monotonic()
        free = highest == 0 or content == RELEASED or time.monotonic() - moved > rhythm.stale_seconds
        if free and (path := _created(directory, highest + 1)):
            return path
        if not free:
            waiting()
            time.sleep(rhythm.look_seconds)


def _created(directory: Path, number: int) -> Path | None:
    path = directory / str(number)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return None
    # Whoever was slow here may have made a number that others had used and removed since.
    if _highest(directory) != number:
        path.unlink(missing_ok=True)
        return None
    for older in _numbers(directory):
        if older < number:
            (directory / str(older)).unlink(missing_ok=True)
    return path


def _highest(directory: Path) -> int:
    return max(_numbers(directory), default=0)


def _numbers(directory: Path) -> list[int]:
    return [int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal()]


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
