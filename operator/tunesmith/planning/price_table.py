"""What the installation pays: dollars by GPU type and way of billing, and when billing begins and ends.

The provider's API carries no prices. The defaults are its published prices as dated copies of its page showed them;
every one can be set anew by the installation. What is absent is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

Key = TypeVar("Key")

HOURS_PER_MONTH = 730
"""A storage month in hours: a year's hours over twelve. The provider does not say how it prorates."""


class BilledFrom(StrEnum):
    """When an hourly price begins to count. UNKNOWN: the time between the two is uncertain."""

    CREATED = "Created"
    READY = "Ready"
    UNKNOWN = "Unknown"


class BilledUntil(StrEnum):
    """When an hourly price ends to count. UNKNOWN: the time between the two is uncertain."""

    DELETE_REQUESTED = "DeleteRequested"
    GONE = "Gone"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class BillingRules:
    """When on-demand and preemptible hours count. provider: it documents neither, so both are unknown by default."""

    begins: BilledFrom = BilledFrom.UNKNOWN
    ends: BilledUntil = BilledUntil.UNKNOWN


@dataclass(frozen=True)
class Term:
    """The price of a GPU-hour in a reservation of `from_days` to `to_days` days (None: any longer)."""

    from_days: int
    to_days: int | None
    gpu_hour_usd: Decimal


@dataclass(frozen=True)
class Prices:
    """The installation's price table. What is absent is unknown, never zero.

    `gpu_hour_usd` is the on-demand price; `defaults_of` is the date of the defaults that are in it, if any.
    """

    gpu_hour_usd: Mapping[str, Decimal] = field(default_factory=dict)
    tib_month_usd: Decimal | None = None
    preemptible_gpu_hour_usd: Mapping[str, Decimal] = field(default_factory=dict)
    reserved_gpu_hour_usd: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)
    defaults_of: str | None = None

    def reserved(self, gpu_type: str, days: Decimal) -> Decimal | None:
        """The price of a GPU-hour in a reservation of that many days; None when it is not known."""
        for term in self.reserved_gpu_hour_usd.get(gpu_type, ()):
            if term.from_days <= days and (term.to_days is None or days < term.to_days + 1):
                return term.gpu_hour_usd
        return None


def _terms(week: str, month: str, quarter: str) -> tuple[Term, ...]:
    return (Term(7, 30, Decimal(week)), Term(31, 90, Decimal(month)), Term(91, 180, Decimal(quarter)))


PUBLISHED_DATE = "2026-09-21"
PUBLISHED = Prices(
    gpu_hour_usd={"H100_SXM": Decimal("3.99"), "H200_SXM": Decimal("5.99"), "B200_SXM": Decimal("8.19")},
    tib_month_usd=Decimal("163.84"),
    preemptible_gpu_hour_usd={
        "H100_SXM": Decimal("1.99"),
        "H200_SXM": Decimal("2.99"),
        "B200_SXM": Decimal("4.09"),
    },
    reserved_gpu_hour_usd={
        "H100_SXM": _terms("3.69", "3.45", "3.19"),
        "H200_SXM": _terms("4.99", "4.15", "3.99"),
        "B200_SXM": _terms("7.99", "7.79", "6.79"),
    },
    defaults_of=PUBLISHED_DATE,
)
"""provider: its pricing page as copies of that date showed it. Other terms had no price there."""


def price_table(
    *,
    on_demand: Mapping[str, Decimal | None],
    preemptible: Mapping[str, Decimal | None],
    reserved: Mapping[str, Mapping[str, Decimal | None]],
    tib_month: Decimal | None,
    defaults: bool,
) -> Prices:
    """The defaults (if wanted) with what the installation set; None takes a price away.

    `reserved` maps a GPU type to terms in days, such as `7-30` or `181-`. Raises ValueError for another form.
    """
    base = PUBLISHED if defaults else Prices()
    terms = {gpu: {_days(term): term.gpu_hour_usd for term in each} for gpu, each in base.reserved_gpu_hour_usd.items()}
    merged = {
        gpu: _set_anew(terms.get(gpu, {}), {_read_days(days): price for days, price in reserved.get(gpu, {}).items()})
        for gpu in {**terms, **reserved}
    }
    return Prices(
        gpu_hour_usd=_set_anew(base.gpu_hour_usd, on_demand),
        tib_month_usd=base.tib_month_usd if tib_month is None else tib_month,
        preemptible_gpu_hour_usd=_set_anew(base.preemptible_gpu_hour_usd, preemptible),
        reserved_gpu_hour_usd={
            gpu: tuple(Term(*days, price) for days, price in sorted(each.items(), key=lambda term: term[0][0]))
            for gpu, each in merged.items()
        },
        defaults_of=base.defaults_of,
    )


def _days(term: Term) -> tuple[int, int | None]:
    return term.from_days, term.to_days


def _read_days(text: str) -> tuple[int, int | None]:
    first, dash, last = text.partition("-")
    if not first.isdigit() or dash != "-" or (last and not last.isdigit()):
        raise ValueError(f"'{text}' must be a term in days, such as '7-30' or '181-'")
    return int(first), int(last) if last else None


def _set_anew(base: Mapping[Key, Decimal], new: Mapping[Key, Decimal | None]) -> dict[Key, Decimal]:
    return {key: price for key, price in {**base, **new}.items() if price is not None}
