"""Finds and kills the operator's process: on process nodes a container is a process of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from tunesmith_demo.stage import OPERATOR_NAMESPACE


def operator_pid(server: str) -> int | None:
    """The operator's process in the cluster whose API server is `server`; None while none runs."""
    found = containers_of(server, "TUNESMITH_OPERATOR_NAMESPACE", OPERATOR_NAMESPACE)
    return found[0] if len(found) == 1 else None


def kill_operator(server: str) -> int:
    """End the operator's process without grace; its pid. Raises ProcessLookupError when none runs."""
    pid = operator_pid(server)
    if pid is None:
        raise ProcessLookupError(f"no operator runs in the cluster at {server}")
    os.kill(pid, signal.SIGKILL)
    return pid


def containers_of(server: str, variable: str, value: str) -> list[int]:
    """First processes of containers in the cluster at `server` whose environment has a variable of this value."""
    port = urlsplit(server).port
    wanted = {f"KUBERNETES_SERVICE_PORT={port}".encode(), f"{variable}={value}".encode()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            own_pids = (folder / "status").read_text().partition("NSpid:")[2].splitlines()[0].split()
            environment = (folder / "environ").read_bytes().split(b"\0")
            if own_pids[-1] == "1" and wanted <= set(environment):
                found.append(int(folder.name))
    return found
