"""The arithmetic of what is paid by the hour: who held how many GPUs from when to when, and what that comes to.

Exact: sums are kept in dollar-seconds (a price an hour times seconds), so that splitting an interval or adding in
another order changes nothing. They become dollars, rounded, only where somebody reads them. It knows no resource.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from tunesmith.planning.price_table import HOURS_PER_MONTH, Prices

CENT = Decimal("0.01")
SECONDS_PER_HOUR = 3600
_STORED = Decimal("1e-12")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Range:
    """A number that is known (`least` == `most`) or lies between two."""

    least: int = 0
    most: int = 0

    def __add__(self, other: Range) -> Range:
        return Range(self.least + other.least, self.most + other.most)

    def without(self, count: int) -> Range:
        """What is left after `count` of them are set apart; never below zero."""
        return Range(max(self.least - count, 0), max(self.most - count, 0))

    @property
    def doubtful(self) -> Range:
        """The same at most, and perhaps none at all."""
        return Range(0, self.most)


NOTHING = Range()


@dataclass(frozen=True)
class Holding:
    """What was held from `since` until `until` (None: it goes on), by the way it is paid.

    `gpus` are all that were held; of these `on_demand` and `preemptible` are paid by the hour, others were prepaid.
    """

    since: datetime
    until: datetime | None
    gpus: Range = NOTHING
    on_demand: Range = NOTHING
    preemptible: Range = NOTHING


@dataclass(frozen=True)
class Rates:
    """Dollars per GPU-hour. None: the installation knows no price."""

    on_demand: Decimal | None = None
    preemptible: Decimal | None = None


@dataclass(frozen=True)
class Money:
    """What was spent, for certain, and what may have been spent on top. Exact; in dollar-seconds and GPU-seconds."""

    usd_seconds: Decimal = Decimal(0)
    uncertain_usd_seconds: Decimal = Decimal(0)
    gpu_seconds: Decimal = Decimal(0)
    uncertain_gpu_seconds: Decimal = Decimal(0)

    def __add__(self, other: Money) -> Money:
        return Money(
            self.usd_seconds + other.usd_seconds,
            self.uncertain_usd_seconds + other.uncertain_usd_seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.uncertain_gpu_seconds + other.uncertain_gpu_seconds,
        )

    @property
    def usd(self) -> Decimal:
        """Dollars for certain, unrounded."""
        return self.usd_seconds / SECONDS_PER_HOUR

    @property
    def uncertain_usd(self) -> Decimal:
        """Dollars that may come on top, unrounded."""
        return self.uncertain_usd_seconds / SECONDS_PER_HOUR


def account(history: Iterable[Holding], rates: Rates, after: datetime, until: datetime) -> Money | None:
    """What a history comes to between two moments; None when something of it has no price. Never negative."""
    total = Money()
    for holding in history:
        seconds = _overlap_seconds(holding, after, until)
        if seconds <= 0:
            continue
        part = _part(holding, rates, seconds)
        if part is None:
            return None
        total = total + part
    return total


def rate_of(holding: Holding, rates: Rates) -> Decimal | None:
    """Dollars per hour at most while this is held; None when something of it has no price."""
    part = _part(holding, rates, Decimal(1))
    return None if part is None else part.usd_seconds + part.uncertain_usd_seconds


def held_at(history: Iterable[Holding], moment: datetime) -> Holding:
    """What was held from `moment` on, in one."""
    now = [h for h in history if h.since <= moment and (h.until is None or moment < h.until)]
    return Holding(
        moment,
        None,
        gpus=sum((h.gpus for h in now), NOTHING),
        on_demand=sum((h.on_demand for h in now), NOTHING),
        preemptible=sum((h.preemptible for h in now), NOTHING),
    )


def hourly_usd(prices: Prices, gpu_type: str, gpus: int, preemptible_gpus: int = 0) -> Decimal | None:
    """Dollars per hour for `gpus` on-demand GPUs of a type and preemptible ones beside them.

    None when the installation knows no price of what there is (never zero).
    """
    rate, preemptible_rate = prices.gpu_hour_usd.get(gpu_type), prices.preemptible_gpu_hour_usd.get(gpu_type)
    usd = Decimal(0)
    for count, price in ((gpus, rate), (preemptible_gpus, preemptible_rate)):
        if count and price is None:
            return None
        usd += count * (price or Decimal(0))
    return cents(usd)


def storage_hourly_usd(prices: Prices, size_tib: int) -> Decimal | None:
    """Dollars per hour for a shared volume, unrounded; None when the installation knows no price."""
    price = prices.tib_month_usd
    return None if price is None else price * size_tib / HOURS_PER_MONTH


def seconds_between(since: datetime, until: datetime) -> Decimal:
    """Exact seconds; negative when `until` is earlier."""
    return Decimal((until - since) // _MICROSECOND) / 1_000_000


def cents(amount: Decimal) -> Decimal:
    """Rounded to whole cents, half up."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def stored(amount: Decimal) -> Decimal:
    """As it is written down between looks: far below a cent, so that a million of them do not make one."""
    return amount.quantize(_STORED, rounding=ROUND_HALF_UP)


def _part(holding: Holding, rates: Rates, seconds: Decimal) -> Money | None:
    usd, uncertain = Decimal(0), Decimal(0)
    for billed, rate in ((holding.on_demand, rates.on_demand), (holding.preemptible, rates.preemptible)):
        if billed.most == 0:
            continue
        if rate is None:
            return None
        usd += rate * billed.least * seconds
        uncertain += rate * (billed.most - billed.least) * seconds
    least, most = holding.gpus.least, holding.gpus.most
    return Money(usd, uncertain, least * seconds, (most - least) * seconds)


def _overlap_seconds(holding: Holding, after: datetime, until: datetime) -> Decimal:
    end = until if holding.until is None else min(holding.until, until)
    return seconds_between(max(holding.since, after), end)
