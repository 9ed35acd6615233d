"""What a cluster costs: dollars per hour from the installation's prices, and what has accrued since."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from tunesmith.planning.circumstances import Prices

CENT = Decimal("0.01")


def hourly_usd(prices: Prices, gpu_type: str, gpus: int) -> Decimal | None:
    """Dollars per hour for `gpus` GPUs of a type; None when the installation knows no price (never zero)."""
    price = prices.gpu_hour_usd.get(gpu_type)
    return None if price is None else cents(price * gpus)


def accrued_usd(spent: Decimal, hourly: Decimal | None, since: datetime | None, until: datetime) -> Decimal:
    """Dollars spent up to `until`, given what was counted up to `since` at this rate."""
    if hourly is None or since is None or until <= since:
        return spent
    hours = Decimal((until - since) // timedelta(seconds=1)) / 3600
    return cents(spent + hourly * hours)


def cents(amount: Decimal) -> Decimal:
    """Rounded to whole cents, half up."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)
