"""The thread between training and one tracker: a bounded queue, patience with failures, and never an exception.

A tracker that is down costs points, not training: the oldest ones go when the queue is full, and it is said how many.
"""

import logging
import threading
from collections import deque
from dataclasses import replace

from tunesmith_trainer.contract import ProgressLine
from tunesmith_trainer.trackers.metrics import Destination, Point, point_of

LONGEST_QUEUE = 10_000
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0
SECONDS_TO_FINISH = 20.0

logger = logging.getLogger(__name__)


class Courier:
    """Listens to training and carries its numbers to one tracker."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        seconds_to_finish: float = SECONDS_TO_FINISH,
        longest_queue: int = LONGEST_QUEUE,
    ) -> None:
        self._name = name
        self._destination = destination
        self._first_pause_seconds = first_pause_seconds
        self._seconds_to_finish = seconds_to_finish
        self._queue: deque[Point] = deque(maxlen=longest_queue)
        self._news = threading.Condition()
        self._closing = False
        self._failures = 0
        self._is_open = False
        self._last: Point | None = None
        self.lost = 0
        self._thread = threading.Thread(target=self._carry, name=f"tunesmith-{name}", daemon=True)
        self._thread.start()

    def hear(self, line: ProgressLine) -> None:
        """Queues the numbers of the line, if it has new ones."""
        point = _news(point_of(line), self._last)
        if point is None:
            return
        self._last = point_of(line)
        with self._news:
            if len(self._queue) == self._queue.maxlen:
                self.lost += 1
            self._queue.append(point)
            self._news.notify()

    def close(self) -> None:
        """Lets the queue run empty, for a bounded time."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(self._seconds_to_finish)
        if self._thread.is_alive():
            logger.warning("%s did not take the last numbers in time; training does not wait for it.", self._name)
        elif self.lost:
            logger.warning("%s did not take %d points of this training.", self._name, self.lost)

    def _carry(self) -> None:
        while (point := self._next()) is not None:
            try:
                if not self._is_open:
                    self._destination.open(point.step)
                    self._is_open = True
                self._destination.log(point)
                self._failures = 0
            except Exception as error:
                self._failed(point, error)
        if self._is_open:
            try:
                self._destination.close()
            except Exception as error:
                self._say(error)

    def _next(self) -> Point | None:
        with self._news:
            while not self._queue and not self._closing:
                self._news.wait()
            return self._queue.popleft() if self._queue else None

    def _failed(self, point: Point, error: Exception) -> None:
        """Keeps the point for another try after a pause; when training ends there is none."""
        self._failures += 1
        if self._failures == 1:
            self._say(error)
        with self._news:
            if self._closing:
                self.lost += 1 + len(self._queue)
                self._queue.clear()
                return
            if len(self._queue) == self._queue.maxlen:
                self.lost += 1
            else:
                self._queue.appendleft(point)
            pause = min(LONGEST_PAUSE_SECONDS, self._first_pause_seconds * 2 ** min(self._failures - 1, 10))
            self._news.wait_for(lambda: self._closing, pause)

    def _say(self, error: Exception) -> None:
        # Not the text of the error: libraries put addresses with passwords, and keys, into it.
        logger.warning(
            "%s did not take the numbers of this training (%s). Training goes on; it is tried again.",
            self._name,
            type(error).__name__,
        )


def _news(point: Point | None, last: Point | None) -> Point | None:
    """Of a step that was told already only what is new of it: no tracker shall have a number twice."""
    if point is None or last is None or point.step != last.step:
        return point
    new = {name: value for name, value in point.values.items() if last.values.get(name) != value}
    return replace(point, values=new) if new else None
