"""What a SharedVolume's status says of a bought volume: its state at the provider, who uses it, how full it is."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.bought import tell
from tunesmith.planning.circumstances import Known
from tunesmith.planning.credential_kept import key_of_now
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.looking import VOLUME_INTERVAL_SECONDS, unseen_seconds
from tunesmith.planning.provider import ProviderVolume, named_things
from tunesmith.planning.verdict import Standing, Verdict, reason_of
from tunesmith.planning.volume_observation import VolumeDecision, VolumeObservation
from tunesmith.planning.volume_purchase import region_of
from tunesmith.planning.volume_usage import shown_bytes
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.reasons import Reason
from tunesmith.resources.shared_volume import SharedVolumeStatus

NAMED_USERS = 5
_FAILED = """The provider could not make the volume ('failed'). Nothing is changed here. Ask its support; or delete \
this resource with `spec.deletionPolicy` 'Delete' and make another."""
_ACCESS_REVOKED = """The provider has withdrawn access to the volume ('access_revoked'); its data may still be there. \
Look at the account's credit and permissions in the provider's console, or ask its support. It recovers by itself."""
_UNKNOWN = """The provider does not know the volume's state ('unknown'). It is looked at again; ask its support if \
this lasts."""
_BROKEN = {
    "failed": (Reason.PROVISION_FAILED, _FAILED),
    "access_revoked": (Reason.ACCESS_REVOKED, _ACCESS_REVOKED),
}
_UNDER_WAY = {
    "scheduled": "The provider has taken the order and begins to make the volume later ('scheduled').",
    "provisioning": "The provider is making the volume ('provisioning').",
    "unknown": _UNKNOWN,
}


def broken_at_provider(seen: VolumeObservation) -> VolumeDecision | None:
    """The provider itself says that the volume cannot be used."""
    volume = seen.bought
    if volume is None or volume.status not in _BROKEN:
        return None
    reason, message = _BROKEN[volume.status]
    return _lost(seen, volume, reason, message)


def deleted_outside(seen: VolumeObservation) -> VolumeDecision | None:
    """Somebody else deletes it at the provider; that cannot be stopped."""
    volume = seen.bought
    if volume is None or volume.status != "deleting":
        return None
    message = (
        f"Volume '{volume.name}' is being deleted at the provider with its data; this resource did not ask for it."
    )
    return _lost(seen, volume, Reason.DELETED_OUTSIDE, message)


def still_made(seen: VolumeObservation) -> VolumeDecision | None:
    """The provider is making the volume, or says something new about it."""
    volume = seen.bought
    if volume is None or volume.is_usable:
        return None
    message = _UNDER_WAY.get(volume.status, f"The provider has the volume as '{volume.status}'.")
    verdicts = {**facts(seen), "Provisioned": Verdict(False, Reason.PROVISIONING, message)}
    return tell(seen, Standing.WORKING, Reason.PROVISIONING, message, status=as_seen(seen, volume), verdicts=verdicts)


def as_seen(seen: VolumeObservation, volume: ProviderVolume) -> SharedVolumeStatus:
    """The status with what the provider and the nodes show now.

    What was measured last stands while nobody measures: what no pod mounts, no pod fills.
    """
    update: dict[str, object] = {
        "provider_status": volume.status,
        "size_tib": volume.size_tib or seen.status.size_tib,
        "bound_to": seen.user(),
        "region": seen.status.region or region_of(seen, volume.id),
        **key_of_now(seen),
    }
    if isinstance(seen.usage, Known):
        update["used_bytes"] = shown_bytes(seen.status.used_bytes, seen.usage.value, volume.size_tib)
    return seen.status.model_copy(update=update)


def facts(seen: VolumeObservation) -> dict[str, Verdict]:
    """That it is made, and who uses it. Every decision about a bought volume begins from this."""
    return {"Provisioned": _made(seen), "InUse": _in_use(seen)}


def with_news_of_duplicates(seen: VolumeObservation, decision: VolumeDecision) -> VolumeDecision:
    """The decision, with the one Event of the moment at which the provider is seen to have more than one."""
    told = find_condition(decision.status.conditions, "Provisioned")
    if told is None or told.reason != Reason.DUPLICATE_FOUND:
        return decision
    if reason_of(seen.status.conditions, "Provisioned") == Reason.DUPLICATE_FOUND:
        return decision
    note = EventNote(EventType.WARNING, Reason.DUPLICATE_FOUND, told.message)
    return replace(decision, events=(*decision.events, note))


def users(cluster: str | None, jobs: tuple[str, ...]) -> str:
    """Who uses the volume, in words; empty: nobody."""
    parts = [] if cluster is None else [f"GPUCluster '{cluster}'"]
    if jobs:
        named = ", ".join(f"'{name}'" for name in jobs[:NAMED_USERS])
        more = f" and {len(jobs) - NAMED_USERS} more" if len(jobs) > NAMED_USERS else ""
        parts.append(f"FineTuneJob{'' if len(jobs) == 1 else 's'} {named}{more}")
    return " and ".join(parts)


def _made(seen: VolumeObservation) -> Verdict:
    unseen = unseen_seconds(seen.provider.begun, VOLUME_INTERVAL_SECONDS, seen.around)
    if unseen is not None:
        text = f"The provider could not be looked at for more than {unseen} s, so nobody knows. It had made the volume."
        return Verdict(None, Reason.PROVIDER_UNREACHABLE, text)
    message, others = "The provider has made the volume.", seen.bought_beside
    if not others:
        return Verdict(True, Reason.BOUGHT, message)
    message += f" It has more of this resource: {named_things(others)}. They bill: look at what they hold, and delete "
    return Verdict(True, Reason.DUPLICATE_FOUND, f"{message}there what is not needed.")


def _in_use(seen: VolumeObservation) -> Verdict:
    cluster, jobs = seen.user(), seen.jobs
    if cluster is None and not jobs:
        return Verdict(False, Reason.NOT_IN_USE, "No cluster has the volume attached, and no job stores on it.")
    if cluster is None:
        return Verdict(True, Reason.IN_USE, f"No cluster has the volume attached, but {users(None, jobs)} will use it.")
    message = f"GPUCluster '{cluster}' has the volume, or has ordered it."
    if jobs:
        message += f" {users(None, jobs)} use{'s' if len(jobs) == 1 else ''} it."
    return Verdict(True, Reason.IN_USE, message)


def _lost(seen: VolumeObservation, volume: ProviderVolume, reason: Reason, message: str) -> VolumeDecision:
    """Somebody must look after it: nothing here can."""
    verdicts = {**facts(seen), "Provisioned": Verdict(False, reason, message)}
    return tell(
        seen,
        Standing.STALLED,
        reason,
        message,
        status=as_seen(seen, volume),
        verdicts=verdicts,
        events=_news(seen, reason, message),
    )


def _news(seen: VolumeObservation, reason: Reason, message: str) -> tuple[EventNote, ...]:
    if reason_of(seen.status.conditions, "Provisioned") == reason:
        return ()
    return (EventNote(EventType.WARNING, reason, message),)
