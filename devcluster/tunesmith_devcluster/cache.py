"""What is made once and kept outside the tree: programs, under a key of all that they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]


def root() -> Path:
    """Where everything is kept: `$XDG_CACHE_HOME/tunesmith`, by default `~/.cache/tunesmith`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tunesmith"


def key_of(files: Sequence[Path], *settings: str) -> str:
    """A short name for what these files and settings make; another content gives another name."""
    digest = hashlib.sha256()
    for part in [*(file.read_bytes() for file in files), *(setting.encode() for setting in settings)]:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def provide(
    directory: Path, names: Sequence[str], make: Callable[[Path], None], *, on_wait: Callable[[], None]
) -> list[Path]:
    """The named files of a cache directory; what `make` writes into an empty directory if one is missing.

    Files come into the cache by rename, so an interrupted run leaves nothing half done; a second run at the same time
    waits for the first, after calling `on_wait`.
    """
    wanted = [directory / name for name in names]
    if all(file.exists() for file in wanted):
        return wanted
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_name(f"{directory.name}.lock"), on_wait):
        if all(file.exists() for file in wanted):
            return wanted
        draft = Path(tempfile.mkdtemp(prefix=".making-", dir=directory))
        try:
            make(draft)
            for file in wanted:
                (draft / file.name).replace(file)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return wanted


@contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
