"""The parent of one container's first process: makes its namespaces, keeps its log, tells how it ended.

One shim per container run, as containerd has them. Reads a JSON `ShimOrder` on standard input and writes JSON lines on
standard output: `{"pid": N}` once the program runs, at the end `{"exit_code": N, "signal": N}`, or `{"error": "..."}`
when it could not be started. The program is process 1 of a PID namespace, so its end is the end of all its children;
it dies with the shim, and the shim with its node.

Imports nothing but the standard library and `sandbox.py`: it starts in some 30 ms and stays small.
"""

import json
import os
import selectors
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith_devcluster.nodes import sandbox

_MAX_LINE_BYTES = 16 * 1024
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class ShimOrder:
    """What to run and where; travels as JSON. Without root it takes a user namespace to mount anything."""

    command: list[str]
    environment: dict[str, str]
    working_directory: str
    hostname: str
    root: str
    log: str
    user_namespace: bool
    mounts: list[sandbox.Mount] = field(default_factory=list)

    @classmethod
    def from_json(cls, text: str) -> "ShimOrder":
        """The order as the node wrote it."""
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "mounts": [sandbox.Mount(**mount) for mount in values["mounts"]]})


def main() -> None:
    """Run one container to its end."""
    sandbox.die_with_parent()
    order = ShimOrder.from_json(sys.stdin.readline())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        if order.user_namespace:
            sandbox.become_root_of_a_user_namespace()
        sandbox.unshare(sandbox.CLONE_NEWNS | sandbox.CLONE_NEWUTS | sandbox.CLONE_NEWPID)
    except OSError as error:
        _tell(error=f"cannot make namespaces: {error}")
        return
    # Opened before the container's mounts exist: one on /tmp may hide the directory that the log lies in.
    log = Path(order.log).open("ab", buffering=0)  # noqa: SIM115 - closed when the process ends
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    trouble_read, trouble_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_container(order, out_write, err_write, trouble_write)
    for descriptor in (out_write, err_write, trouble_write):
        os.close(descriptor)
    trouble = _read_all(trouble_read)
    if trouble:
        os.waitpid(pid, 0)
        _tell(error=trouble)
        return
    _tell(pid=pid)
    _keep_log(log, {out_read: "stdout", err_read: "stderr"})
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    _tell(exit_code=code if code >= 0 else 128 - code, signal=max(0, -code))


def _become_container(order: ShimOrder, out: int, err: int, trouble: int) -> None:
    """Never returns: becomes the program, or writes to `trouble` why not."""
    try:
        sandbox.die_with_parent()
        os.setsid()
        sandbox.set_hostname(order.hostname)
        sandbox.enter_private_root(order.root, order.mounts)
        Path(order.working_directory).mkdir(parents=True, exist_ok=True)
        os.chdir(order.working_directory)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # Python ignores some of them, and ignoring survives exec
        os.execvpe(order.command[0], order.command, order.environment)  # noqa: S606 - this is what a shim is for
    except OSError as error:
        os.write(trouble, f"cannot run {order.command[0]!r}: {error}".encode())
    os._exit(128)


def _keep_log(log: BinaryIO, streams: dict[int, str]) -> None:
    """Copy the streams until both have ended, as lines `<time> <stream> <F|P> <text>` (the format of the CRI)."""
    pending = dict.fromkeys(streams, b"")
    with selectors.DefaultSelector() as selector:
        for descriptor in streams:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                chunk = os.read(key.fd, _CHUNK_BYTES)
                *lines, rest = (pending[key.fd] + chunk).split(b"\n")
                pending[key.fd] = _write_lines(log, streams[key.fd], lines, rest, ended=not chunk)
                if not chunk:
                    selector.unregister(key.fd)


def _write_lines(log: BinaryIO, stream: str, lines: list[bytes], rest: bytes, *, ended: bool) -> bytes:
    """Write whole lines, and what is left when it is too long or nothing more comes; returns what still waits."""
    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {stream}".encode()
    entries = [b"%b F %b\n" % (stamp, line) for line in lines]
    if rest and (ended or len(rest) > _MAX_LINE_BYTES):
        entries.append(b"%b P %b\n" % (stamp, rest))
        rest = b""
    if entries:
        log.write(b"".join(entries))
    return rest


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read().decode(errors="replace")


def _tell(**fact: Any) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
