"""Where each process of an attempt is, by small files on the storage: what a hung collective leaves open.

Each process writes its own beacon; rank 0 reads all, to say which one keeps the others waiting.
"""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tunesmith_trainer.contract.messages import Said

Doing = Literal["Nothing", "WaitingForRows", "Computing", "Evaluating", "Saving"]
IN_WORDS: dict[Doing, str] = {
    "Nothing": "is not in the training loop",
    "WaitingForRows": "waits for rows",
    "Computing": "computes",
    "Evaluating": "evaluates",
    "Saving": "saves",
}
DIRECTORY = "ranks"


class Beacon(Said):
    """What one process says of itself to the others."""

    rank: int = Field(ge=0)
    host: str
    pid: int
    parent: int
    time: datetime
    step: int = Field(ge=0, description="The last finished step.")
    forward_passes: int = Field(ge=0, description="Finished in the step under way.")
    doing: Doing
    memory_peak_bytes: int = Field(ge=0)

    @property
    def is_of_this_pod(self) -> bool:
        """Whether the process stands beside this one, under the same launcher."""
        return (self.host, self.parent) == (socket.gethostname(), os.getppid())


def own(rank: int, *, step: int, forward_passes: int, doing: Doing, memory_peak_bytes: int) -> Beacon:
    """This process's beacon of this moment."""
    return Beacon(
        rank=rank,
        host=socket.gethostname(),
        pid=os.getpid(),
        parent=os.getppid(),
        time=datetime.now(UTC),
        step=step,
        forward_passes=forward_passes,
        doing=doing,
        memory_peak_bytes=memory_peak_bytes,
    )


def light(attempt_directory: Path, beacon: Beacon) -> None:
    """Writes the beacon, once the attempt is claimed. It is worth no wait and no failure of the training."""
    if not attempt_directory.is_dir():
        return
    try:
        (attempt_directory / DIRECTORY).mkdir(exist_ok=True)
        path = attempt_directory / DIRECTORY / f"{beacon.rank}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(beacon.line(), encoding="utf-8")
        partial.replace(path)
    except OSError:
        return


def seen(attempt_directory: Path) -> dict[int, Beacon]:
    """The last beacon of every process, by rank."""
    beacons = {}
    for path in (attempt_directory / DIRECTORY).glob("*.json"):
        try:
            beacon = Beacon.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        beacons[beacon.rank] = beacon
    return beacons


def behind(beacons: dict[int, Beacon], *, world_size: int, now: datetime, silent_seconds: float) -> str:
    """Which process the others wait for, in words.

    The one that gives no sign of life is the first suspect, then the one with the fewest steps and forward passes,
    then one that waits for rows while others compute. When all say the same, none is blamed.
    """
    silent = [
        f"{beacon.rank} (since {(now - beacon.time).total_seconds():.0f} s)"
        for beacon in _by_rank(beacons)
        if (now - beacon.time).total_seconds() > silent_seconds
    ]
    silent += [f"{rank} (never heard)" for rank in range(world_size) if rank not in beacons]
    if silent:
        return f"No sign of life from rank {', '.join(silent)}: stopped, killed, or its machine is gone."
    places = {beacon.rank: _place(beacon) for beacon in _by_rank(beacons)}
    first = min(places.values(), default=(0, 0, 0))
    late = [rank for rank, place in places.items() if place == first]
    if len(late) == len(places):
        one = beacons[late[0]] if late else None
        return "" if one is None else f"All {len(places)} processes are in step {one.step + 1}: {_saying(one)}."
    ranks = ", ".join(str(rank) for rank in late)
    return f"Rank {ranks} is behind: {_saying(beacons[late[0]])} in step {beacons[late[0]].step + 1}."


def _by_rank(beacons: dict[int, Beacon]) -> list[Beacon]:
    return [beacons[rank] for rank in sorted(beacons)]


def _place(beacon: Beacon) -> tuple[int, int, int]:
    return beacon.step, beacon.forward_passes, int(beacon.doing != "WaitingForRows")


def _saying(beacon: Beacon) -> str:
    return f"it {IN_WORDS[beacon.doing]}"
