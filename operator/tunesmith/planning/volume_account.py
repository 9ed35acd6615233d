"""What a SharedVolume has cost, cluster or no cluster: TiB-months by the hour, from look to look.

provider: a volume tells no times. So its ends, and changes of its size, are known only to lie between two looks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from tunesmith.planning.accounting import Counting, account_of, gone_by, grown, is_old, opened, wall_time
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.claims import owner_elsewhere
from tunesmith.planning.money import Holding, Range, Rates, account, storage_hourly_usd
from tunesmith.planning.ownership import FINALIZER, is_paused, was_restored
from tunesmith.planning.price_table import HOURS_PER_MONTH
from tunesmith.planning.usage import RecordUsage, UsageRecord, is_recorded, usage_of
from tunesmith.planning.volume_observation import VolumeDecision, VolumeObservation
from tunesmith.resources.purchase import Cost
from tunesmith.resources.shared_volume import SharedVolumeStatus


def accounted(seen: VolumeObservation, decision: VolumeDecision) -> VolumeDecision:
    """The decision with what the volume has cost. No write for the sake of money more often than hourly."""
    if is_paused(seen.resource.metadata) or owner_elsewhere(seen) is not None:
        return decision
    if _closes(seen, decision):
        record = usage_record(seen)
        return decision if is_recorded(record, seen.around) else VolumeDecision(seen.status, (RecordUsage(record),))
    volume_id = decision.status.volume_id
    if volume_id is None or FINALIZER not in seen.resource.metadata.finalizers or not decision.status.conditions:
        return decision
    looked = _looked_at(seen)
    if looked is None:
        return decision
    volume = seen.provider.volume(volume_id)
    if volume is None and decision.status.provider_status is not None:
        return decision  # whether it is gone is not known yet
    if volume is None and account_of(decision.status.cost).held is None:
        return decision  # it is ordered, and was not seen yet
    fresh = counted_now(seen, decision.status, 0 if volume is None else volume.size_tib, looked)
    if not _is_due(seen, decision, fresh):
        return decision
    return replace(decision, status=decision.status.model_copy(update={"cost": fresh}))


def counted_now(seen: VolumeObservation, status: SharedVolumeStatus, size_tib: int, looked: datetime) -> Cost:
    """The cost up to a look that showed this size; 0: it is gone."""
    before = status.cost if status.cost is not None else opened(None, seen.around.now)
    since = before.as_of_time or looked
    prices = seen.around.installation.prices
    held = account_of(before).held
    if held is None:  # it was made at some time since it was ordered
        held, certain = size_tib, 0
    else:
        certain = min(held, size_tib)
    most = max(held, size_tib)
    until = gone_by(seen.around) if size_tib == 0 else looked
    step = Holding(since, until, gpus=Range(certain, most), on_demand=Range(certain, most))
    rate = None if prices.tib_month_usd is None else prices.tib_month_usd / HOURS_PER_MONTH
    money = account((step,), Rates(on_demand=rate), since, until)
    hourly = Decimal(0) if size_tib == 0 else storage_hourly_usd(prices, size_tib)
    return grown(before, Counting(money, max(looked, since), size_tib, hourly))


def bought_now(seen: VolumeObservation) -> Cost:
    """The cost when an incarnation is written down: nothing of it is counted yet."""
    return opened(seen.status.cost, seen.intent.started if seen.intent is not None else seen.around.now)


def closed(seen: VolumeObservation) -> Cost | None:
    """The cost once the provider shows the volume no more: it ended at some time since it was counted last."""
    cost, looked = seen.status.cost, _looked_at(seen)
    if cost is None or looked is None or seen.bought is not None or not account_of(cost).held:
        return cost
    return counted_now(seen, seen.status, 0, looked)


def usage_record(seen: VolumeObservation) -> UsageRecord:
    """The record of the incarnation that the status speaks of."""
    status = seen.status
    return usage_of(
        "SharedVolume",
        seen.resource.metadata,
        closed(seen),
        provider_id=status.volume_id or "",
        provider_name=status.provider_name or "",
        incarnation=status.incarnation or 1,
        region=status.region or seen.spec.region or "",
        sort="storage",
    )


def last_record(seen: VolumeObservation) -> tuple[RecordUsage, ...]:
    """What is written before the resource goes: nothing when nothing was bought."""
    return (
        () if seen.status.volume_id is None or owner_elsewhere(seen) is not None else (RecordUsage(usage_record(seen)),)
    )


def _closes(seen: VolumeObservation, decision: VolumeDecision) -> bool:
    bought = seen.status.volume_id
    if was_restored(seen.resource.metadata, seen.name):
        return False  # it was another object's, which records it
    return bought is not None and decision.status.volume_id != bought


def _is_due(seen: VolumeObservation, decision: VolumeDecision, fresh: Cost) -> bool:
    before = decision.status.cost
    if before is None or decision.status.model_copy(update={"cost": None}) != seen.status.model_copy(
        update={"cost": None}
    ):
        return True
    if fresh.hourly_usd != before.hourly_usd:
        return True
    held, after = account_of(before).held, account_of(fresh).held
    return held != after or (bool(held) and fresh.as_of_time is not None and is_old(before, fresh.as_of_time))


def _looked_at(seen: VolumeObservation) -> datetime | None:
    volumes = seen.provider.volumes
    return None if isinstance(volumes, Unknown) else wall_time(volumes.as_of, seen.around)
