"""What a training will cost: its GPU-hours at the installation's on-demand price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from tunesmith.planning.memory.cards import card_of
from tunesmith.planning.memory.throughput import Range
from tunesmith.planning.price_table import Prices

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Dollars:
    """From the cheapest to the dearest that is to be expected."""

    low: Decimal
    high: Decimal


def gpu_hour_usd(prices: Prices, gpu_type: str) -> Decimal | None:
    """The on-demand price of that type, or of the one type of the table that is the same card; None: unknown."""
    exact = prices.gpu_hour_usd.get(gpu_type)
    card = card_of(gpu_type)
    if exact is not None or card is None:
        return exact
    same = [price for name, price in prices.gpu_hour_usd.items() if card_of(name) == card]
    return same[0] if len(same) == 1 else None


def dollars(took: Range, gpus: int, gpu_hour: Decimal) -> Dollars:
    """GPU-hours times the price, in cents. Starting up and waiting are not in it."""
    return Dollars(_cents(took.low, gpus, gpu_hour), _cents(took.high, gpus, gpu_hour))


def _cents(hours: float, gpus: int, gpu_hour: Decimal) -> Decimal:
    return (Decimal(repr(hours)) * gpus * gpu_hour).quantize(_CENT, rounding=ROUND_HALF_UP)
