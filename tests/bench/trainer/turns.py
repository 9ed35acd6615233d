"""Processes that take turns of half a second, so that what else the machine does, and how fast it is, falls on all.

A processor that others share changes its speed by a fifth within a minute: of two runs one after the other that is
more than what is to be seen. Only one process runs at a time; the others are stopped, threads and all.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TURN_SECONDS = 0.5
LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Part:
    """A command with its whole environment. It calls `wait_for_turn` once."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]


def wait_for_turn() -> None:
    """Called in a process when what is to be measured begins: it is stopped here until its first turn."""
    os.kill(os.getpid(), signal.SIGSTOP)


@dataclass
class Player:
    """One process, and the times (monotonic seconds) between which it ran after it first waited for its turn."""

    process: subprocess.Popen[str]
    told: Path
    turns: list[tuple[float, float]] = field(default_factory=list)
    over: bool = False

    def seconds(self, began: float, ended: float) -> float:
        """For how long it ran between two moments."""
        return sum(max(0.0, min(ended, last) - max(began, first)) for first, last in self.turns)


def play(parts: Mapping[str, Part], place: Path) -> dict[str, Player]:
    """Runs all to their end in turns. What one printed stands in its `told`.

    Args:
        parts: by name. One alone takes no turns.
        place: an empty folder for what they print.

    Raises:
        RuntimeError: one failed.
    """
    players: dict[str, Player] = {}
    try:
        for name, part in parts.items():
            players[name] = _started(part, place / f"{name}.out")
            _wait_until_ready(name, players[name])
        _take_turns(players)
    finally:
        for player in players.values():
            if not player.over:
                player.process.kill()
                player.process.wait()
    return players


def _started(part: Part, told: Path) -> Player:
    with told.open("w") as out:
        return Player(subprocess.Popen(part.command, stdout=out, text=True, env=dict(part.environment)), told)


def _wait_until_ready(name: str, player: Player) -> None:
    _, status = os.waitpid(player.process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        player.over, player.process.returncode = True, os.waitstatus_to_exitcode(status)
        raise RuntimeError(f"'{name}' ended before its first turn")


def _take_turns(players: Mapping[str, Player]) -> None:
    while left := {name: player for name, player in players.items() if not player.over}:
        for name, player in left.items():
            began = time.monotonic()
            os.kill(player.process.pid, signal.SIGCONT)
            code = _run_for(player, TURN_SECONDS if len(left) > 1 else None)
            player.turns.append((began, time.monotonic()))
            if code is not None:
                player.over, player.process.returncode = True, code
            if code:
                raise RuntimeError(f"'{name}' ended with {code}")


def _run_for(player: Player, seconds: float | None) -> int | None:
    """How it ended, if it did; else it is stopped."""
    pid = player.process.pid
    if seconds is None:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(LOOK_SECONDS)
    os.kill(pid, signal.SIGSTOP)
    _, status = os.waitpid(pid, os.WUNTRACED)
    return None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
