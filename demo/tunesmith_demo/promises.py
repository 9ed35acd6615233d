"""A promise of the product, kept or broken: what the demo and its stories check, and how they wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_SECONDS = 0.5


class BrokenPromiseError(AssertionError):
    """Something that the demo promises did not happen; the message says what was seen instead."""


def until(reached: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait until `reached`. Raises BrokenPromiseError with what `otherwise` tells when it takes longer."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise BrokenPromiseError(f"{otherwise()} (waited {seconds:.0f} s)")
        time.sleep(LOOK_SECONDS)


def promised(kept: object, otherwise: str) -> None:
    """Raises BrokenPromiseError with these words when a promise was not kept."""
    if not kept:
        raise BrokenPromiseError(otherwise)
