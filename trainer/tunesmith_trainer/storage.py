"""Writing on the shared storage so that a reader, or a crash, sees a file or directory whole or not at all."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from tunesmith_trainer.contract.messages import FileSaid

BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sync_file(path: Path) -> None:
    """Waits until the file's bytes are on the storage."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Waits until the names in the directory are on the storage."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Writes a file by rename: the name never stands for half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    sync_file(partial)
    partial.replace(path)
    sync_directory(path.parent)


def copy_whole(source: Path, destination: Path) -> FileSaid:
    """Copies a file and waits until it is on the storage; what it says is of the bytes as they were read."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reader, destination.open("wb") as writer:
        while block := reader.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return FileSaid(sha256=digest.hexdigest(), size_bytes=size)


def sync_tree(directory: Path) -> None:
    """Waits until every name below the directory is on the storage."""
    for path in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        sync_directory(path)


def make_readable(directory: Path) -> None:
    """Lets every user read what is below the directory; some libraries write weights for their own user only."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def said_files(directory: Path, known: Mapping[str, FileSaid] | None = None) -> dict[str, FileSaid]:
    """Size and hash of every file below a directory, by its relative path, once all of them are on the storage.

    Those `known` are not read again.
    """
    files = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = path.relative_to(directory).as_posix()
        if known is not None and name in known:
            files[name] = known[name]
            continue
        sync_file(path)
        files[name] = FileSaid(sha256=sha256_of(path), size_bytes=path.stat().st_size)
    sync_directory(directory)
    return files


def first_damage(directory: Path, files: dict[str, FileSaid]) -> str | None:
    """What is wrong with the first file that is not as it was said to be; None when all are."""
    for name, file in files.items():
        path = directory / name
        if not path.is_file():
            return f"its file {name} is missing"
        if (size := path.stat().st_size) != file.size_bytes:
            return f"its file {name} has {size} bytes, not {file.size_bytes}"
        if sha256_of(path) != file.sha256:
            return f"its file {name} has other contents than when it was saved"
    return None
