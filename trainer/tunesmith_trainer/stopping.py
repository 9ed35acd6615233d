"""SIGTERM as a wish: the handler only notes it, training acts on it where all processes agree."""

import signal
from types import FrameType


class StopWish:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.wanted = False

    def listen(self) -> None:
        """Takes SIGTERM over. As early as possible: to process 1 of a container an unhandled SIGTERM does not exist."""
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True
