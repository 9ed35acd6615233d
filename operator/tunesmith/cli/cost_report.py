"""What was spent, by label: living resources by their status, those that are gone by their usage records. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from tunesmith.planning.accounting import account_of
from tunesmith.planning.usage import USAGE
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.parsing import parse
from tunesmith.resources.shared_volume import SharedVolume

Raw = Mapping[str, Any]
NAMESPACE = "namespace"
UNLABELLED = "(none)"


@dataclass(frozen=True)
class Spending:
    """What one resource, or a group of them, came to; exact. `unpriced`: how many have no price, so no dollars."""

    gpu_hours: Decimal = Decimal(0)
    tib_hours: Decimal = Decimal(0)
    compute_usd: Decimal = Decimal(0)
    storage_usd: Decimal = Decimal(0)
    idle_usd: Decimal = Decimal(0)
    uncertain_usd: Decimal = Decimal(0)
    hourly_usd: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def total_usd(self) -> Decimal:
        """Compute and storage, for certain."""
        return self.compute_usd + self.storage_usd

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            self.gpu_hours + other.gpu_hours,
            self.tib_hours + other.tib_hours,
            self.compute_usd + other.compute_usd,
            self.storage_usd + other.storage_usd,
            self.idle_usd + other.idle_usd,
            self.uncertain_usd + other.uncertain_usd,
            self.hourly_usd + other.hourly_usd,
            self.unpriced + other.unpriced,
        )


@dataclass(frozen=True)
class Spender:
    """One resource that spent, or the last record of one that is gone."""

    uid: str
    namespace: str
    labels: Mapping[str, str]
    spending: Spending


def report(living: Iterable[Spender], gone: Iterable[Spender], by: str) -> dict[str, Spending]:
    """Spending by the value of a label (or by 'namespace'), the dearest first.

    A resource that lives has its earlier incarnations in its own sums: records of it are not counted again.
    """
    living = tuple(living)
    alive = {spender.uid for spender in living}
    groups: dict[str, Spending] = {}
    for spender in (*living, *(each for each in gone if each.uid not in alive)):
        group = spender.namespace if by == NAMESPACE else spender.labels.get(by, UNLABELLED)
        groups[group] = groups.get(group, Spending()) + spender.spending
    return dict(sorted(groups.items(), key=lambda item: (-item[1].total_usd, item[0])))


def of_resource(raw: Raw) -> Spender | None:
    """What a GPUCluster or SharedVolume has spent; None when nothing of it was ever bought."""
    resource = parse(raw)
    if not isinstance(resource, GPUCluster | SharedVolume) or resource.status.cost is None:
        return None
    cost, total = resource.status.cost, account_of(resource.status.cost).total
    is_volume = isinstance(resource, SharedVolume)
    spending = Spending(
        gpu_hours=Decimal(0) if is_volume else total.held_hours,
        tib_hours=total.held_hours if is_volume else Decimal(0),
        compute_usd=Decimal(0) if is_volume else total.compute_usd,
        storage_usd=total.compute_usd if is_volume else Decimal(0),
        idle_usd=total.idle_usd,
        uncertain_usd=total.uncertain_usd,
        hourly_usd=cost.hourly_usd or Decimal(0),
        unpriced=0 if cost.hourly_usd is not None else 1,
    )
    meta = resource.metadata
    return Spender(meta.uid, meta.namespace or "", meta.labels, spending)


def of_log(lines: Iterable[str]) -> tuple[Spender, ...]:
    """The usage records of an audit log. Other lines pass, and of several records of one id the last counts."""
    records: dict[str, Spender] = {}
    for line in lines:
        record = _usage(line)
        if record is not None:
            records[str(record["id"])] = _spender(record)
    return tuple(records.values())


def _usage(line: str) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_usage = isinstance(record, dict) and record.get("kind") == USAGE and isinstance(record.get("resource"), dict)
    return record if is_usage and record.get("id") else None


def _spender(record: Mapping[str, Any]) -> Spender:
    resource, labels = record["resource"], record.get("labels")
    usd = record.get("storageUSD", record.get("computeUSD"))
    is_volume = "storageUSD" in record
    spending = Spending(
        gpu_hours=_number(record.get("gpuHours")),
        tib_hours=_number(record.get("tibHours")),
        compute_usd=Decimal(0) if is_volume else _number(usd),
        storage_usd=_number(usd) if is_volume else Decimal(0),
        idle_usd=_number(record.get("idleUSD")),
        uncertain_usd=_number(record.get("uncertainUSD")),
        unpriced=1 if usd is None else 0,
    )
    named = labels if isinstance(labels, dict) else {}
    return Spender(str(resource.get("uid", "")), str(resource.get("namespace", "")), named, spending)


def _number(text: object) -> Decimal:
    """A number of the log; what is none counts as nothing."""
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        return Decimal(0)
    return number if number.is_finite() else Decimal(0)
