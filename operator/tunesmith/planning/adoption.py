"""Taking over a cluster that exists, as `spec.adopt` says: nothing is ever bought for such a resource.

Asked only while no id is recorded. What is in the way is said, and looked at again at every interval, so that mending
it is enough: no resource has to be made again for a cluster that comes back, or an owner that goes.
"""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.adoption_questions import (
    in_the_way,
    marked_for_another,
    not_asked_for_by_id,
    not_the_only_one,
    owned_by_another,
    wished,
)
from tunesmith.planning.bought import quietly, stalled, working
from tunesmith.planning.claims import owner_elsewhere, why_owned
from tunesmith.planning.cluster_drift import Difference, differences
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_purchase import record
from tunesmith.planning.cluster_status import without_what_is_gone
from tunesmith.planning.decision import Decision, first_answer
from tunesmith.planning.incarnation import kubeconfig_left
from tunesmith.planning.provider import Credential, ProviderCluster
from tunesmith.planning.taken_over import adoption_news
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

INSTALLED = ("spec.components", "spec.addOns")
"""What these wish for is installed after the cluster was taken over; no difference stands against taking it over."""


def adopts(seen: ClusterObservation) -> ClusterDecision | None:
    """The whole way to a cluster that is taken over, in the order of its questions."""
    if seen.spec.adopt is None or seen.status.cluster_id is not None:
        return None
    return first_answer(
        seen,
        not_asked_for_by_id,
        nothing_to_adopt,
        not_the_only_one,
        owned_by_another,
        marked_for_another,
        of_another_project,
        volume_not_known,
        differs_from_spec,
        otherwise=taken_over,
    )


def nothing_to_adopt(seen: ClusterObservation) -> ClusterDecision | None:
    """It is not there, or not for these eyes; nothing is bought in its place."""
    if seen.adoptable:
        return None
    message = (
        f"The API key shows no living cluster {wished(seen)}{_project(seen)}. It is taken over when it shows; nothing "
        "is bought in its place. Compare `spec.adopt` with what the provider has, and give the credential and "
        "`spec.projectID` that it belongs to. `spec.adopt` cannot be changed: if it is wrong, make the resource again."
    )
    return in_the_way(seen, Reason.NOTHING_TO_ADOPT, message)


def of_another_project(seen: ClusterObservation) -> ClusterDecision | None:
    """Found by its id, but not in the project that is looked at: its lists would never show it."""
    cluster, credential = _target(seen), seen.credential
    looked_at = credential.project_id if isinstance(credential, Credential) else None
    if not looked_at or not cluster.project_id or cluster.project_id == looked_at:
        return None
    return _mismatch(seen, cluster, (Difference("spec.projectID", looked_at, cluster.project_id),))


def volume_not_known(seen: ClusterObservation) -> ClusterDecision | None:
    """Whether the cluster has the volume that the spec names cannot be told before the volume has an id."""
    reference = seen.spec.volume_ref
    if reference is None or (seen.volume is not None and seen.volume.volume_id is not None):
        return None
    what = "does not exist in this namespace" if seen.volume is None else "has no id yet"
    message = (
        f"SharedVolume '{reference.name}' {what}. An adopted cluster keeps the volume that it has: adopt that one "
    )
    message += "with the SharedVolume, or leave `spec.volumeRef` out."
    facts = {"Provisioned": Verdict(False, Reason.WAITING_FOR_VOLUME, message)}
    return working(seen, Reason.WAITING_FOR_VOLUME, message, verdicts=facts)


def differs_from_spec(seen: ClusterObservation) -> ClusterDecision | None:
    """What the spec gives must be true of the cluster: a wrong number would change it under its users."""
    cluster = _target(seen)
    found = tuple(each for each in differences(seen, cluster) if not each.field.startswith(INSTALLED))
    return _mismatch(seen, cluster, found) if found else None


def taken_over(seen: ClusterObservation) -> ClusterDecision:
    """Write down that the cluster is this resource's; the Event comes with the condition (`with_adoption_news`)."""
    return replace(record(seen, _target(seen)), events=())


def claimed_by_another(seen: ClusterObservation) -> ClusterDecision | None:
    """Of competing claims to one cluster one owns; the others touch nothing and hold no kubeconfig of it."""
    owner = owner_elsewhere(seen)
    if owner is None or seen.status.cluster_id is None:
        return None
    left = kubeconfig_left(seen)
    if left is not None:
        return quietly(seen, left)
    message = why_owned(owner, "GPUCluster", f"Cluster '{seen.status.cluster_id}'")
    unknown = Verdict(None, Reason.ALREADY_OWNED, message)
    facts = {
        "Provisioned": unknown,
        "KubeconfigAvailable": Verdict(False, Reason.ALREADY_OWNED, message),
        "NodesHealthy": unknown,
        "AcceptanceTested": unknown,
        "Drifted": unknown,
        "Idle": unknown,
    }
    return stalled(seen, Reason.ALREADY_OWNED, message, status=_without_the_claim(seen), verdicts=facts)


def with_adoption_news(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with the Event that says what deleting this resource does to what it did not buy."""
    after = decision.status
    held = f"Cluster '{after.provider_name}' ({after.cluster_id}):"
    notes = adoption_news(seen.spec, "cluster", held, seen.status.conditions, after.conditions)
    return replace(decision, events=(*decision.events, *notes)) if notes else decision


def _without_the_claim(seen: ClusterObservation) -> GPUClusterStatus:
    """Nothing of the cluster is told any more. An adopter begins anew; a buyer keeps the id that it may yet need."""
    status = without_what_is_gone(seen).model_copy(
        update={"volumes": (), "kubeconfig_secret_name": None, "idle_since": None, "first_ready_time": None}
    )
    if seen.spec.adopt is None:
        return status
    return status.model_copy(update={"cluster_id": None, "provider_name": None, "choice": None, "reservation": None})


def _target(seen: ClusterObservation) -> ProviderCluster:
    """The one cluster that is meant; asked only after `not_the_only_one`."""
    return seen.adoptable[0]


def _mismatch(seen: ClusterObservation, cluster: ProviderCluster, found: tuple[Difference, ...]) -> ClusterDecision:
    named = "; ".join(map(str, found))
    message = f"Cluster '{cluster.name}' ({cluster.id}) is not as the spec says: {named}. It is not touched. Correct "
    message += "the fields or leave them out; what cannot be changed needs the resource made again."
    return in_the_way(seen, Reason.ADOPTION_MISMATCH, message)


def _project(seen: ClusterObservation) -> str:
    project = seen.credential.project_id if isinstance(seen.credential, Credential) else None
    return f" in project '{project}'" if project else ""
