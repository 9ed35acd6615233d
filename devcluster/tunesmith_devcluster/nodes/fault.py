"""Starting, ending and breaking process nodes, from tests and from the command line.

A node's directory is its handle: `node.pid` says which process it is, `control.json` how it shall behave,
`control.seen` that it does.
"""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tunesmith_devcluster.node_process import NodeDirectory
from tunesmith_devcluster.nodes.control import Control
from tunesmith_devcluster.nodes.hosts import forget_node
from tunesmith_devcluster.nodes.volumes import memory_directory
from tunesmith_devcluster.processes import Process, end, recorded

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.05


class NodeFault(Exception):
    """A node could not be started, ended or broken as asked."""


def start(directory: Path) -> None:
    """Start a node again with the files it was made with, and wait until it has registered; it begins healthy."""
    node = NodeDirectory(directory)
    if _process(directory) is not None:
        raise NodeFault(f"node {node.name} runs already; end it first")
    _clear(directory)
    node.start()
    _wait(
        lambda: node.ready_file.exists() or _process(directory) is None,
        f"node {node.name} did not register",
    )
    if not node.ready_file.exists():
        process = recorded(node.pid_file)
        raise NodeFault(f"node {node.name} ended at once. Its last lines:\n{process.log_tail() if process else ''}")


def stop_node(directory: Path) -> None:
    """End a node and its pods' processes in good order; the Node object stays. Nothing happens when it does not run."""
    end([NodeDirectory(directory).pid_file], grace_seconds=_PATIENCE_SECONDS)
    _clear(directory)


def kill(directory: Path) -> None:
    """End a node and all processes of its pods at once, without a goodbye: as if the power had failed."""
    process = _process(directory)
    if process is not None:
        process.send(signal.SIGKILL)  # its pods' processes have asked the kernel to die with it
        _wait(lambda: not process.alive, f"node {directory.name} (pid {process.pid}) did not end")
    _clear(directory)


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


def _ask(directory: Path, change: Callable[[Control], Control]) -> None:
    if _process(directory) is None:
        raise NodeFault(f"node {directory.name} does not run; `node start {directory.name}` starts it")
    before = Control.read(directory)
    wanted = replace(change(before), sequence=before.sequence + 1)
    wanted.write(directory)
    seen = directory / "control.seen"
    _wait(
        lambda: seen.exists() and seen.read_text(encoding="utf-8") == str(wanted.sequence),
        f"node {directory.name} did not take up {wanted}",
    )


def _process(directory: Path) -> Process | None:
    process = recorded(NodeDirectory(directory).pid_file)
    return process if process is not None and process.alive else None


def _clear(directory: Path) -> None:
    """Remove what a node's last run has left: its pods ended with it."""
    for name in ("node.pid", "ready", "control.json", "control.seen"):
        (directory / name).unlink(missing_ok=True)
    for pod in (directory / "pods").glob("*"):
        shutil.rmtree(memory_directory(pod.name), ignore_errors=True)
        shutil.rmtree(pod, ignore_errors=True)
    forget_node(directory.parent / "hosts.d", directory.name)


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise NodeFault(f"{complaint} within {_PATIENCE_SECONDS:g} s; its log is node.log in its directory")
        time.sleep(_POLL_SECONDS)
