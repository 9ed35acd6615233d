"""Versions of the programs that devcluster runs, and which are new enough."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Version(NamedTuple):
    """A version, compared by its numbers alone."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


# Server-side apply of a status as compare-and-swap, and what else the operator stands on, was seen from here on.
OLDEST_KUBERNETES = Version(1, 33)
OLDEST_ETCD = Version(3, 5)
OLDEST_KWOK = Version(0, 7)
OLDEST_HELM = Version(3, 17)
OLDEST_GO = Version(1, 26)

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def parse(text: str) -> Version | None:
    """The first version number in what a program printed, or None."""
    found = _NUMBERS.search(text)
    return None if found is None else Version(int(found[1]), int(found[2]), int(found[3] or 0))


def of_program(program: Path, arguments: Sequence[str] = ("--version",)) -> Version | None:
    """What version a program says it is; None if it cannot be run or does not say."""
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse(answer.stdout)


def suits_server(kubectl: Version, server: Version) -> bool:
    """Whether a kubectl may speak to a server: one minor version apart at most."""
    # kubernetes: https://kubernetes.io/releases/version-skew-policy/#kubectl
    return kubectl.major == server.major and abs(kubectl.minor - server.minor) <= 1
