"""How long work shows itself in plain lines.

Needs nothing but Python, so that building can begin before anything is installed; bars are in `bars.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 15


class Lines:
    """A line now and then, for logs, pipes, and callers that show progress in their own way."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    @contextmanager
    def count(self, text: str, total: int) -> Iterator[Callable[[], None]]:
        """Count the steps of a piece of work: the body calls what it is given once per step."""
        done, last_line = 0, time.monotonic()
        self.say(f"{text}: {total} steps")

        def step() -> None:
            nonlocal done, last_line
            done += 1
            if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                self.say(f"{text}: {done} of {total}")

        yield step
