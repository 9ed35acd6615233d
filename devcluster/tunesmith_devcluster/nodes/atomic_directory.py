"""A directory whose files change all at once, as kubelet writes ConfigMap and Secret volumes.

The files lie in `..<n>/`, `..data` points there, and each top-level name is a link through `..data`: replacing that one
link replaces everything, and readers who hold the directory mounted see it.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class FileContent:
    """One file of a volume."""

    data: bytes
    mode: int = DEFAULT_MODE


class AtomicDirectory:
    """Owns one directory; writes only when the content differs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[str, FileContent] | None = None
        self._numbers = count(1)

    def write(self, files: Mapping[str, FileContent]) -> bool:
        """Make the directory hold exactly `files` (relative paths); returns whether anything changed."""
        if self._written == dict(files):
            return False
        self.path.mkdir(parents=True, exist_ok=True)
        version = self.path / f"..{next(self._numbers):06d}"
        version.mkdir()
        for name, content in files.items():
            target = version / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.data)
            target.chmod(content.mode)
        link = self.path / "..data"
        previous = self.path / link.readlink() if link.is_symlink() else None
        fresh = self.path / "..data_next"
        fresh.symlink_to(version.name)
        fresh.rename(link)
        self._link_names({name.split("/", 1)[0] for name in files})
        if previous is not None:
            shutil.rmtree(previous, ignore_errors=True)
        self._written = dict(files)
        return True

    def _link_names(self, names: set[str]) -> None:
        for entry in self.path.iterdir():
            if not entry.name.startswith("..") and entry.name not in names:
                entry.unlink()
        for name in names:
            visible = self.path / name
            if not visible.is_symlink():
                visible.symlink_to(f"..data/{name}")
