"""Prepared datasets on the storage, under a key of everything that they were made from; shared by all jobs.

What is there is whole: it was renamed into place when finished, and its bytes are compared with their hash each time.
Whoever uses it touches a mark beside it, again and again: `clean_up` removes what nobody touched for long.
"""

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tunesmith_trainer import __version__
from tunesmith_trainer.contract.messages import DatasetSaid, FileSaid
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.locks import once
from tunesmith_trainer.storage import first_damage, make_readable, said_files, sha256_of, sync_directory, write_whole

ROWS_FILE = "rows.arrow"
SUMMARY_FILE = "summary.json"
MARK = "USED"
SECONDS_BETWEEN_MARKS = 3600.0
# In the rows' file besides what is learnt: the lines of the dataset (rows, of Parquet) that each was made from.
SOURCE_COLUMN = "source_rows"
# Raised whenever the same file would be prepared otherwise than before.
GENERATION = 3
TOKENIZER_FILES = ("tokenizer*", "*.jinja", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt")


@dataclass(frozen=True)
class Prepared:
    """A prepared file on the storage: `rows` in Arrow's stream format, and what became of the dataset's rows."""

    rows: Path
    summary: DatasetSaid


class _Summary(BaseModel):
    """summary.json beside the rows: written last."""

    dataset: DatasetSaid
    files: dict[str, FileSaid]


def key_of(content: str, tokenizer_path: Path, rules: MaskingRules, packing: bool) -> str:
    """The name of what a file becomes: content, tokenizer, template, rules and this program's way to do it.

    Args:
        content: hex SHA-256 of the file's bytes.
    """
    described = {
        "data": content,
        "tokenizer": {
            path.name: sha256_of(path)
            for pattern in TOKENIZER_FILES
            for path in sorted(tokenizer_path.glob(pattern))
            if path.is_file()
        },
        "rules": asdict(rules),
        "packing": packing,
        "trainer": [__version__, GENERATION],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]


def kept(cache: Path, key: str, make: Callable[[Path], DatasetSaid]) -> Prepared:
    """What the cache has under the key; made by `make`, which writes the rows to the path given, when it has nothing.

    Raises:
        TrainerError: whatever `make` raises; nothing is left behind then.
    """
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / key
    return once(cache / f"{key}.lock", lambda: _opened(directory), lambda: _made(directory, make))


@contextmanager
def in_use(*prepared: Prepared, every_seconds: float = SECONDS_BETWEEN_MARKS) -> Iterator[None]:
    """Keeps the marks fresh while the rows are read."""
    over = threading.Event()

    def mark() -> None:
        while not over.wait(every_seconds):
            for one in prepared:
                _mark(one.rows.parent)

    thread = threading.Thread(target=mark, name="tunesmith-in-use", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _mark(directory: Path) -> None:
    # Rows that another user made may be readable only; then they are as old as they look.
    with suppress(OSError):
        (directory / MARK).touch()


def _made(directory: Path, make: Callable[[Path], DatasetSaid]) -> Prepared:
    partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
    try:
        said = make(partial / ROWS_FILE)
        write_whole(partial / SUMMARY_FILE, _Summary(dataset=said, files=said_files(partial)).model_dump_json())
        make_readable(partial)
        _put_in_place(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Prepared(directory / ROWS_FILE, said)


def _put_in_place(partial: Path, directory: Path) -> None:
    if directory.exists():
        if _opened(directory) is not None:
            return  # one that was thought dead has finished after all; others may be reading what it made
        damaged = Path(tempfile.mkdtemp(prefix=f"{directory.name}.damaged-", dir=directory.parent))
        directory.rename(damaged / directory.name)
        shutil.rmtree(damaged, ignore_errors=True)
    partial.rename(directory)
    sync_directory(directory.parent)


def _opened(directory: Path) -> Prepared | None:
    try:
        summary = _Summary.model_validate_json((directory / SUMMARY_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    _mark(directory)  # before its bytes are read: from now on nobody clears it away
    if ROWS_FILE not in summary.files or first_damage(directory, summary.files) is not None:
        return None
    return Prepared(directory / ROWS_FILE, summary.dataset)
