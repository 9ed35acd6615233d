"""Background processes that outlive their starter and can be ended exactly, from any process, by their pid files.

A pid alone may have been given to somebody else since; a pid with its start time never has.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tunesmith_devcluster.errors import DevclusterError

TAIL_LINES = 15
NOT_KNOWN = -1


@dataclass(frozen=True)
class Process:
    """A process in a session of its own, as its pid file records it.

    `started_ticks` is the kernel's start time of the process, in clock ticks since boot (proc(5), field 22 of stat).
    """

    pid: int
    started_ticks: int
    argv: tuple[str, ...]
    log: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a finished child of ours is collected on the way."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return _started_ticks(self.pid) == self.started_ticks

    def log_tail(self) -> str:
        """The last lines it wrote, indented, for an error message."""
        try:
            lines = Path(self.log).read_text(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError as error:
            return f"    (its log cannot be read: {error})"
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that stayed in its process group; nothing if it is gone."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def start(argv: Sequence[str | Path], *, pid_file: Path, log: Path, environment: Mapping[str, str]) -> Process:
    """Start a program in its own session, output appended to `log`, and record it in `pid_file`.

    What is about to be started is recorded first: were we killed right after, it would run on and nobody know of it.
    Raises `DevclusterError` if the program cannot be executed.
    """
    arguments = tuple(str(argument) for argument in argv)
    _record(Process(NOT_KNOWN, NOT_KNOWN, arguments, str(log)), pid_file)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        )
    except OSError as error:
        pid_file.unlink()
        raise DevclusterError(
            f"'{arguments[0]}' could not be started: {error.strerror}. Is it there, and a program?"
        ) from error
    ticks = _started_ticks(pid)
    process = Process(pid, NOT_KNOWN if ticks is None else ticks, arguments, str(log))
    _record(process, pid_file)
    return process


def recorded(pid_file: Path) -> Process | None:
    """The process that a pid file speaks of, or None where there is no readable pid file, or where none was started."""
    try:
        fields = json.loads(pid_file.read_text())
        process = Process(fields["pid"], fields["started_ticks"], tuple(fields["argv"]), fields["log"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _unrecorded(process) if process.pid == NOT_KNOWN else process


def end(pid_files: Iterable[Path], *, grace_seconds: float) -> None:
    """End the recorded processes together: SIGTERM, then SIGKILL after the grace time; the pid files go.

    Pid files of processes that ended long ago are removed and nobody is signalled.
    """
    files = list(pid_files)
    running = [process for process in map(recorded, files) if process is not None and process.alive]
    for process in running:
        process.send(signal.SIGTERM)
    if not _wait_until_gone(running, grace_seconds):
        for process in running:
            process.send(signal.SIGKILL)
        if not _wait_until_gone(running, 10):
            left = ", ".join(str(process.pid) for process in running if process.alive)
            raise DevclusterError(
                f"Processes {left} did not end even by SIGKILL; look at them with 'ps -o pid,stat,wchan,args'."
            )
    for file in files:
        file.unlink(missing_ok=True)


def own_identity() -> tuple[int, int]:
    """Pid and start time of the calling process."""
    return os.getpid(), _started_ticks(os.getpid()) or 0


def is_running(pid: int, started_ticks: int) -> bool:
    """Whether the process of this pid and start time still runs."""
    return _started_ticks(pid) == started_ticks


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or nothing, readable by the owner only unless told otherwise."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _record(process: Process, pid_file: Path) -> None:
    write_atomically(pid_file, json.dumps(asdict(process)))


def _unrecorded(about: Process) -> Process | None:
    """The process that was about to be started, if it was: by its command line, which names directories of its own."""
    wanted = b"".join(os.fsencode(argument) + b"\0" for argument in about.argv)
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes() == wanted:
                pid = int(file.parent.name)
                return replace(about, pid=pid, started_ticks=_started_ticks(pid) or NOT_KNOWN)
    return None


def _wait_until_gone(processes: list[Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(process.alive for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _started_ticks(pid: int) -> int | None:
    """Start time of a living process; None for one that is gone or only waits to be collected."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
