"""The work queue: which keys want a pass, and when. One key is never handed out twice at once.

Not a list of events: a key that is added often before it is taken is taken once. The clock is handed in, and everything
but `take` is synchronous, so that simulations can drive it with a clock of their own.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress

from tunesmith.controllers.controller import Key

BACKOFF_BASE_SECONDS = 1.0
BACKOFF_LONGEST_SECONDS = 300.0
URGENT_IN_A_ROW = 3
"""While others wait, every fourth key that is handed out is one of theirs: urgent ones may be many, and for long."""


class WorkQueue:
    """Keys that are due now, keys that are due later, and keys in flight.

    `monotonic` gives seconds, `jitter` numbers in [0, 1). `is_urgent` is asked when a key comes to be due: such keys
    have a line of their own, which is served first.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        is_urgent: Callable[[Key], bool] = lambda key: False,
    ) -> None:
        self._monotonic = monotonic
        self._jitter = jitter
        self._is_urgent = is_urgent
        self._ready: dict[Key, None] = {}  # an ordered set: first in, first out
        self._urgent: dict[Key, None] = {}
        self._urgent_in_a_row = 0
        self._later: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []  # may hold entries that `_later` has overtaken
        self._in_flight: set[Key] = set()
        self._again: set[Key] = set()  # added while in flight
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, key: Key) -> None:
        """Want a pass over this key as soon as possible; once more, if it is being worked on."""
        self._later.pop(key, None)
        if key in self._in_flight:
            self._again.add(key)
        elif key not in self._urgent:
            self._line_up(key)
            self._changed.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Want a pass after some seconds. Of several wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        if key in self._ready or key in self._urgent or key in self._again:
            return
        due = self._monotonic() + seconds
        if due < self._later.get(key, float("inf")):
            self._later[key] = due
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    def add_failed(self, key: Key) -> None:
        """Want a pass after a pause that grows with every failure in a row of this key."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        interval = min(BACKOFF_LONGEST_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(count, 16))
        self.add_after(key, interval * (0.5 + 0.5 * self._jitter()))

    def succeeded(self, key: Key) -> None:
        """The last pass went well: the next failure begins with a short pause."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """The resource is gone: no failure count and no later pass for it."""
        self._failures.pop(key, None)
        self._later.pop(key, None)

    def close(self) -> None:
        """Hand out no further keys: the process is ending."""
        self._closed = True

    async def idle(self) -> None:
        """Wait until no key is being worked on."""
        await self._idle.wait()

    def take_ready(self) -> Key | None:
        """The next key that is due, now in flight until `done`; None when none is."""
        self._promote()
        if self._closed or not self.depth:
            return None
        key = self._first_in_line()
        self._in_flight.add(key)
        self._idle.clear()
        return key

    async def take(self) -> Key:
        """The next key that is due, now in flight until `done`; waits for one."""
        while True:
            key = self.take_ready()
            if key is not None:
                if self.depth:
                    self._changed.set()  # there is work for another worker as well
                return key
            self._changed.clear()
            due = self.next_due()
            pause = None if due is None or self._closed else max(0.0, due - self._monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):  # `wait_for` loses a cancellation that comes with a key
                    await self._changed.wait()

    def done(self, key: Key) -> None:
        """The pass over this key is over; if it was added meanwhile, it is due again."""
        self._in_flight.discard(key)
        if not self._in_flight:
            self._idle.set()
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def next_due(self) -> float | None:
        """When (monotonic seconds) the first of the later keys is due; None when there is none."""
        while self._heap and self._later.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return len(self._ready) + len(self._urgent)

    @property
    def in_flight(self) -> int:
        """How many keys are being worked on."""
        return len(self._in_flight)

    def _line_up(self, key: Key) -> None:
        """At the end of its line; who has become urgent leaves the other one."""
        if self._is_urgent(key):
            self._ready.pop(key, None)
            self._urgent[key] = None
        else:
            self._ready.setdefault(key)

    def _first_in_line(self) -> Key:
        is_turn_of_urgent = self._urgent and (not self._ready or self._urgent_in_a_row < URGENT_IN_A_ROW)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if is_turn_of_urgent else 0
        line = self._urgent if is_turn_of_urgent else self._ready
        key = next(iter(line))
        del line[key]
        return key

    def _promote(self) -> None:
        now = self._monotonic()
        while (due := self.next_due()) is not None and due <= now:
            _, key = heapq.heappop(self._heap)
            self.add(key)
