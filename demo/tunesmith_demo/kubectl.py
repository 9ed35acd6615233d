"""Runs kubectl as a user would, with one kubeconfig; an error carries kubectl's own words."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class KubectlError(RuntimeError):
    """kubectl ended with an error; the message holds the command and what it printed."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl, bound to one cluster."""

    binary: Path
    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run `kubectl ARGUMENTS` and return what it printed. Raises KubectlError when it fails."""
        done = self.run(arguments, stdin=stdin)
        if done.returncode != 0:
            raise KubectlError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def run(self, arguments: Sequence[str], *, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `kubectl ARGUMENTS` and return the finished process, whatever its exit code."""
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
