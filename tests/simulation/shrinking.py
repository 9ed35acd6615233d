"""Makes a failed life small: faults are left out as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.faults import Fault

Faults = tuple[Fault, ...]
MOST_REPLAYS = 150


def shrunk(faults: Faults, fails: Callable[[Faults], bool], most_replays: int = MOST_REPLAYS) -> Faults:
    """Some of the faults with which it still fails; none of them can be left out alone if the replays sufficed."""
    left = most_replays
    piece = max(len(faults) // 2, 1)
    while faults and left > 0:
        for begin in range(0, len(faults), piece):
            fewer = faults[:begin] + faults[begin + piece :]
            left -= 1
            if fails(fewer):
                faults = fewer
                break
            if left <= 0:
                return faults
        else:
            if piece == 1:
                return faults
            piece //= 2
    return faults
