"""Brings one file to the storage: resumed where it broke off, hashed on its way, and renamed only when it is right.

Where the bytes come from is a `Source`; what they must be is `Expected`. A file is written as `<name>.partial` with
`<name>.partial.json` beside it, which says what version of the file the bytes are of.
"""

import errno
import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.storage import BLOCK_BYTES, sync_directory, sync_file, write_whole

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class Patience:
    """How long a source may be silent, and how often it is asked again before the attempt is given up."""

    connect_seconds: float = 15
    read_seconds: float = 60
    tries: int = 8
    first_wait_seconds: float = 1
    longest_wait_seconds: float = 30

    def wait_seconds(self, failures: int) -> float:
        """Doubling, and somewhat uneven, so that many jobs do not come back at the same moment."""
        return min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** (failures - 1)) * random.uniform(
            0.75, 1.0
        )


class BrokenError(Exception):
    """The source broke off or does not answer; asking again may help."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Opened:
    """A source that is being read."""

    offset: int  # where the blocks begin; 0 when the source cannot go on where it broke off
    total_bytes: int | None
    mark: str | None  # what version of the file it is; None when it cannot be told
    blocks: Iterator[bytes]


class Source(Protocol):
    """Where a file comes from."""

    @property
    def name(self) -> str:
        """How it is called in messages; no secrets."""

    @property
    def error_class(self) -> ErrorClass:
        """What it is when the file is missing or wrong."""

    def open(self, offset: int, mark: str | None) -> AbstractContextManager[Opened]:
        """Begins to read at `offset` if the file is still the one of `mark`, else at 0.

        Raises:
            BrokenError: when asking again may help.
            TrainerError: when it cannot.
        """


@dataclass(frozen=True)
class Expected:
    """What the bytes must be, as far as it is known beforehand."""

    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    md5_hint: str | None = None  # an ETag that is usually, and not always, the MD5

    def differs(self, hashed: "Hashed") -> str | None:
        """What is wrong with what came; None when it is as it must be."""
        if self.size_bytes is not None and hashed.size_bytes != self.size_bytes:
            return f"it has {hashed.size_bytes} bytes where {self.size_bytes} are expected"
        if self.sha256 is not None and hashed.sha256 != self.sha256:
            return f"its SHA-256 is {hashed.sha256} where {self.sha256} is expected"
        if self.git_sha1 is not None and hashed.git_sha1 != self.git_sha1:
            return f"its git hash is {hashed.git_sha1} where {self.git_sha1} is expected"
        return None


@dataclass(frozen=True)
class Hashed:
    """A file's size and hashes; the git one only where it was asked for."""

    size_bytes: int
    sha256: str
    git_sha1: str | None = None
    md5: str | None = None


class Meter(Protocol):
    """Counts bytes for those who watch."""

    def add(self, count: int) -> None:
        """Bytes that came, or (negative) that came in vain."""


@dataclass(frozen=True)
class Conditions:
    """What surrounds all transfers of one stage.

    `guard` is called before each write and while waiting; what it raises ends the transfer.
    """

    patience: Patience
    meter: Meter
    guard: Callable[[], None]


def transfer(source: Source, expected: Expected, target: Path, conditions: Conditions) -> Hashed:
    """Makes `target` from the source, or verifies what an earlier run left of it.

    Raises:
        TrainerError: of the source's class when the bytes are wrong twice; of class infrastructure when the source
            does not answer for long, or the storage is full.
    """
    partial = _Partial(target)
    wrong: list[Hashed] = []
    while True:
        hashed = _completed(source, expected, partial, conditions)
        problem = expected.differs(hashed)
        doubted = problem is None and expected.md5_hint is not None and hashed.md5 != expected.md5_hint
        # An ETag that looks like an MD5 may be something else; the same bytes twice are believed.
        if problem is None and (not doubted or hashed in wrong):
            partial.commit()
            return hashed
        partial.discard()
        conditions.meter.add(-hashed.size_bytes)
        wrong.append(hashed)
        if len(wrong) == 2:
            what = problem or "it came with other bytes each time"
            raise TrainerError(
                source.error_class,
                f"{source.name} was fetched twice and is wrong: {what}. The source, or something on the way to it, "
                "changes the file; correct the expected hash if the file was meant to change.",
            )


def hashes_of(path: Path, expected: Expected, guard: Callable[[], None] = lambda: None) -> Hashed:
    """Hashes of a file on the storage."""
    hasher = _Hasher(expected, path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            guard()
            hasher.add(block)
    return hasher.hashed()


def no_room(directory: Path, needed_bytes: int | None) -> TrainerError:
    """What to say when the storage is full."""
    free = shutil.disk_usage(directory).free
    wanted = f"{needed_bytes / 1e9:.2f} GB are still to be written and" if needed_bytes is not None else "Only"
    return TrainerError(
        ErrorClass.INFRASTRUCTURE,
        f"The storage has no room for what is fetched: {wanted} {free / 1e9:.2f} GB are free. Make room (other weights "
        "under weights/, old outputs), or enlarge the volume. What was fetched stays and is gone on from.",
    )


def _completed(source: Source, expected: Expected, partial: "_Partial", conditions: Conditions) -> Hashed:
    """Reads the source to its end over as many tries as it takes, and hashes the whole."""
    failures, progress = 0, partial.size()
    hasher = _Hasher(expected, expected.size_bytes)
    conditions.meter.add(partial.hash_into(hasher, conditions.guard))
    while True:
        try:
            _read_on(source, expected, partial, hasher, conditions)
            return hasher.hashed()
        except BrokenError as broken:
            # Only a block or more counts as getting on, or a source could break off for ever.
            failures = 1 if hasher.size_bytes - progress >= BLOCK_BYTES else failures + 1
            progress = hasher.size_bytes
            if failures >= conditions.patience.tries:
                raise TrainerError(
                    ErrorClass.INFRASTRUCTURE,
                    f"{source.name} could not be fetched after {failures} tries: {broken.reason}. Check the network, "
                    "the proxy and the source; what came so far stays and is gone on from.",
                ) from broken
            pause(conditions, max(conditions.patience.wait_seconds(failures), broken.retry_after_seconds or 0))


def _read_on(
    source: Source, expected: Expected, partial: "_Partial", hasher: "_Hasher", conditions: Conditions
) -> None:
    total = expected.size_bytes if expected.size_bytes is not None else partial.total_bytes
    if total is not None and hasher.size_bytes == total and hasher.size_bytes > 0:
        return
    with source.open(hasher.size_bytes, partial.mark) as opened:
        if opened.offset != hasher.size_bytes:
            conditions.meter.add(-hasher.size_bytes)
            hasher.restart()
        partial.begin(opened)
        total = opened.total_bytes if expected.size_bytes is None else expected.size_bytes
        with partial.path.open("ab") as file:
            file.truncate(hasher.size_bytes)
            for block in opened.blocks:
                conditions.guard()
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    if error.errno in NO_ROOM:
                        raise no_room(
                            partial.path.parent, None if total is None else total - hasher.size_bytes
                        ) from error
                    raise
                hasher.add(block)
                conditions.meter.add(len(block))
    if total is not None and hasher.size_bytes < total:
        raise BrokenError(f"it broke off after {hasher.size_bytes} of {total} bytes")


def pause(conditions: Conditions, seconds: float) -> None:
    """Waits, and looks at the guard every while."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        conditions.guard()
        time.sleep(min(0.5, left))


class _Hasher:
    """All hashes of a file that grows at its end."""

    def __init__(self, expected: Expected, total_bytes: int | None) -> None:
        self._expected = expected
        self._total_bytes = total_bytes
        self.restart()

    def restart(self) -> None:
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._git = None
        if self._expected.git_sha1 is not None and self._total_bytes is not None:
            # git's name of a file's content, which the Hub gives for files that are not in its large file storage
            self._git = hashlib.sha1(b"blob %d\0" % self._total_bytes, usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False) if self._expected.md5_hint is not None else None

    def add(self, block: bytes) -> None:
        self.size_bytes += len(block)
        for hasher in (self._sha256, self._git, self._md5):
            if hasher is not None:
                hasher.update(block)

    def hashed(self) -> Hashed:
        return Hashed(
            self.size_bytes,
            self._sha256.hexdigest(),
            self._git.hexdigest() if self._git else None,
            self._md5.hexdigest() if self._md5 else None,
        )


@dataclass
class _Partial:
    """The bytes of a file that is not whole yet, and what they are of."""

    target: Path
    mark: str | None = None
    total_bytes: int | None = None
    path: Path = field(init=False)
    note: Path = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.target.with_name(self.target.name + ".partial")
        self.note = self.target.with_name(self.target.name + ".partial.json")
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
            self.mark, self.total_bytes = noted["mark"], noted["totalBytes"]
        except (OSError, ValueError, KeyError, TypeError):
            # Bytes of nobody knows what cannot be gone on from.
            self.path.unlink(missing_ok=True)

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def hash_into(self, hasher: _Hasher, guard: Callable[[], None]) -> int:
        """Hashes what is there already; returns its size."""
        if self.path.exists():
            with self.path.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    guard()
                    hasher.add(block)
        return hasher.size_bytes

    def begin(self, opened: Opened) -> None:
        """Notes of what version the bytes are that follow, before the first of them is written."""
        if (self.mark, self.total_bytes) == (opened.mark, opened.total_bytes) and self.note.exists():
            return
        self.mark, self.total_bytes = opened.mark, opened.total_bytes
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if opened.offset == 0:
            self.path.unlink(missing_ok=True)
        write_whole(self.note, json.dumps({"mark": self.mark, "totalBytes": self.total_bytes}))

    def commit(self) -> None:
        sync_file(self.path)
        self.path.replace(self.target)
        self.note.unlink(missing_ok=True)
        sync_directory(self.target.parent)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.mark = self.total_bytes = None
