"""One of several processes on a shared storage does a piece of work, the others wait and take what it made.

A lock is a file that is created exclusively and touched by a thread of its holder. It is stale when nobody has touched
it for a while, by the clock of whoever looks: clocks of different machines are never compared. It saves work and does
not fence: what is made must be put in place by a rename that is right even when two do it.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")
FREE = "free"


@dataclass(frozen=True)
class Rhythm:
    """How often a lock is touched, when it is stale, and how often one who waits looks again."""

    touch_seconds: float = 10
    stale_seconds: float = 90
    look_seconds: float = 1


def once(lock: Path, found: Callable[[], Made | None], make: Callable[[], Made], rhythm: Rhythm = Rhythm()) -> Made:
    """What `found` finds; else what `make` makes, under the lock. `found` is asked again whenever the lock comes free.

    Raises:
        Whatever `make` raises; the lock is free then.
    """
    seen: bytes | None = None
    since = time.monotonic()
    while True:
        result = found() if seen is None or not lock.exists() else None
        if result is not None:
            return result
        with taken(lock, rhythm) as mine:
            if mine:
                # Whoever held it a moment ago may have finished in between.
                result = found()
                return make() if result is None else result
        beat = _beat(lock)
        if beat != seen:
            seen, since = beat, time.monotonic()
        elif beat is not None and time.monotonic() - since > rhythm.stale_seconds:
            put_aside(lock, beat)
            seen = None
        time.sleep(rhythm.look_seconds)


@contextmanager
def taken(lock: Path, rhythm: Rhythm = Rhythm()) -> Iterator[bool]:
    """Holds the lock when nobody does, and says whether."""
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        yield False
        return
    name = uuid.uuid4().hex
    _write(descriptor, f"{name} 0")
    over = threading.Event()
    toucher = threading.Thread(target=_touch, args=(descriptor, name, over, rhythm.touch_seconds), daemon=True)
    toucher.start()
    try:
        yield True
    finally:
        over.set()
        toucher.join()
        # Said before it is looked for: who has it aside at this moment either reads this after putting it back, or has
        # put it back before.
        _write(descriptor, f"{name} {FREE}")
        os.close(descriptor)
        if _holder(lock) == name:
            lock.unlink(missing_ok=True)


def _touch(descriptor: int, name: str, over: threading.Event, seconds: float) -> None:
    count = 0
    while not over.wait(seconds):
        count += 1
        # By content and not by time stamp: network file systems may keep old time stamps for a while.
        _write(descriptor, f"{name} {count}")


def _write(descriptor: int, text: str) -> None:
    """Into the file itself, under whatever name it is now; one that was taken away and removed is written in vain."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        os.fsync(descriptor)


def _beat(lock: Path) -> bytes | None:
    try:
        return lock.read_bytes()
    except FileNotFoundError:
        return None


def _holder(lock: Path) -> str:
    return _words(_beat(lock))[0]


def _is_free(lock: Path) -> bool:
    return _words(_beat(lock))[1] == FREE


def _words(beat: bytes | None) -> tuple[str, str]:
    """Who holds it, and its last word."""
    holder, _, word = (beat or b"").decode(errors="replace").partition(" ")
    return holder, word


def put_aside(lock: Path, beat: bytes) -> None:
    """Takes a stale lock away, whose content was `beat`. One that somebody holds after all is put back, unless it was
    set free meanwhile."""
    aside = lock.with_name(f"{lock.name}.stale-{uuid.uuid4().hex}")
    try:
        lock.rename(aside)
    except FileNotFoundError:
        return
    try:
        if aside.read_bytes() != beat:
            os.link(aside, lock)
            if _is_free(lock):
                lock.unlink(missing_ok=True)
    except FileExistsError:
        return
    finally:
        aside.unlink(missing_ok=True)
