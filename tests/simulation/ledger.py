"""What the played provider bills: each thing's life in its own times, by a rule that only it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tunesmith.planning.price_table import HOURS_PER_MONTH, BilledFrom, BilledUntil, BillingRules, Prices

SECONDS_PER_HOUR = 3600
PRICES = Prices(
    gpu_hour_usd={"H100_SXM": Decimal("3.99"), "B200": Decimal("8.19")},
    tib_month_usd=Decimal(10 * HOURS_PER_MONTH),  # far above the real one, so that minutes of a volume show
)


@dataclass
class Part:
    """A node, or TiB of a volume that came at once. `count` in GPUs or TiB; `running` is when it could be used."""

    id: str
    count: int
    since: datetime
    running: datetime | None = None
    until: datetime | None = None


@dataclass
class LedgerEntry:
    """One thing's life as it is billed. `asked` is when somebody asked to delete it, `gone` when it was no more."""

    name: str
    rate: Decimal
    is_cluster: bool
    parts: list[Part] = field(default_factory=list)
    asked: datetime | None = None
    gone: datetime | None = None

    @property
    def held(self) -> int:
        """GPUs or TiB that it holds now."""
        return sum(part.count for part in self.parts if part.until is None)

    def spent(self, rules: BillingRules, until: datetime | None = None) -> Decimal:
        """Dollars up to a moment; None: over its whole life, which is to be over."""
        return sum((self._of(part, rules, until) for part in self.parts), Decimal(0))

    def _of(self, part: Part, rules: BillingRules, until: datetime | None) -> Decimal:
        begin = part.running if self.is_cluster and rules.begins is BilledFrom.READY else part.since
        closed = self.asked if self.is_cluster and rules.ends is BilledUntil.DELETE_REQUESTED else self.gone
        ends = [end for end in (part.until, closed, until) if end is not None]
        if begin is None or not ends:
            return Decimal(0)
        seconds = max((min(ends) - begin).total_seconds(), 0.0)
        return self.rate * part.count * Decimal(seconds) / SECONDS_PER_HOUR


def volume_rate() -> Decimal:
    """Dollars an hour for one TiB."""
    return (PRICES.tib_month_usd or Decimal(0)) / HOURS_PER_MONTH
