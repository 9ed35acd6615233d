"""What a story has cost: by the provider's ledger, and by what the operator says in the statuses. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from tunesmith_simulator.admin_words import EntryState, LedgerState

CENT = Decimal("0.01")
SECONDS_APART = 20
"""The operator's clock begins when it reads that a cluster was bought, and it tells whole cents and seconds."""


@dataclass(frozen=True)
class Books:
    """Both accounts of the same objects at about the same moment, in dollars.

    The operator says what is certain, and how much may come on top because the provider does not say when it bills.
    """

    by_ledger: Decimal
    certain: Decimal
    uncertain: Decimal
    dearest_hour: Decimal

    @property
    def agree(self) -> bool:
        """The ledger lies within what the statuses say, give or take the time that the two clocks are apart."""
        slack = self.dearest_hour * SECONDS_APART / 3600 + CENT
        return self.certain - slack <= self.by_ledger <= self.certain + self.uncertain + slack

    def __str__(self) -> str:
        doubt = f", at most {self.uncertain:.2f} more" if self.uncertain else ""
        return f"{self.by_ledger:.2f} by the provider's ledger, {self.certain:.2f}{doubt} by the operator's statuses"


def entries_of(ledger: LedgerState, ids: Collection[str]) -> tuple[EntryState, ...]:
    """What the ledger says of these objects."""
    return tuple(each for each in ledger.objects if each.object_id in ids)


def usd(entries: Collection[EntryState]) -> Decimal:
    """Their dollars until now."""
    return sum((Decimal(each.usd) for each in entries), Decimal(0))


def dearest_hour(entries: Collection[EntryState]) -> Decimal:
    """The most that they ever cost together in an hour, or more: each at its dearest."""
    rates = (
        max((Decimal(one.usd_per_unit_hour) * one.units for one in each.intervals), default=Decimal(0))
        for each in entries
    )
    return sum(rates, Decimal(0))


def minutes_billed(entries: Collection[EntryState]) -> Decimal:
    """For how many minutes GPUs were paid for."""
    charges = [one for each in entries for one in each.intervals if each.kind == "cluster"]
    return sum((Decimal((one.until - one.begins).total_seconds()) / 60 for one in charges), Decimal(0))
