"""What nobody needs any more on a storage: downloads that were given up, and prepared rows that no job reads.

Done by each preparation at its end. Only names that this program gives are looked at, and never a complete download: a
person removes those. Safe beside running jobs: a download is removed under its writing lock; whoever reads prepared
rows touches their mark at least hourly, and what was touched within a month stays. Ages are by the storage's own
clock. What goes is renamed first: it is there whole, or not there.
"""

import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tunesmith_trainer.locks import put_aside, taken
from tunesmith_trainer.writing_lock import held_at_once

DAY_SECONDS = 24 * 3600.0
DOWNLOAD = re.compile(r"[0-9a-f]{40,64}\.partial")
REMAINS = re.compile(r"[0-9a-f]{24,64}\.(partial-|damaged-|removed-)\w+")
ROWS = re.compile(r"[0-9a-f]{24}")
LOCK = re.compile(r"[0-9a-f]{24}\.lock(\.stale-\w+)?")


@dataclass(frozen=True)
class Rules:
    """How long something must have been left alone, and how long clearing up may take in all."""

    abandoned_seconds: float = 7 * DAY_SECONDS
    unused_seconds: float = 30 * DAY_SECONDS
    budget_seconds: float = 60


@dataclass(frozen=True)
class _Storage:
    """The storage, and what time it is there."""

    root: Path
    now: float
    rules: Rules

    def is_abandoned(self, path: Path) -> bool:
        return self.now - _touched(path) > self.rules.abandoned_seconds

    def is_unused(self, path: Path) -> bool:
        return self.now - _touched(path) > self.rules.unused_seconds


def clean_up(
    root: Path,
    tell: Callable[[str], None],
    stop_wanted: Callable[[], bool] = lambda: False,
    *,
    rules: Rules | None = None,
    now: Callable[[Path], float] | None = None,
) -> None:
    """Removes what was left alone for long; tells of each. Never fails: what cannot be removed now stays, and is told.

    Args:
        now: the storage's clock, in seconds since 1970.
    """
    rules = rules or Rules()
    deadline = time.monotonic() + rules.budget_seconds
    try:
        storage = _Storage(root, (now or clock_of)(root), rules)
        for path, remove in _found(storage):
            if stop_wanted() or time.monotonic() > deadline:
                return
            _tell_of(path, remove, tell)
    except OSError as error:
        tell(f"'{root}' could not be looked through for what nobody needs: {error.strerror}.")


def clock_of(root: Path) -> float:
    """What time it is by the clock that dates the files; a node's own may differ."""
    with tempfile.NamedTemporaryFile(dir=root, prefix=".clock-") as file:
        return Path(file.name).stat().st_mtime


def _found(storage: _Storage) -> Iterator[tuple[Path, Callable[[], int]]]:
    """Candidates, each with what removes it: it returns the bytes that came free, 0 when it was left alone."""
    root = storage.root
    for place in (*_directories(root / "weights"), root / "datasets"):
        for path in _directories(place):
            if DOWNLOAD.fullmatch(path.name) and storage.is_abandoned(path):
                yield path, partial(_remove_download, path, storage)
            if REMAINS.fullmatch(path.name) and storage.is_abandoned(path):
                yield path, partial(_removed, path)
    for path in _files(root / "prepared"):
        if LOCK.fullmatch(path.name) and storage.is_abandoned(path):
            yield path, partial(_remove_lock, path)
    for path in _directories(root / "prepared"):
        if REMAINS.fullmatch(path.name) and storage.is_abandoned(path):
            yield path, partial(_removed, path)
        if ROWS.fullmatch(path.name) and storage.is_unused(path):
            yield path, partial(_remove_rows, path, storage)


def _remove_download(download: Path, storage: _Storage) -> int:
    lock = download.parent / ".locks" / download.name.removesuffix(".partial")
    with held_at_once(lock, given_up=storage.is_abandoned) as mine:
        # Whoever held it a moment ago may have gone on with it.
        if mine is None or not download.is_dir() or not storage.is_abandoned(download):
            return 0
        mine.ensure()
        aside = _aside(download)
        download.rename(aside)
        return _removed(aside)


def _remove_lock(lock: Path) -> int:
    """Of a process that died: a living one writes into it all the time. Its bytes are nothing to tell of."""
    put_aside(lock, lock.read_bytes())
    return 0


def _remove_rows(rows: Path, storage: _Storage) -> int:
    with taken(rows.with_name(f"{rows.name}.lock")) as mine:
        if not mine or not rows.is_dir() or not storage.is_unused(rows):
            return 0
        before, aside = _read_last(rows), _aside(rows)
        rows.rename(aside)
        if _read_last(aside) > before:  # somebody opened them in between: they go back, unless made anew by now
            with suppress(OSError):
                aside.rename(rows)
                return 0
        return _removed(aside)


def _tell_of(path: Path, remove: Callable[[], int], tell: Callable[[str], None]) -> None:
    try:
        freed = remove()
    except FileNotFoundError:
        return  # another preparation was faster
    except OSError as error:
        tell(f"'{path}' is needed by nobody and could not be removed: {error.strerror}.")
        return
    if freed:
        tell(f"'{path}' was left alone for long and is removed ({freed / 1e9:.2f} GB).")


def _removed(path: Path) -> int:
    """Its bytes, at least 1; 0 when another was faster. What another removes at the same moment is no fault."""
    if not path.exists():
        return 0
    size = 1 + sum(_size(inner) for inner in _inside(path))
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        raise PermissionError(13, "some of it may not be removed")
    return size


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix('.partial')}.removed-{uuid.uuid4().hex}")


def _directories(place: Path) -> list[Path]:
    return [path for path in _entries(place) if path.is_dir()]


def _files(place: Path) -> list[Path]:
    return [path for path in _entries(place) if path.is_file()]


def _entries(place: Path) -> list[Path]:
    """What lies in it, by name; links are left out."""
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if not path.is_symlink())


def _touched(path: Path) -> float:
    """When something of it was written, made or renamed last."""
    return max(_latest(inner) for inner in (path, *_inside(path)))


def _read_last(rows: Path) -> float:
    """When a file in it was touched last; the directory itself is dated by its renaming."""
    return max((inner.stat().st_mtime for inner in rows.iterdir()), default=0.0)


def _inside(path: Path) -> Iterator[Path]:
    """Everything below; what vanishes meanwhile is left out."""
    for place, directories, files in os.walk(path):
        yield from (Path(place, name) for name in (*directories, *files))


def _latest(path: Path) -> float:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0
    return max(found.st_mtime, found.st_ctime)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0
