"""Letting a GPUCluster go: not before jobs are off it, and not before the provider has nothing left to bill for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_account import last_record
from tunesmith.planning.cluster_observation import ClusterObservation, quietly, stalled, working
from tunesmith.planning.cluster_purchase import hold_credential, record, record_id
from tunesmith.planning.cluster_status import as_seen, standing, with_counts, without_what_is_gone
from tunesmith.planning.decision import Decision, EventNote, EventType, first_answer
from tunesmith.planning.orders import DeleteCluster
from tunesmith.planning.ownership import (
    ABANDON_ANNOTATION,
    FINALIZER,
    PROTECTION_ANNOTATION,
    is_protected,
    was_restored,
    without_finalizer,
)
from tunesmith.planning.provider import Credential, Phase, ProviderCluster
from tunesmith.planning.purchase import LookAtProvider, is_absent_twice, may_have_been_posted, settled_at
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import AdoptionPolicy, DeletionPolicy
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

DELETE_AGAIN_SECONDS = 60.0
"""A delete that the provider's list does not show after this time is asked for again."""


def being_deleted(seen: ClusterObservation) -> ClusterDecision | None:
    """The whole way out, in the order of its questions."""
    if not seen.resource.metadata.is_being_deleted:
        return None
    return first_answer(
        seen,
        not_ours_to_hold,
        protected,
        abandoned,
        kept_by_jobs,
        owned_by_another,
        restored_and_undecided,
        retained,
        not_seen_yet,
        still_there,
        otherwise=gone_for_certain,
    )


def not_ours_to_hold(seen: ClusterObservation) -> ClusterDecision | None:
    """Without our finalizer others decide when the object goes; nothing was ever bought for it."""
    return None if FINALIZER in seen.resource.metadata.finalizers else quietly(seen)


def protected(seen: ClusterObservation) -> ClusterDecision | None:
    """The user asked to be asked twice."""
    if not is_protected(seen.resource.metadata):
        return None
    message = f"The resource was deleted, but its annotation '{PROTECTION_ANNOTATION}' keeps what it has bought, which "
    message += "bills. Remove the annotation to give it back."
    return stalled(seen, Reason.DELETION_PROTECTED, message, status=_as_it_stands(seen), verdicts=_facts(seen))


def abandoned(seen: ClusterObservation) -> ClusterDecision | None:
    """The user lets the resource go although the provider does not answer; it must name what may still bill."""
    wish = seen.resource.metadata.annotations.get(ABANDON_ANNOTATION)
    target = _target(seen)
    if wish is None or target is None:
        return None
    if wish != target:
        message = f"The annotation '{ABANDON_ANNOTATION}' says '{wish}', but this resource is about '{target}'."
        return stalled(seen, Reason.ABANDON_MISMATCH, f"{message} Set it to '{target}' to let the resource go.")
    message = f"Abandoned by its user: '{target}' may still exist at the provider, and bill."
    return let_go(seen, EventNote(EventType.WARNING, Reason.ABANDONED, message))


def kept_by_jobs(seen: ClusterObservation) -> ClusterDecision | None:
    """Jobs that stay keep the cluster; a job that goes itself is given time to save, and no more."""
    grace = timedelta(seconds=seen.around.installation.save_grace_seconds)
    staying = sorted(job.name for job in seen.jobs if job.deleting_since is None)
    if staying:
        named = ", ".join(f"'{name}'" for name in staying[:5])
        message = f"The cluster is held by the jobs {named}. Delete them, or wait for their end; then it is given back."
        return working(seen, Reason.HELD_BY_JOBS, message, status=_as_it_stands(seen), verdicts=_facts(seen))
    ends = [job.deleting_since + grace for job in seen.jobs if job.deleting_since is not None]
    if not ends or isinstance(seen.nodes, Unknown) or max(ends) <= seen.around.now:
        return None
    message = "Jobs that are being deleted are saving; the cluster is given back when they are done."
    again = (max(ends) - seen.around.now) / timedelta(seconds=1)
    return working(seen, Reason.JOBS_SAVING, message, status=_as_it_stands(seen), verdicts=_facts(seen), again=again)


def owned_by_another(seen: ClusterObservation) -> ClusterDecision | None:
    """An older claimant owns the cluster: this resource can go at once and touches nothing."""
    if not any(claim.is_older_than(seen.resource.metadata) for claim in seen.other_claims):
        return None
    return let_go(seen)


def restored_and_undecided(seen: ClusterObservation) -> ClusterDecision | None:
    """An object that a backup brought here has bought nothing itself while nobody said that it may take over."""
    if not was_restored(seen.resource.metadata, seen.name) or seen.spec.adoption_policy is not AdoptionPolicy.ASK:
        return None
    return let_go(seen)


def retained(seen: ClusterObservation) -> ClusterDecision | None:
    """The user keeps the cluster and takes its bill on himself."""
    if seen.spec.deletion_policy is not DeletionPolicy.RETAIN or seen.status.cluster_id is None:
        return None
    message = f"Cluster '{seen.status.provider_name}' ({seen.status.cluster_id}) stays at the provider, and bills."
    return let_go(seen, EventNote(EventType.NORMAL, Reason.RETAINED, message))


def not_seen_yet(seen: ClusterObservation) -> ClusterDecision | None:
    """Without a clean list of this process nothing can be said, and unknown never means "no"."""
    if not isinstance(seen.credential, Credential):
        return _unproven(seen, "there is no API key to ask the provider with")
    begun = seen.provider.begun
    if begun is not None and begun >= seen.memory.first_seen:
        return None
    look = LookAtProvider(seen.memory.first_seen)
    if seen.around.failure_of(look) is None:
        return quietly(seen, look)
    return _unproven(seen, "the provider's list could not be read", look)


def still_there(seen: ClusterObservation) -> ClusterDecision | None:
    """Give back what the provider shows, then wait until it is gone."""
    found, mark = _found(seen), seen.memory.mark
    if seen.intent is not None and mark is not None and mark.nonce == seen.intent.nonce and mark.created_id is not None:
        return record_id(seen, mark.created_id)
    if found is None:
        return None
    if seen.status.cluster_id is None:
        return record(seen, found)
    if found.phase is Phase.DELETING:
        return _deleting(seen, found)
    sent = seen.memory.delete_sent
    if sent is not None and seen.around.monotonic < sent + DELETE_AGAIN_SECONDS:
        return _deleting(seen, found)
    return working(
        seen,
        Reason.DELETING,
        _DELETING.format(name=found.name),
        DeleteCluster(found.id),
        status=with_counts(seen).model_copy(update={"provider_status": found.status}),
        verdicts=_going(found.name),
    )


def gone_for_certain(seen: ClusterObservation) -> ClusterDecision:
    """The provider does not show it (any more): how often must that be seen before the resource may go?"""
    if seen.status.cluster_id is not None:
        return _absence_of_id(seen, seen.status.cluster_id)
    intent = seen.intent
    if intent is None or not may_have_been_posted(intent, seen.memory):
        return let_go(seen)  # nothing was ever bought: the one clean list that stands is enough
    settled = settled_at(intent, seen.memory, seen.around)
    if seen.around.monotonic < settled:
        message = "An order may still be on its way at the provider. The resource goes when its list stays clean."
        return working(seen, Reason.LOOKING_BEFORE_BUYING, message, again=settled - seen.around.monotonic)
    begun = seen.provider.begun
    if begun is None or begun < settled:
        return quietly(seen, LookAtProvider(settled))
    return _second_look(seen, intent.name, begun)


def let_go(seen: ClusterObservation, *events: EventNote) -> ClusterDecision:
    """Write what it came to, then take our finalizers away. The kubeconfig Secret goes with its owner."""
    actions = []
    if seen.spec.credentials_ref is not None and seen.credential_secret_held and not seen.credential_shared:
        actions.append(hold_credential(seen, present=False))
    finalizers = SetMetadata(finalizers=without_finalizer(seen.resource.metadata))
    return Decision(status=seen.status, actions=(*last_record(seen), *actions, finalizers), events=events)


_DELETING = "Cluster '{name}' is being given back."


def _target(seen: ClusterObservation) -> str | None:
    """What may bill: the id, or the intended name while a create is open."""
    if seen.status.cluster_id is not None:
        return seen.status.cluster_id
    return None if seen.intent is None else seen.intent.name


def _found(seen: ClusterObservation) -> ProviderCluster | None:
    if seen.status.cluster_id is not None:
        return seen.bought
    own = seen.provider.own_clusters(seen.name)
    return next((cluster for cluster in own if cluster.phase is not Phase.DELETING), None)


def _deleting(seen: ClusterObservation, found: ProviderCluster) -> ClusterDecision:
    status = with_counts(seen).model_copy(update={"provider_status": found.status})
    message = _DELETING.format(name=found.name)
    return working(seen, Reason.DELETING, message, status=status, verdicts=_going(found.name))


def _going(name: str) -> dict[str, Verdict]:
    """What is known of a cluster that is being given back: nothing that anybody should build on."""
    message = _DELETING.format(name=name)
    return {
        "Provisioned": Verdict(False, Reason.DELETING, message),
        "NodesHealthy": Verdict(None, Reason.DELETING, message),
    }


def _as_it_stands(seen: ClusterObservation) -> GPUClusterStatus | None:
    return None if seen.bought is None else as_seen(seen, seen.bought)


def _facts(seen: ClusterObservation) -> dict[str, Verdict] | None:
    return None if seen.bought is None else standing(seen, seen.bought)


def _absence_of_id(seen: ClusterObservation, cluster_id: str) -> ClusterDecision:
    if not credential_can_tell(seen):
        return _unproven(seen, "the API key of now is not the one that bought it, and shows nothing of its project")
    begun = seen.provider.not_found.get(cluster_id)
    if begun is None or begun < seen.memory.first_seen:
        look = LookAtProvider(seen.memory.first_seen, cluster_id=cluster_id)
        failed = seen.around.failure_of(look)
        return _unproven(seen, "the provider could not be asked", look) if failed is not None else quietly(seen, look)
    return _second_look(seen, cluster_id, begun)


def _second_look(seen: ClusterObservation, target: str, begun: float) -> ClusterDecision:
    if is_absent_twice(seen.memory, target, begun, seen.around):
        message = f"The provider has nothing left of '{target}'."
        return let_go(seen, EventNote(EventType.NORMAL, Reason.DELETED, message))
    since = seen.memory.absent_since if seen.memory.absent_target == target else None
    due = (since if since is not None else begun) + seen.around.installation.absence_interval_seconds
    message = f"The provider shows '{target}' no more. It is looked for once again before the resource goes."
    absent = Verdict(False, Reason.CONFIRMING_ABSENCE, message)
    facts = {"Provisioned": absent, "NodesHealthy": replace(absent, holds=None)}
    status = without_what_is_gone(seen)
    if seen.around.monotonic < due:
        again = due - seen.around.monotonic
        return working(seen, Reason.CONFIRMING_ABSENCE, message, status=status, verdicts=facts, again=again)
    look = LookAtProvider(due, cluster_id=seen.status.cluster_id)
    return working(seen, Reason.CONFIRMING_ABSENCE, message, look, status=status, verdicts=facts)


def credential_can_tell(seen: ClusterObservation) -> bool:
    """Only the credential that bought it, or one that shows another object of the same project, can prove absence."""
    if not isinstance(seen.credential, Credential):
        return False
    recorded = seen.status.credential_fingerprint
    if recorded is None or recorded == seen.credential.fingerprint:
        return True
    project = seen.status.project_id
    others = (c for c in seen.provider.seen_clusters() if c.id != seen.status.cluster_id)
    return bool(project) and any(other.project_id == project for other in others)


def _unproven(seen: ClusterObservation, why: str, *actions: LookAtProvider) -> ClusterDecision:
    target = _target(seen)
    message = f"Whether the provider still has something of this resource cannot be told: {why}."
    if target is not None:
        message += f" Mend that; or set the annotation '{ABANDON_ANNOTATION}' to '{target}' to let the resource go, "
        message += "and see to the bill yourself."
    return stalled(seen, Reason.ABSENCE_UNPROVEN, message, *actions)
