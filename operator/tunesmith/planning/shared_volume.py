"""The mind of a SharedVolume: its life as a list of questions, in the order in which a person would ask them."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.absence import is_gone, looked_for_again
from tunesmith.planning.bought import quietly, tell
from tunesmith.planning.credential_kept import credential_can_tell, credential_must_stay, held_by_another_account
from tunesmith.planning.credential_secret import refusal_of_key
from tunesmith.planning.decision import EventNote, EventType, first_answer
from tunesmith.planning.first_questions import (
    credential_followed,
    never_seen,
    not_implemented_fields,
    paused,
    without_credential,
    without_finalizer,
)
from tunesmith.planning.looking import (
    BUSY_INTERVAL_SECONDS,
    VOLUME_INTERVAL_SECONDS,
    answering_request,
    leaving_interval_seconds,
    looking_again,
)
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.observing import without_touching
from tunesmith.planning.ownership import (
    FINALIZER,
    NAME_ANNOTATION,
    is_paused,
    lets_go,
    may_be_taken_over,
    was_restored,
)
from tunesmith.planning.provider import Credential, ProviderVolume, named_things
from tunesmith.planning.verdict import Standing, Verdict, reason_of
from tunesmith.planning.volume_account import accounted
from tunesmith.planning.volume_adoption import adopts, claimed_by_another, with_adoption_words
from tunesmith.planning.volume_deletion import being_deleted
from tunesmith.planning.volume_growth import full_at_its_limit, too_small
from tunesmith.planning.volume_observation import VolumeDecision, VolumeObservation
from tunesmith.planning.volume_purchase import buy, found_by_name, made_with_a_cluster, record, region_is_wrong
from tunesmith.planning.volume_status import (
    as_seen,
    broken_at_provider,
    deleted_outside,
    facts,
    still_made,
    with_news_of_duplicates,
)
from tunesmith.resources.purchase import AdoptionPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.shared_volume import SharedVolumeStatus


def decide(seen: VolumeObservation) -> VolumeDecision:
    """What to do next for one SharedVolume. Pure."""
    decision = with_adoption_words(seen, _managed(seen) if seen.may_change else _observed(seen))
    decision = seen_lately(seen, credential_followed(seen, with_news_of_duplicates(seen, decision)))
    return without_touching(seen, accounted(seen, decision))


def _managed(seen: VolumeObservation) -> VolumeDecision:
    return first_answer(
        seen,
        paused,
        being_deleted,
        not_implemented_fields,
        without_credential,
        never_seen,
        key_is_refused,
        restored,
        without_finalizer,
        claimed_by_another,
        found_by_name,
        adopts,  # takes over what exists; nothing is made for such a resource
        predecessor_found,
        region_is_wrong,
        credential_must_stay,
        made_with_a_cluster,  # elects the one cluster that may make it
        buy,
        lost_from_provider,
        broken_at_provider,
        deleted_outside,
        still_made,
        too_small,
        otherwise=in_order,
    )


def _observed(seen: VolumeObservation) -> VolumeDecision:
    """`managementPolicy: Observe`: no question here has an answer that changes the volume."""
    return first_answer(
        seen,
        paused,
        being_deleted,
        not_implemented_fields,
        without_credential,
        never_seen,
        key_is_refused,
        restored,
        without_finalizer,
        claimed_by_another,
        adopts,
        credential_must_stay,
        lost_from_provider,
        broken_at_provider,
        still_made,
        otherwise=in_order,
    )


def key_is_refused(seen: VolumeObservation) -> VolumeDecision | None:
    """The provider refuses a key that it took before. What was bought goes on, and bills, while nothing can be done."""
    refusal = refusal_of_key(seen.around)
    if refusal is None:
        return None
    message = f"{refusal.message} Put a valid API key into the credential's Secret; it is used at once."
    return tell(seen, Standing.STALLED, Reason.CREDENTIALS_REFUSED, message, LookAtProvider(seen.around.monotonic))


def restored(seen: VolumeObservation) -> VolumeDecision | None:
    """A backup brought the object here under another uid: the user says what becomes of what it had bought."""
    if not was_restored(seen.resource.metadata, seen.name):
        return None
    if seen.spec.adoption_policy is AdoptionPolicy.BUY_NEW and (seen.status.volume_id or seen.status.create_intent):
        anew = SharedVolumeStatus(conditions=seen.status.conditions)
        message = "What the restored status speaks of is left to its owner."
        return tell(seen, Standing.WORKING, Reason.BUYING_NEW, message, status=anew)
    if seen.spec.adoption_policy is not AdoptionPolicy.ASK:
        return None
    annotated = seen.resource.metadata.annotations[NAME_ANNOTATION]
    message = f"This object was restored from a backup of another, which had bought '{annotated}'. Set "
    message += "`spec.adoptionPolicy` to 'SameIdentity' to take over what that one bought, or to 'BuyNew'."
    return tell(seen, Standing.STALLED, Reason.RESTORED, message)


def predecessor_found(seen: VolumeObservation) -> VolumeDecision | None:
    """A volume of our identity under another uid or installation, such as a retained one: ask before making another."""
    if seen.status.volume_id is not None or seen.spec.adoption_policy is AdoptionPolicy.BUY_NEW:
        return None
    found = seen.provider.same_identity_volumes(seen.name)
    if not found:
        return None
    names = ", ".join(f"'{each.name}' ({each.id})" for each in found)
    what = f"Volume {names} was" if len(found) == 1 else f"Volumes {names} were"
    if seen.spec.adoption_policy is AdoptionPolicy.ASK:
        message = f"{what} made for a resource of this name before. Set `spec.adoptionPolicy` to 'SameIdentity' "
        message += "to take it over with its data, or to 'BuyNew' to make another."
        return tell(seen, Standing.STALLED, Reason.PREDECESSOR_FOUND, message)
    installation = seen.around.installation
    ours = [each for each in found if each.parsed_name and may_be_taken_over(each.parsed_name, installation)]
    if not ours:
        message = f"{what} made by another installation of Tunesmith, so it is not taken over. If that one is no "
        message += "more, name it in the chart's `previousInstallationIDs`; or set `spec.adoptionPolicy` to 'BuyNew'."
        return tell(seen, Standing.STALLED, Reason.PREDECESSOR_FOUND, message)
    return record(seen, ours[0], duplicates=tuple(each for each in found if each is not ours[0]))


def lost_from_provider(seen: VolumeObservation) -> VolumeDecision | None:
    """A recorded volume that the provider does not show: is it gone, or do we not see it?"""
    volume_id = seen.status.volume_id
    if volume_id is None or seen.bought is not None:
        return None
    if reason_of(seen.status.conditions, "Ready") == Reason.GONE:
        if seen.status.observed_generation == seen.resource.metadata.generation:
            return quietly(seen)
        return replace(_gone(seen, volume_id), events=())
    if not credential_can_tell(seen):
        return held_by_another_account(seen, volume_id)
    return _gone(seen, volume_id) if is_gone(seen, volume_id) else looked_for_again(seen, volume_id)


def _gone(seen: VolumeObservation, volume_id: str) -> VolumeDecision:
    message = f"Volume '{volume_id}' is gone from the provider with its data; this resource did not delete it. "
    message += "Delete the resource and create it again for a new one."
    if seen.bought_beside:
        message += f" The provider has more of this resource, which bill: {named_things(seen.bought_beside)}."
    verdicts = {
        "Provisioned": Verdict(False, Reason.GONE, message),
        "InUse": Verdict(False, Reason.GONE, message),
        "Resizing": Verdict(False, Reason.GONE, message),
    }
    status = seen.status.model_copy(update={"provider_status": None, "bound_to": None})
    events = (EventNote(EventType.WARNING, Reason.GONE, message),)
    return tell(seen, Standing.STALLED, Reason.GONE, message, status=status, verdicts=verdicts, events=events)


def in_order(seen: VolumeObservation) -> VolumeDecision:
    """Everything is as it was asked for."""
    volume = seen.bought
    if volume is None:
        raise ValueError("a volume is in order only when the provider shows it")
    message = f"The volume of {volume.size_tib} TiB is there."
    resizing, events = full_at_its_limit(seen) or (Verdict(False, Reason.AS_WANTED, _size(seen, volume)), ())
    return tell(
        seen,
        Standing.DONE,
        Reason.IN_ORDER,
        message,
        status=as_seen(seen, volume),
        verdicts={**facts(seen), "Resizing": resizing},
        events=events,
    )


def seen_lately(seen: VolumeObservation, decision: VolumeDecision) -> VolumeDecision:
    """The decision, with a look at the provider when the newest is old or the user asks for one."""
    metadata = seen.resource.metadata
    if is_paused(metadata) or (metadata.is_being_deleted and FINALIZER not in metadata.finalizers):
        return decision
    has_eyes = isinstance(seen.credential, Credential)
    if lets_go(decision.actions):
        return decision
    look = seen.look(seen.around.monotonic, seen.looked_for)
    decision = answering_request(decision, metadata, look, seen.around, has_eyes=has_eyes)
    begun, interval = seen.provider.begun if has_eyes else None, _interval_seconds(seen, decision)
    return looking_again(decision, look, begun=begun, interval_seconds=interval, around=seen.around)


def _interval_seconds(seen: VolumeObservation, decision: VolumeDecision) -> float:
    if seen.resource.metadata.is_being_deleted:
        return leaving_interval_seconds(seen.around.installation)
    calm = reason_of(decision.status.conditions, "Ready") in {Reason.IN_ORDER, Reason.WAITING_FOR_CLUSTER}
    return VOLUME_INTERVAL_SECONDS if calm else BUSY_INTERVAL_SECONDS


def _size(seen: VolumeObservation, volume: ProviderVolume) -> str:
    size, wish = f"The size is {volume.size_tib} TiB.", seen.spec.size_tib
    if wish is None or volume.size_tib == wish:
        return size
    if volume.size_tib < wish:
        return f"{size} `spec.sizeTiB` says {wish}; it is left so, because the volume is only watched."
    if seen.spec.growth is not None:
        return f"{size} `spec.sizeTiB` says {wish}; the volume has grown since, and the provider shrinks none."
    return f"{size} `spec.sizeTiB` says {wish}; the provider shrinks no volume."
