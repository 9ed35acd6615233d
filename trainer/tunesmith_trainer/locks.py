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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")


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
    name = uuid.uuid4().hex
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        yield False
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(name)
    over = threading.Event()
    toucher = threading.Thread(target=_touch, args=(lock, name, over, rhythm.touch_seconds), daemon=True)
    toucher.start()
    try:
        yield True
    finally:
        over.set()
        toucher.join()
        if _holder(lock) == name:
            lock.unlink(missing_ok=True)


def _touch(lock: Path, name: str, over: threading.Event, seconds: float) -> None:
    count = 0
    while not over.wait(seconds):
        count += 1
        if _holder(lock) != name:
            return
        try:
            # By content and not by time stamp: network file systems may keep old time stamps for a while.
            lock.write_text(f"{name} {count}")
        except OSError:
            continue


def _beat(lock: Path) -> bytes | None:
    try:
        return lock.read_bytes()
    except FileNotFoundError:
        return None


def _holder(lock: Path) -> str:
    return (_beat(lock) or b"").decode(errors="replace").partition(" ")[0]


def put_aside(lock: Path, beat: bytes) -> None:
    """Takes a stale lock away, whose content was `beat`. One that somebody took anew in between is put back."""
    aside = lock.with_name(f"{lock.name}.stale-{uuid.uuid4().hex}")
    try:
        lock.rename(aside)
    except FileNotFoundError:
        return
    try:
        if aside.read_bytes() != beat:
            os.link(aside, lock)
    except FileExistsError:
        return
    finally:
        aside.unlink(missing_ok=True)
