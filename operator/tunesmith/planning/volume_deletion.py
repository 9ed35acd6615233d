"""Letting a SharedVolume go: never under a cluster that uses it, and its data only when the user said so."""

from __future__ import annotations

from tunesmith.planning.bought import quietly, tell
from tunesmith.planning.credential_kept import credential_can_tell, key_of_now
from tunesmith.planning.decision import EventNote, EventType, first_answer
from tunesmith.planning.giving_back import FAILURES_BEFORE_TOLD, LIST_UNREADABLE, NOT_ASKED, UNANSWERED_AFTER
from tunesmith.planning.letting_go import (
    abandoned,
    let_go,
    never_adopted,
    not_ours_to_hold,
    only_watched,
    owned_by_another,
    restored_and_undecided,
    target_of,
)
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.name_book import Kept, keeping
from tunesmith.planning.orders import DeleteVolume
from tunesmith.planning.ownership import (
    PROTECTION_ANNOTATION,
    is_protected,
    may_be_taken_over,
    way_out_of,
)
from tunesmith.planning.provider import Credential, ProviderVolume, named_things
from tunesmith.planning.purchase import is_absent_twice, may_have_been_posted, settled_at
from tunesmith.planning.verdict import Standing, Verdict
from tunesmith.planning.volume_observation import VolumeDecision, VolumeObservation
from tunesmith.planning.volume_purchase import found_by_name, order_can_be_told, presume_an_order, record_id
from tunesmith.planning.volume_status import users
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.purchase import AdoptionPolicy, DeletionPolicy
from tunesmith.resources.reasons import Reason

DELETE_AGAIN_SECONDS = 60.0


def being_deleted(seen: VolumeObservation) -> VolumeDecision | None:
    """The whole way out, in the order of its questions."""
    if not seen.resource.metadata.is_being_deleted:
        return None
    return first_answer(
        seen,
        not_ours_to_hold,
        owned_by_another,
        never_adopted,
        only_watched,
        protected,
        abandoned,
        in_use,
        restored_and_undecided,
        not_seen_yet,
        found_after_all,
        retained,
        still_there,
        otherwise=gone_for_certain,
    )


def protected(seen: VolumeObservation) -> VolumeDecision | None:
    """The user asked to be asked twice."""
    if not is_protected(seen.resource.metadata):
        return None
    message = f"The resource was deleted, but its annotation '{PROTECTION_ANNOTATION}' keeps the volume, which bills. "
    message += "Remove the annotation to let the resource go."
    return tell(seen, Standing.STALLED, Reason.DELETION_PROTECTED, message)


def in_use(seen: VolumeObservation) -> VolumeDecision | None:
    """A volume in use refuses deletion, and says by whom.

    A volume that stays at the provider may stay with a cluster that stays there too: no resource will ever end that.
    """
    intent = seen.status.create_intent
    elected = intent.cluster_uid if intent is not None else None
    may_hold = [c for c in seen.clusters if c.uid == elected or seen.status.volume_id or (intent is None and c.buying)]
    holding = [cluster.name for cluster in may_hold if cluster.needs_the_volume]
    user = None if _is_kept(seen) and seen.is_held_by_no_resource else seen.user()
    named = users(user or next(iter(sorted(holding)), None), seen.jobs)
    if not named:
        return None
    message = f"The volume is in use by {named}. Delete what uses it first; the volume goes after it."
    verdicts = {"InUse": Verdict(True, Reason.IN_USE, message)}
    return tell(seen, Standing.WORKING, Reason.IN_USE, message, verdicts=verdicts)


def not_seen_yet(seen: VolumeObservation) -> VolumeDecision | None:
    """Without a clean list of this process nothing can be said."""
    if _is_kept(seen):
        return None
    if not isinstance(seen.credential, Credential):
        return _unproven(seen, "there is no API key to ask the provider with")
    begun = seen.provider.begun
    if begun is not None and begun >= seen.memory.first_seen:
        return None
    return _looking(seen, LookAtProvider(seen.memory.first_seen), LIST_UNREADABLE)


def found_after_all(seen: VolumeObservation) -> VolumeDecision | None:
    """What an open intent made is written down first, so that it is not forgotten."""
    mark, intent = seen.memory.mark, seen.intent
    if intent is not None and mark is not None and mark.nonce == intent.nonce and mark.created_id is not None:
        return record_id(seen, mark.created_id)
    return found_by_name(seen) or _taken_over_before(seen)


def _taken_over_before(seen: VolumeObservation) -> VolumeDecision | None:
    """What was taken over bears another name; a backup may have lost the status that said so."""
    if seen.status.volume_id is not None or seen.spec.adoption_policy is not AdoptionPolicy.SAME_IDENTITY:
        return None
    for volume in seen.provider.same_identity_volumes(seen.name):
        if volume.parsed_name is not None and may_be_taken_over(volume.parsed_name, seen.around.installation):
            return record_id(seen, volume.id, volume=volume)
    return None


def retained(seen: VolumeObservation) -> VolumeDecision | None:
    """The default: the data stays, and so does its bill."""
    if not _is_kept(seen):
        return None
    message = f"Volume '{seen.status.provider_name}' ({seen.status.volume_id}) stays at the provider, and bills."
    if seen.bought_beside:
        message += f" So do more that were made for this resource: {named_things(seen.bought_beside)}."
    note = EventNote(EventType.NORMAL, Reason.RETAINED, message)
    return let_go(seen, note, keep=keeping(seen.status.provider_name, Kept.RETAINED, seen.around.installation))


def still_there(seen: VolumeObservation) -> VolumeDecision | None:
    """Delete what the provider shows, then wait until it is gone."""
    volume, sent = seen.bought, seen.memory.delete_sent
    if volume is None:
        return None
    waits = volume.status == "deleting" or (sent is not None and seen.around.monotonic < sent + DELETE_AGAIN_SECONDS)
    message = f"Volume '{volume.name}' is being deleted with its data, as `spec.deletionPolicy` says."
    shown = {"provider_status": volume.status, "bound_to": None, **key_of_now(seen)}
    status = seen.status.model_copy(update=shown)
    actions = () if waits else (DeleteVolume(volume.id),)
    verdicts = {"Provisioned": Verdict(False, Reason.DELETING, message)}
    trouble = _unanswered(seen, volume)
    if trouble is not None:
        reason = Reason.NOT_GIVEN_BACK
        return tell(seen, Standing.STALLED, reason, trouble, *actions, status=status, verdicts=verdicts)
    return tell(seen, Standing.WORKING, Reason.DELETING, message, *actions, status=status, verdicts=verdicts)


def _unanswered(seen: VolumeObservation, volume: ProviderVolume) -> str | None:
    """Why the user must know: the provider refuses the delete, or takes too long over it. It is asked on either way."""
    way_out = f"Mend that; or {way_out_of(seen.resource.metadata).format(target=volume.id)}"
    failed = seen.around.failure_of(DeleteVolume(volume.id))
    if failed is not None and failed.count >= FAILURES_BEFORE_TOLD:
        return f"The provider does not delete volume '{volume.name}': {failed.failure.message} It bills on. {way_out}"
    told = find_condition(seen.status.conditions, "Provisioned")
    if told is None or told.reason != Reason.DELETING:
        return None
    since = max(told.last_transition_time, seen.resource.metadata.deletion_timestamp or seen.around.now)
    if seen.around.now - since < UNANSWERED_AFTER:
        return None
    return f"The provider has not taken volume '{volume.name}' away within an hour, and may bill it. {way_out}"


def gone_for_certain(seen: VolumeObservation) -> VolumeDecision:
    """The provider does not show it (any more): how often must that be seen before the resource may go?"""
    if seen.status.volume_id is not None:
        return _absence_of_id(seen, seen.status.volume_id)
    if seen.has_lost_its_status:
        return presume_an_order(seen)
    intent = seen.intent
    if intent is None or not _may_have_been_ordered(seen):
        return let_go(seen)
    if not order_can_be_told(seen):
        return _unproven(seen, "the API key of now is not the one that it was ordered with")
    settled = settled_at(intent, seen.memory, seen.around)
    if seen.around.monotonic < settled:
        message = "An order may still be on its way at the provider. The resource goes when its list stays clean."
        again = settled - seen.around.monotonic
        return tell(seen, Standing.WORKING, Reason.LOOKING_BEFORE_BUYING, message, again=again)
    begun = seen.provider.begun
    if begun is None or begun < settled:
        return _looking(seen, LookAtProvider(settled), LIST_UNREADABLE)
    return _second_look(seen, intent.name, begun)


def _is_kept(seen: VolumeObservation) -> bool:
    return seen.spec.deletion_policy is DeletionPolicy.RETAIN and seen.status.volume_id is not None


def _may_have_been_ordered(seen: VolumeObservation) -> bool:
    intent, written = seen.intent, seen.status.create_intent
    if intent is None or written is None:
        return False
    # Under an election it is the cluster that orders, so this process's own memory says nothing.
    return written.cluster_uid is not None or may_have_been_posted(intent, seen.memory)


def _absence_of_id(seen: VolumeObservation, volume_id: str) -> VolumeDecision:
    if not credential_can_tell(seen):
        return _unproven(seen, "the API key of now is not the one that bought it")
    begun = seen.provider.not_found.get(volume_id)
    if begun is None or begun < seen.memory.first_seen:
        return _looking(seen, LookAtProvider(seen.memory.first_seen, volume_id=volume_id), NOT_ASKED)
    return _second_look(seen, volume_id, begun)


def _second_look(seen: VolumeObservation, target: str, begun: float) -> VolumeDecision:
    if is_absent_twice(seen.memory, target, begun, seen.around):
        message = f"The provider has nothing left of '{target}'."
        if seen.status.volume_id is not None and seen.bought_beside:
            return _the_other_next(seen)
        return let_go(seen, EventNote(EventType.NORMAL, Reason.DELETED, message))
    since = seen.memory.absent_since if seen.memory.absent_target == target else None
    due = (since if since is not None else begun) + seen.around.installation.absence_interval_seconds
    message = f"The provider shows '{target}' no more. It is looked for once again before the resource goes."
    verdicts = {"Provisioned": Verdict(False, Reason.CONFIRMING_ABSENCE, message)}
    status = seen.status.model_copy(update={"provider_status": None, "bound_to": None})
    waits = seen.around.monotonic < due
    look = LookAtProvider(due, volume_id=seen.status.volume_id)
    if not waits and seen.around.failure_of(look) is not None:
        return _unproven(seen, NOT_ASKED, look)
    return tell(
        seen,
        Standing.WORKING,
        Reason.CONFIRMING_ABSENCE,
        message,
        *(() if waits else (look,)),
        status=status,
        verdicts=verdicts,
        again=due - seen.around.monotonic if waits else None,
    )


def _the_other_next(seen: VolumeObservation) -> VolumeDecision:
    """An order that came later than anybody could wait for has made another: it is given back like the first."""
    message = f"Volume '{seen.status.volume_id}' is gone. The provider has more of this resource: "
    message += f"{named_things(seen.bought_beside)}. They are deleted with their data as well."
    note = EventNote(EventType.WARNING, Reason.DUPLICATE_FOUND, message)
    status = seen.status.model_copy(update={"volume_id": None, "provider_name": None, "provider_status": None})
    return tell(seen, Standing.WORKING, Reason.DELETING, message, status=status, events=(note,))


def _looking(seen: VolumeObservation, look: LookAtProvider, failed: str) -> VolumeDecision:
    """Look; `failed` is what is said of a look that failed."""
    return quietly(seen, look) if seen.around.failure_of(look) is None else _unproven(seen, failed, look)


def _unproven(seen: VolumeObservation, why: str, *actions: LookAtProvider) -> VolumeDecision:
    message = f"Whether the provider still has something of this resource cannot be told: {why}. "
    message += f"Mend that; or {way_out_of(seen.resource.metadata).format(target=target_of(seen))}"
    return tell(seen, Standing.STALLED, Reason.ABSENCE_UNPROVEN, message, *actions)
