"""The questions on the way out that clusters and volumes share, and the last of all writes: the resource goes."""

from __future__ import annotations

from tunesmith.planning import cluster_account, volume_account
from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.bought import BoughtObservation, BoughtStatus, quietly
from tunesmith.planning.claims import owner_elsewhere
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.credential_kept import let_go_of_credential
from tunesmith.planning.credential_secret import GONE_AGAIN_SECONDS
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.name_book import KeepName, Kept, keeping
from tunesmith.planning.ownership import ABANDON_ANNOTATION, FINALIZER, was_restored, without_finalizer
from tunesmith.planning.usage import RecordUsage
from tunesmith.planning.volume_observation import VolumeObservation
from tunesmith.resources.purchase import AdoptionPolicy
from tunesmith.resources.reasons import Reason


def not_ours_to_hold(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """Without our finalizer others decide when the object goes; nothing was ever bought for it."""
    return None if FINALIZER in seen.resource.metadata.finalizers else quietly(seen)


def owned_by_another(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """An older claimant owns what this resource names: this one can go at once and touches nothing."""
    return None if owner_elsewhere(seen) is None else let_go(seen)


def never_adopted(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """What `spec.adopt` names was not taken over, and nothing was bought: there is nothing to let go of."""
    nothing = seen.bought_id is None and seen.intent is None
    return let_go(seen) if seen.spec.adopt is not None and nothing else None


def only_watched(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """`managementPolicy: Observe` never deletes: the resource goes at once, what it watched stays as it is."""
    if seen.may_change:
        return None
    what = f"{seen.word.capitalize()} '{seen.status.provider_name}' ({seen.bought_id})"
    note = EventNote(EventType.NORMAL, Reason.RETAINED, f"{what} was only watched and stays as it is.")
    return let_go(seen, note, keep=keeping(seen.status.provider_name, Kept.RETAINED, seen.around.installation))


def abandoned(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """The user lets the resource go although the provider does not answer; it must name what may still bill.

    An annotation that names something else is no wish about this resource: what can be given back is given back.
    """
    target = target_of(seen)
    if seen.resource.metadata.annotations.get(ABANDON_ANNOTATION) != target:
        return None
    message = f"Abandoned by its user: '{target}' may still exist at the provider, and bill."
    note = EventNote(EventType.WARNING, Reason.ABANDONED, message)
    return let_go(seen, note, keep=keeping(seen.status.provider_name, Kept.ABANDONED, seen.around.installation))


def restored_and_undecided(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """An object that a backup brought here has bought nothing itself while nobody said that it may take over."""
    if not was_restored(seen.resource.metadata, seen.name) or seen.spec.adoption_policy is not AdoptionPolicy.ASK:
        return None
    return let_go(seen)


def let_go(
    seen: BoughtObservation[BoughtStatus], *events: EventNote, keep: tuple[KeepName, ...] = ()
) -> Decision[BoughtStatus]:
    """Write what it came to and what is kept, then take our finalizers away. A kubeconfig goes with its owner."""
    if seen.secret_use.goes_last:
        return quietly(seen, again=GONE_AGAIN_SECONDS)
    finalizers = SetMetadata(finalizers=without_finalizer(seen.resource.metadata))
    actions = (*_last_record(seen), *keep, *let_go_of_credential(seen), finalizers)
    return Decision(status=seen.status, actions=actions, events=events)


def target_of(seen: BoughtObservation[BoughtStatus]) -> str:
    """What may bill: the id, or the name while a create is open, or while nobody can see whether there was one."""
    if seen.bought_id is not None:
        return seen.bought_id
    return str(seen.name) if seen.intent is None else seen.intent.name


def _last_record(seen: BoughtObservation[BoughtStatus]) -> tuple[RecordUsage, ...]:
    if isinstance(seen, ClusterObservation):
        return cluster_account.last_record(seen)
    return volume_account.last_record(seen) if isinstance(seen, VolumeObservation) else ()
