"""Directories on the storage that are fetched once and used by many jobs: complete and described, or not there.

A directory is filled as `<name>.partial` under a lock, gets its `COMPLETE.json` last, and is renamed. Whoever finds it
complete looks at the sizes each time, and at all hashes when nobody did for a week: reading 140 GB for every job would
cost it a minute or more, never reading it would let a storage that rots go unseen.
"""

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from tunesmith_trainer.contract.messages import FileSaid, Said
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.transfer import Conditions, Expected, Hashed, Source, hashes_of, no_room, transfer
from tunesmith_trainer.locks import Rhythm
from tunesmith_trainer.storage import make_readable, sha256_of, sync_directory, sync_file, write_whole
from tunesmith_trainer.writing_lock import HeldLock, held

MANIFEST = "COMPLETE.json"
LOOKED_AT = "VERIFIED.json"
PIECES = "pieces"
SECONDS_BETWEEN_FULL_LOOKS = 7 * 24 * 3600.0
FILES_AT_ONCE = 6


class Manifest(Said):
    """What makes a fetched directory complete."""

    origin: str
    main: str | None = None
    revision: str | None = None
    files: dict[str, FileSaid]
    time: datetime


@dataclass(frozen=True)
class Item:
    """One file of a directory, and where it comes from. Names that begin with `pieces/` do not stay."""

    name: str
    source: Source
    expected: Expected


@dataclass(frozen=True)
class Order:
    """A directory that is wanted.

    `finish` is called when all items lie in the directory it is given, and returns the main file's name, if there
    is one; what it makes becomes part of the directory.
    """

    directory: Path
    origin: str
    items: Callable[[Path], Sequence[Item]]
    finish: Callable[[Path], str | None] = lambda _: None
    revision: str | None = None


class Counter:
    """Bytes done and in all, over all files of a stage, from all threads."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._done = self._total = 0

    def expect(self, count: int) -> None:
        """So many bytes more are to come."""
        with self._lock:
            self._total += count
            self._report(max(0, self._done), self._total)

    def add(self, count: int) -> None:
        """Bytes that came, or (negative) that came in vain."""
        with self._lock:
            self._done += count
            self._report(max(0, self._done), max(self._total, self._done))


@dataclass(frozen=True)
class Depot:
    """Where directories are brought to."""

    conditions: Conditions
    counter: Counter
    tell: Callable[[str], None]
    rhythm: Rhythm = field(default_factory=Rhythm)

    def bring(self, order: Order) -> Manifest:
        """The directory of the order, complete, fetched by this process or another.

        Raises:
            TrainerError: see `transfer`; infrastructure, too, when the lock was lost.
        """
        complete = self.opened(order.directory)
        if complete is not None:
            return complete
        waiting = _Waiting(self.conditions.guard, self.tell, order)
        with held(
            order.directory.parent / ".locks" / order.directory.name,
            waiting=waiting,
            rhythm=self.rhythm,
        ) as lock:
            return self.opened(order.directory, again=True) or self._filled(order, lock)

    def opened(self, directory: Path, *, again: bool = False) -> Manifest | None:
        """What lies there already, when it is complete and whole; `again`: damage has been told before."""
        manifest = _manifest(directory)
        if manifest is None:
            return None
        whole_look = _seconds_since_full_look(directory) > SECONDS_BETWEEN_FULL_LOOKS
        damaged = [name for name, file in manifest.files.items() if not self._whole(directory / name, file, whole_look)]
        if damaged:
            if not again:
                self.tell(f"'{directory}' is damaged ({', '.join(damaged[:3])}); what is damaged is fetched again.")
            return None
        if whole_look:
            # Where another user's job fetched it, it may be readable only; then the next one looks, too.
            with suppress(PermissionError):
                write_whole(directory / LOOKED_AT, json.dumps({"time": time.time()}))
        return manifest

    def _whole(self, path: Path, file: FileSaid, look_inside: bool) -> bool:
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return False
        return not look_inside or hashes_of(path, Expected(), self.conditions.guard).sha256 == file.sha256

    def _filled(self, order: Order, lock: HeldLock) -> Manifest:
        partial = order.directory.with_name(order.directory.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        _salvage(order.directory, partial)
        if _manifest(partial) is None:
            self._describe(order, partial, self._fetch_all(order, partial, lock))
        lock.ensure()
        shutil.rmtree(partial / PIECES, ignore_errors=True)
        make_readable(partial)
        partial.rename(order.directory)
        sync_directory(order.directory.parent)
        manifest = _manifest(order.directory)
        if manifest is None:
            raise TrainerError(
                ErrorClass.INFRASTRUCTURE, f"'{order.directory}' was written whole and cannot be read again."
            )
        return manifest

    def _describe(self, order: Order, partial: Path, fetched: dict[str, Hashed]) -> None:
        known = {(partial / name).stat().st_ino: hashed for name, hashed in fetched.items()}
        main = order.finish(partial)
        files = {
            name: _said(partial / name, known) for name in sorted(_names(partial)) if not name.startswith(f"{PIECES}/")
        }
        write_whole(partial / LOOKED_AT, json.dumps({"time": time.time()}))
        manifest = Manifest(
            origin=order.origin, main=main, revision=order.revision, files=files, time=datetime.now(UTC)
        )
        write_whole(partial / MANIFEST, manifest.line())

    def _fetch_all(self, order: Order, partial: Path, lock: HeldLock) -> dict[str, Hashed]:
        over = threading.Event()

        def guard() -> None:
            if over.is_set():
                raise _StoppedError
            lock.ensure()
            self.conditions.guard()

        conditions = Conditions(self.conditions.patience, self.counter, guard)
        items = order.items(partial)
        self._ensure_room(items, partial)
        for leftover in sorted(set(_names(partial)) - _kept(items)):
            (partial / leftover).unlink()
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="tunesmith-fetch") as pool:
            fetches = [pool.submit(self._fetch, item, partial, conditions) for item in items]
            try:
                wait(fetches, return_when=FIRST_EXCEPTION)
            finally:
                over.set()
        failures = [error for fetch in fetches if (error := fetch.exception()) is not None]
        for error in failures:
            if not isinstance(error, _StoppedError):
                raise error
        return {item.name: fetch.result() for item, fetch in zip(items, fetches, strict=True)}

    def _fetch(self, item: Item, partial: Path, conditions: Conditions) -> Hashed:
        target = partial / item.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file():
            hashed = hashes_of(target, item.expected, conditions.guard)
            known = item.expected.size_bytes is not None
            if known and item.expected.differs(hashed) is None:
                self.counter.add(hashed.size_bytes)
                return hashed
            target.unlink()
        return transfer(item.source, item.expected, target, conditions)

    def _ensure_room(self, items: Sequence[Item], partial: Path) -> None:
        total = needed = 0
        for item in items:
            size = item.expected.size_bytes or 0
            here = (partial / item.name, partial / f"{item.name}.partial")
            total += size
            needed += max(0, size - sum(path.stat().st_size for path in here if path.is_file()))
        self.counter.expect(total)
        if needed > shutil.disk_usage(partial).free:
            raise no_room(partial, needed)


class _StoppedError(Exception):
    """Another file of the same directory failed."""


class _Waiting:
    """Says once that another process is at it, and goes on waiting."""

    def __init__(self, guard: Callable[[], None], tell: Callable[[str], None], order: Order) -> None:
        self._guard, self._tell, self._order = guard, tell, order
        self._said = False

    def __call__(self) -> None:
        self._guard()
        if not self._said:
            self._said = True
            self._tell(f"Another job fetches {self._order.origin} at this moment; this one waits and shares it.")


def _manifest(directory: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json((directory / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def _seconds_since_full_look(directory: Path) -> float:
    try:
        looked = json.loads((directory / LOOKED_AT).read_bytes())["time"]
        return time.time() - float(looked)
    except (OSError, ValueError, KeyError, TypeError):
        return float("inf")


def _salvage(directory: Path, partial: Path) -> None:
    """Takes what is whole of a damaged directory into the partial one, and the rest out of the way."""
    if not directory.exists():
        return
    manifest = _manifest(directory)
    for name, file in manifest.files.items() if manifest else ():
        path, target = directory / name, partial / name
        if not target.exists() and path.is_file() and sha256_of(path) == file.sha256:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    aside = directory.with_name(f"{directory.name}.damaged-{uuid.uuid4().hex[:8]}")
    directory.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)  # what is left of it is cleared up later


def _said(path: Path, known: dict[int, Hashed]) -> FileSaid:
    """Size and hash of a file: of one that was fetched as it was found then, of one that was made by reading it."""
    if (hashed := known.get(path.stat().st_ino)) is not None:
        return FileSaid(sha256=hashed.sha256, size_bytes=hashed.size_bytes)
    sync_file(path)
    return FileSaid(sha256=sha256_of(path), size_bytes=path.stat().st_size)


def _names(directory: Path) -> list[str]:
    return [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]


def _kept(items: Sequence[Item]) -> set[str]:
    """Names that may lie in a partial directory: the items, and what belongs to a transfer that broke off."""
    return {f"{item.name}{suffix}" for item in items for suffix in ("", ".partial", ".partial.json")}
