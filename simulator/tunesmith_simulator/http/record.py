"""The record of requests: what was asked, by whom, when, and what was answered. Headers and bodies are not kept."""

from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

KEPT_REQUESTS = 100_000
"""The oldest are forgotten beyond this many."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request. ``status`` is None when the connection was cut before an answer; ``faults`` are those it met."""

    time: datetime
    method: str
    path: str
    query: str
    account: str | None
    status: int | None
    seconds: float
    faults: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the admin API."""
        return asdict(self) | {"time": self.time.isoformat()}


class RequestRecord:
    """The requests of one run, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=KEPT_REQUESTS)

    def add(self, request: RecordedRequest) -> None:
        """Keep a request."""
        self._requests.append(request)

    def all(self) -> list[RecordedRequest]:
        """What is kept."""
        return list(self._requests)
