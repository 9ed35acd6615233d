"""The final record of what one incarnation of a bought thing came to: one line of the audit log, for the accountants.

It is written before the last trace of the incarnation goes, so that no crash loses it. A repeat carries the same id,
and readers drop it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Action
from tunesmith.planning.money import cents
from tunesmith.resources.metadata import Metadata
from tunesmith.resources.purchase import Cost, Spent
from tunesmith.resources.timestamps import format_time

USAGE = "usage"
"""What `kind` says in the line."""


@dataclass(frozen=True)
class UsageRecord:
    """What one incarnation held and cost. Dollars and hours are exact; None: no price was known, so no sum is."""

    id: str
    kind: str
    namespace: str
    name: str
    uid: str
    labels: tuple[tuple[str, str], ...]
    provider_id: str
    provider_name: str
    incarnation: int
    region: str
    sort: str
    since: datetime | None
    until: datetime | None
    held_hours: Decimal
    uncertain_hours: Decimal
    usd: Decimal | None
    idle_usd: Decimal | None
    uncertain_usd: Decimal | None

    def as_line(self) -> Mapping[str, object]:
        """The fields of the JSON line. Hours are GPU-hours of clusters and TiB-hours of volumes."""
        is_volume = self.kind == "SharedVolume"
        hours, uncertain = ("tibHours", "uncertainTiBHours") if is_volume else ("gpuHours", "uncertainGPUHours")
        return {
            "kind": USAGE,
            "id": self.id,
            "resource": {"kind": self.kind, "namespace": self.namespace, "name": self.name, "uid": self.uid},
            "labels": dict(self.labels),
            "providerID": self.provider_id,
            "providerName": self.provider_name,
            "incarnation": self.incarnation,
            "region": self.region,
            "type": self.sort,
            "intervals": [{"from": _time(self.since), "until": _time(self.until)}],
            hours: _number(self.held_hours),
            uncertain: _number(self.uncertain_hours),
            "storageUSD" if is_volume else "computeUSD": _dollars(self.usd),
            "idleUSD": _dollars(self.idle_usd),
            "uncertainUSD": _dollars(self.uncertain_usd),
        }


@dataclass(frozen=True)
class RecordUsage(Action):
    """Write one line of usage to the audit log. The same again is the same line."""

    record: UsageRecord

    @property
    def identity(self) -> str:
        """By the record's id: repeats are one."""
        return f"record usage {self.record.id}"


def usage_of(
    kind: str,
    metadata: Metadata,
    cost: Cost | None,
    *,
    provider_id: str,
    provider_name: str,
    incarnation: int,
    region: str,
    sort: str,
) -> UsageRecord:
    """The record of the incarnation that the cost speaks of now."""
    account = cost.account if cost is not None else None
    own = Spent() if account is None else less(account.total, account.earlier)
    priced = cost is not None and cost.compute_usd is not None
    return UsageRecord(
        id=f"{metadata.uid}/{incarnation}/{provider_id}",
        kind=kind,
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=metadata.uid,
        labels=tuple(sorted(metadata.labels.items())),
        provider_id=provider_id,
        provider_name=provider_name,
        incarnation=incarnation,
        region=region,
        sort=sort,
        since=account.since_time if account is not None else None,
        until=cost.as_of_time if cost is not None else None,
        held_hours=own.held_hours,
        uncertain_hours=own.uncertain_hours,
        usd=own.compute_usd if priced else None,
        idle_usd=own.idle_usd if priced else None,
        uncertain_usd=own.uncertain_usd if priced else None,
    )


def is_recorded(record: UsageRecord, around: Circumstances) -> bool:
    """The line was written by the pass before."""
    return any(
        isinstance(each.action, RecordUsage) and each.action.record.id == record.id and each.failure is None
        for each in around.outcomes
    )


def less(total: Spent, part: Spent) -> Spent:
    """What is left of a sum without a part of it; never below zero."""
    return Spent(
        compute_usd=max(total.compute_usd - part.compute_usd, Decimal(0)),
        idle_usd=max(total.idle_usd - part.idle_usd, Decimal(0)),
        uncertain_usd=max(total.uncertain_usd - part.uncertain_usd, Decimal(0)),
        held_hours=max(total.held_hours - part.held_hours, Decimal(0)),
        uncertain_hours=max(total.uncertain_hours - part.uncertain_hours, Decimal(0)),
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


def _dollars(amount: Decimal | None) -> str | None:
    return None if amount is None else format(cents(amount), "f")


def _number(amount: Decimal) -> str:
    return format(amount.quantize(Decimal("0.0001")), "f")
