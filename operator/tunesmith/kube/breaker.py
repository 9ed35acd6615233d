"""A circuit breaker for one API server: when it does not answer, nobody waits for it until it had time to come back."""

from __future__ import annotations

from collections.abc import Callable

from tunesmith.kube.errors import unreachable

FAILURES_TO_OPEN = 3
REST_SECONDS = 10.0


class Breaker:
    """Closed: requests go. Open: they fail at once. After a rest, one is let through to see."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._opened: float | None = None

    @property
    def open(self) -> bool:
        """Whether the server is taken for dead at the moment."""
        return self._opened is not None

    def gate(self, what: str) -> None:
        """Raises `KubeError` while the server rests."""
        if self._opened is None:
            return
        if self._monotonic() - self._opened < REST_SECONDS:
            raise unreachable(what, "the cluster's API server has not been answering")
        self._opened = self._monotonic()  # this one may try; the others go on waiting

    def observe(self, verb: str, kind: str, outcome: str, seconds: float) -> None:
        """Count how a request ended. Any answer at all, an error too, shows that the server lives."""
        del verb, kind, seconds
        if outcome != "unreachable":
            self._failures, self._opened = 0, None
            return
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._opened = self._monotonic()
