"""An event loop whose time is played: it jumps to the next timer, so that hours of waiting cost nothing."""

from __future__ import annotations

import asyncio

TURN_SECONDS = 1e-6  # one turn of the loop takes so long, so that tasks that only wake each other do not stop the time


class StuckError(RuntimeError):
    """Nothing is due and nothing is waited for with a time: the played world would stand still for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The real scheduling of tasks and timers without sockets, threads or the machine's clock."""

    def __init__(self, begin: float) -> None:
        super().__init__()
        self._seconds = begin
        self._clock_resolution = TURN_SECONDS
        self._selector = self

    def time(self) -> float:
        """The world's seconds."""
        return self._seconds

    def select(self, timeout: float | None) -> tuple[()]:
        """Where another loop would wait for sockets: time passes."""
        if timeout is None:
            raise StuckError
        self._seconds += max(timeout, TURN_SECONDS)
        return ()

    def _process_events(self, event_list: object) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There are no other threads."""
