"""SIGTERM as a wish: the handler only notes it, training acts on it where all processes agree."""

import signal
import time
from types import FrameType


class StopWish:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.wanted = False
        self._asked = 0.0

    @property
    def seconds_since(self) -> float:
        """How long ago this process was asked; 0 when it was not."""
        return time.monotonic() - self._asked if self.wanted else 0.0

    def listen(self) -> None:
        """Takes SIGTERM over. As early as possible: to process 1 of a container an unhandled SIGTERM does not exist."""
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if not self.wanted:
            self._asked = time.monotonic()
        self.wanted = True
