"""What the operator says that its purchases cost, held against what the provider bills for them.

Of each thing the bill lies between the dollars that are said for certain and those with what may come on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.simulation.ledger import SECONDS_PER_HOUR, LedgerEntry
from tests.simulation.oracles import Watch
from tests.simulation.process import CLOCK_ERROR
from tests.simulation.provider import LIST_LAG
from tests.simulation.world import World

from tunesmith.planning.naming import parse_provider_name
from tunesmith.planning.price_table import BillingRules
from tunesmith.planning.usage import UsageRecord, less
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.parsing import parse
from tunesmith.resources.purchase import Spent
from tunesmith.resources.shared_volume import SharedVolume

Raw = Mapping[str, Any]
CENT = Decimal("0.01")
LOOKED_WRONG_SECONDS = Decimal(2 * CLOCK_ERROR + LIST_LAG)
"""A time that is known by looking alone is wrong by the clocks of two processes, and by how old a list may be."""


@dataclass(frozen=True)
class Said:
    """What is said of one thing: dollars for certain, what may come on top, and up to when that counts."""

    owner: Raw
    thing: str
    usd: Decimal
    uncertain_usd: Decimal
    until: datetime | None


@dataclass(eq=False)
class Books:
    """`rules` are those by which the provider bills, whatever the installation was told of them.

    `records` are the usage records of each thing, by who wrote them; of repeats the first counts, as readers have it.
    """

    world: World
    watch: Watch
    rules: BillingRules
    records: dict[str, dict[str, Said]] = field(default_factory=dict)

    def at_rest(self, raw: Raw) -> None:
        """The sums of a status, up to the time that they count to."""
        typed = parse(raw)
        if not isinstance(typed, GPUCluster | SharedVolume) or typed.status.cost is None:
            return
        thing = typed.status.cluster_id if isinstance(typed, GPUCluster) else typed.status.volume_id
        cost = typed.status.cost
        if thing is None:
            return
        own = Spent() if cost.account is None else less(cost.account.total, cost.account.earlier)
        said = Said(raw, thing, own.compute_usd, own.uncertain_usd, cost.as_of_time)
        self._agrees(said, said.until)
        entry = self._entry(thing)
        if entry.asked is None and entry.gone is None and cost.hourly_usd is not None:
            hourly = (entry.held * entry.rate).quantize(CENT)
            if abs(cost.hourly_usd - hourly) > CENT:
                self.world.broken(f"an hour of {thing} costs {hourly}, and its status says {cost.hourly_usd}")

    def recorded(self, record: UsageRecord) -> None:
        """A usage record is written: it agrees up to its end."""
        metadata = {"uid": record.uid, "name": record.name, "namespace": record.namespace}
        owner = {"kind": record.kind, "metadata": metadata}
        usd, uncertain = record.usd or Decimal(0), record.uncertain_usd or Decimal(0)
        said = Said(owner, record.provider_id, usd, uncertain, record.until)
        self._agrees(said, said.until)
        self.records.setdefault(record.provider_id, {}).setdefault(record.id, said)

    def over(self) -> None:
        """All is deleted: the last record of everything that went holds its whole bill."""
        for provider in self.watch.providers:
            for thing, entry in provider.ledger.items():
                if entry.gone is None or thing in self.watch.kept or self._is_left_to_the_sweep(entry):
                    continue
                written = list(self.records.get(thing, {}).values())
                if written:
                    self._agrees(written[-1], None)
                else:
                    self.world.broken(f"{thing} is gone, and no usage record says what it cost")

    def _is_left_to_the_sweep(self, entry: LedgerEntry) -> bool:
        """A restore took its object away, or the status that would have told of it."""
        name = parse_provider_name(entry.name)
        lost = {self.watch.uid_mark(uid) for uid in (*self.watch.lost_uids, *self.watch.restored_at)}
        return name is not None and name.uid in lost

    def _agrees(self, said: Said, until: datetime | None) -> None:
        entry = self._entry(said.thing)
        bill, unseen = entry.spent(self.rules, until), _by_looking(entry)
        told = f"{said.usd:.2f} (+{said.uncertain_usd:.2f}) dollars of {said.thing}, whose bill is {bill:.2f}"
        if said.usd > bill + CENT + (0 if entry.is_cluster else unseen):
            self.world.broken(f"the accounts say more than was billed: {told}, until {until}")
        if bill > said.usd + said.uncertain_usd + CENT + unseen and not self._began_late(said, entry):
            self.world.broken(f"the accounts say less than was billed: {told}, until {until}")

    def _began_late(self, said: Said, entry: LedgerEntry) -> bool:
        """What cannot be known: what a lost status had counted, and what was spent before a thing was taken over."""
        own, name = self.watch.name_of(said.owner), parse_provider_name(entry.name)
        taken_over = name is None or not name.is_same_object(own)
        return taken_over or said.owner["metadata"]["uid"] in self.watch.restored_at

    def _entry(self, thing: str) -> LedgerEntry:
        return next(provider.ledger[thing] for provider in self.watch.providers if thing in provider.ledger)


def _by_looking(entry: LedgerEntry) -> Decimal:
    """Dollars of what the provider tells no times of: all of a volume, and the end of a cluster that just vanished."""
    if entry.is_cluster and entry.asked is None:
        return Decimal(0)
    return entry.rate * sum(part.count for part in entry.parts) * LOOKED_WRONG_SECONDS / SECONDS_PER_HOUR
