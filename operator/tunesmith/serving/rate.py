"""How often one client may ask: a bucket of tokens for each, for as many clients as are remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

CLIENTS_REMEMBERED = 10_000


class RateLimit:
    """`burst` requests at once, then `per_second`. The client that was silent longest is forgotten first."""

    def __init__(self, per_second: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def wait_seconds(self, client: str) -> float:
        """Take one of the client's tokens. 0: it may go; else how long until there is one."""
        now = self._monotonic()
        tokens, since = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > CLIENTS_REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second
