"""Starting, ending and breaking process nodes, from tests and from the command line.

A node's directory is its handle: `node.pid` says which process it is (pid and start time, so that a reused pid is never
hit), `control.json` says how it shall behave, `control.seen` that it does.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tunesmith_devcluster.nodes.hosts import forget_node
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_devcluster.nodes.volumes import memory_directory

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.05


class NodeFault(Exception):  # noqa: N818 - what a person reads at the command line
    """A node could not be started, ended or broken as asked."""


@dataclass(frozen=True)
class Control:
    """How a node shall behave."""

    ready: bool = True
    cut_off: bool = False
    lost_gpus: int = 0
    sequence: int = 0

    @classmethod
    def read(cls, directory: Path) -> "Control":
        """What was last asked of the node; the defaults when nothing was."""
        try:
            return cls(**json.loads((directory / "control.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()

    def write(self, directory: Path) -> None:
        """Ask it of the node, all at once."""
        fresh = directory / "control.json.new"
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.rename(directory / "control.json")

    def acknowledge(self, directory: Path) -> None:
        """The node behaves so now."""
        (directory / "control.seen").write_text(str(self.sequence), encoding="utf-8")


@dataclass(frozen=True)
class NodeFiles:
    """What a node is started with; kept in its directory so that it can be started again."""

    kubeconfig: str
    pod_range: str
    images: str = ""
    backoff_factor: float = 1.0


def start_node(
    directory: Path, *, kubeconfig: Path, spec: NodeSpec, pod_range: str, images: Path | None = None,
    backoff_factor: float = 1.0,
) -> None:  # fmt: skip
    """Start a node and wait until it has registered; NodeFault with the end of its log when it does not.

    `backoff_factor` shortens CrashLoopBackOff for tests.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    files = NodeFiles(str(kubeconfig), pod_range, str(images or ""), backoff_factor)
    (directory / "start.json").write_text(json.dumps(asdict(files)), encoding="utf-8")
    start(directory)


def start(directory: Path) -> None:
    """Start a node (again) with what it was started with before; it begins healthy."""
    if _running_pid(directory) is not None:
        raise NodeFault(f"node {directory.name} runs already; end it first")
    _clear(directory)
    files = NodeFiles(**json.loads((directory / "start.json").read_text(encoding="utf-8")))
    command = [
        sys.executable, "-m", "tunesmith_devcluster.nodes",
        "--kubeconfig", files.kubeconfig, "--spec", str(directory / "spec.json"), "--directory", str(directory),
        "--pod-range", files.pod_range, "--backoff-factor", str(files.backoff_factor),
        *(["--images", files.images] if files.images else []),
    ]  # fmt: skip
    with (directory / "node.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    _wait(
        lambda: (directory / "ready").exists() or process.poll() is not None,
        f"node {directory.name} did not register",
    )
    if not (directory / "ready").exists():
        raise NodeFault(f"node {directory.name} ended with code {process.returncode}:\n{_last_lines(directory)}")


def stop_node(directory: Path) -> None:
    """End a node and its pods' processes in good order; the Node object stays. Nothing happens when it does not run."""
    _end(directory, signal.SIGTERM)


def kill(directory: Path) -> None:
    """End a node and all processes of its pods at once, without a goodbye: as if the power had failed."""
    _end(directory, signal.SIGKILL)


def not_ready(directory: Path) -> None:
    """The node reports Ready=False; its pods go on."""
    _ask(directory, lambda now: replace(now, ready=False))


def ready(directory: Path) -> None:
    """The node reports Ready=True again."""
    _ask(directory, lambda now: replace(now, ready=True))


def cut_off(directory: Path) -> None:
    """The node stops talking to the API server and answers nobody; its pods go on."""
    _ask(directory, lambda now: replace(now, cut_off=True))


def reconnect(directory: Path) -> None:
    """End `cut_off`: the node comes back and ends what was deleted meanwhile."""
    _ask(directory, lambda now: replace(now, cut_off=False))


def lose_gpus(directory: Path, count: int) -> None:
    """`count` GPUs more are no longer allocatable; who holds them keeps running."""
    _ask(directory, lambda now: replace(now, lost_gpus=now.lost_gpus + count))


def restore_gpus(directory: Path) -> None:
    """All GPUs are back."""
    _ask(directory, lambda now: replace(now, lost_gpus=0))


def process_start_time(pid: int) -> str | None:
    """A process's start time in ticks since boot, which with its pid names it for ever; None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state_and_on = stat.rpartition(")")[2].split()
    return None if state_and_on[0] == "Z" else state_and_on[19]


def _ask(directory: Path, change: Callable[[Control], Control]) -> None:
    if _running_pid(directory) is None:
        raise NodeFault(f"node {directory.name} does not run; `node start {directory.name}` starts it")
    before = Control.read(directory)
    wanted = replace(change(before), sequence=before.sequence + 1)
    wanted.write(directory)
    seen = directory / "control.seen"
    _wait(
        lambda: seen.exists() and seen.read_text(encoding="utf-8") == str(wanted.sequence),
        f"node {directory.name} did not take up {wanted}",
    )


def _end(directory: Path, number: int) -> None:
    pid = _running_pid(directory)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        _wait(lambda: _running_pid(directory) is None, f"node {directory.name} (pid {pid}) did not end")
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    _clear(directory)


def _running_pid(directory: Path) -> int | None:
    try:
        noted = json.loads((directory / "node.pid").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return noted["pid"] if process_start_time(noted["pid"]) == noted["start_time"] else None


def _clear(directory: Path) -> None:
    """Remove what a node's last run has left: its pods ended with it."""
    for name in ("node.pid", "ready", "control.json", "control.seen"):
        (directory / name).unlink(missing_ok=True)
    for pod in (directory / "pods").glob("*"):
        shutil.rmtree(memory_directory(pod.name), ignore_errors=True)
        shutil.rmtree(pod, ignore_errors=True)
    spec = directory / "spec.json"
    if spec.exists():
        forget_node(directory.parent / "hosts.d", NodeSpec.from_json(spec.read_text(encoding="utf-8")).name)


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise NodeFault(f"{complaint} within {_PATIENCE_SECONDS:g} s; its log is node.log in its directory")
        time.sleep(_POLL_SECONDS)


def _last_lines(directory: Path) -> str:
    return "\n".join((directory / "node.log").read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
