"""What every thread was doing when training sat still: into the log, and onto the storage that outlives the pod."""

import contextlib
import faulthandler
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

DIRECTORY = "stacks"
PY_SPY_SECONDS = 20


def dump_own(attempt_directory: Path, rank: int) -> Path | None:
    """Writes this process's stacks to stderr and to the storage; returns the file, or None when there is no place."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    sys.stderr.flush()
    try:
        with _file(attempt_directory, rank) as file:
            file.write(f"Rank {rank}, process {os.getpid()}\n")
            file.flush()
            faulthandler.dump_traceback(file=file, all_threads=True)
            _py_spy(os.getpid(), file)
            return Path(file.name)
    except OSError:
        return None


def dump_silent(attempt_directory: Path, rank: int, pid: int) -> None:
    """Writes the stacks of a process of this pod that cannot write its own, where py-spy is at hand."""
    with contextlib.suppress(OSError), _file(attempt_directory, rank) as file:
        file.write(f"Rank {rank}, process {pid}, which gave no sign of life\n")
        file.flush()
        if not _py_spy(pid, file):
            file.write("Its stacks cannot be read from outside: py-spy is not there, or may not look.\n")


def dumped(attempt_directory: Path) -> set[int]:
    """The ranks whose stacks are on the storage."""
    return {int(path.stem.removeprefix("rank-")) for path in (attempt_directory / DIRECTORY).glob("rank-*.txt")}


def _file(attempt_directory: Path, rank: int) -> IO[str]:
    directory = attempt_directory / DIRECTORY
    directory.mkdir(exist_ok=True)
    return (directory / f"rank-{rank}.txt").open("w", encoding="utf-8")


def _py_spy(pid: int, file: IO[str]) -> bool:
    program = shutil.which("py-spy")
    if program is None:
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        arguments = [program, "dump", "--nonblocking", "--pid", str(pid)]
        done = subprocess.run(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=PY_SPY_SECONDS, check=False
        )
        file.write(done.stdout)
        return done.returncode == 0
    return False
