"""When a SharedVolume grows: because its user wants it larger, or because it fills up. It never shrinks.

provider: volumes grow by the TiB; only its own team shrinks them. A request names the target size, so that a repeat
buys nothing more; and none is repeated before the list had time to show what became of the one before.
"""

from __future__ import annotations

from tunesmith.planning.bought import quietly, tell
from tunesmith.planning.circumstances import Known
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import ResizeVolume
from tunesmith.planning.provider import ProviderVolume
from tunesmith.planning.purchase import DEFINITE_REFUSALS
from tunesmith.planning.verdict import Standing, Verdict, reason_of
from tunesmith.planning.volume_observation import VolumeDecision, VolumeObservation
from tunesmith.planning.volume_status import as_seen, facts
from tunesmith.planning.volume_usage import size_by_use, used_percent
from tunesmith.resources.reasons import Reason

RESIZE_AGAIN_SECONDS = 60.0


def too_small(seen: VolumeObservation) -> VolumeDecision | None:
    """The user wants it larger, or it is as full as `spec.growth` allows."""
    volume = seen.bought
    if volume is None or volume.size_tib >= wanted_tib(seen, volume):
        return None
    wish, written = wanted_tib(seen, volume), seen.memory.last_write
    if written is not None and (seen.provider.begun is None or seen.provider.begun < written):
        return quietly(seen, LookAtProvider(written))
    resize = ResizeVolume(volume.id, wish)
    failed = seen.around.failure_of(resize)
    if failed is not None and failed.failure.error in DEFINITE_REFUSALS:
        return _refused(seen, volume, resize, failed.failure.message)
    waits = written is not None and seen.around.monotonic < written + RESIZE_AGAIN_SECONDS
    message = f"Growing from {volume.size_tib} to {wish} TiB{_why(seen, volume)}."
    verdicts = {**facts(seen), "Resizing": Verdict(True, Reason.RESIZING, message)}
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Resizing") != Reason.RESIZING:
        events = (EventNote(EventType.NORMAL, Reason.RESIZING, message),)
    return tell(
        seen,
        Standing.WORKING,
        Reason.RESIZING,
        message,
        *(() if waits else (resize,)),
        status=as_seen(seen, volume),
        verdicts=verdicts,
        events=events,
    )


def full_at_its_limit(seen: VolumeObservation) -> tuple[Verdict, tuple[EventNote, ...]] | None:
    """It is as full as calls for growth, but may not grow: told, because a full volume ends trainings."""
    volume, growth = seen.bought, seen.spec.growth
    if volume is None or growth is None or not isinstance(seen.usage, Known) or volume.size_tib < growth.max_tib:
        return None
    percent = used_percent(seen.usage.value, volume.size_tib)
    if percent < growth.when_used_percent:
        return None
    message = (
        f"More than {growth.when_used_percent} % of {volume.size_tib} TiB is used, and `spec.growth.maxTiB` lets it "
    )
    message += "grow no more. Raise it, or clear the volume of what is not needed."
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Resizing") != Reason.GROWTH_AT_LIMIT:
        events = (EventNote(EventType.WARNING, Reason.GROWTH_AT_LIMIT, message),)
    return Verdict(False, Reason.GROWTH_AT_LIMIT, message), events


def wanted_tib(seen: VolumeObservation, volume: ProviderVolume) -> int:
    """The size it should have: the user's wish, or more when it fills up. What is not measured asks for nothing."""
    wish = seen.spec.size_tib or volume.size_tib
    if not isinstance(seen.usage, Known) or volume.size_tib < wish:
        return wish
    return max(wish, size_by_use(seen.spec, seen.usage.value, volume.size_tib))


def _why(seen: VolumeObservation, volume: ProviderVolume) -> str:
    growth = seen.spec.growth
    if growth is None or volume.size_tib < (seen.spec.size_tib or 0):
        return ""
    return f", because more than {growth.when_used_percent} % is used"


def _refused(seen: VolumeObservation, volume: ProviderVolume, resize: ResizeVolume, why: str) -> VolumeDecision:
    """The volume goes on as it is; the growth is asked for again, at growing intervals."""
    message = f"The provider refuses to grow the volume from {volume.size_tib} to {resize.size_tib} TiB: {why} "
    message += "The volume can be used as it is; the growth is asked for again."
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Resizing") != Reason.CHANGE_REFUSED:
        events = (EventNote(EventType.WARNING, Reason.CHANGE_REFUSED, message),)
    return tell(
        seen,
        Standing.DONE,
        Reason.CHANGE_REFUSED,
        message,
        resize,
        status=as_seen(seen, volume),
        verdicts={**facts(seen), "Resizing": Verdict(False, Reason.CHANGE_REFUSED, message)},
        events=events,
    )
