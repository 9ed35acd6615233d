"""Taking over a cluster that exists, as `spec.adopt` says: nothing is ever bought for such a resource.

Asked only while no id is recorded. What is in the way is said, and looked at again at every interval, so that mending
it is enough: no resource has to be made again for a cluster that comes back, or an owner that goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tunesmith.planning.adoption_target import adoptable_clusters
from tunesmith.planning.claims import owner_elsewhere, why_owned
from tunesmith.planning.cluster_drift import Difference, differences
from tunesmith.planning.cluster_observation import ClusterObservation, quietly, stalled, working
from tunesmith.planning.cluster_purchase import record
from tunesmith.planning.cluster_status import without_what_is_gone
from tunesmith.planning.decision import Decision, first_answer
from tunesmith.planning.incarnation import kubeconfig_left
from tunesmith.planning.provider import Credential, ProviderCluster
from tunesmith.planning.purchase import LookAtProvider
from tunesmith.planning.taken_over import adoption_news, not_to_be_adopted
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


def not_asked_for_by_id(seen: ClusterObservation) -> ClusterDecision | None:
    """Lists may lag, so an id that they lack is asked for by itself before it is called missing."""
    cluster_id = None if seen.spec.adopt is None else seen.spec.adopt.cluster_id
    if cluster_id is None or seen.provider.cluster(cluster_id) or cluster_id in seen.provider.not_found:
        return None
    look = LookAtProvider(seen.memory.first_seen, cluster_id=cluster_id)
    failed = seen.around.failure_of(look)
    if failed is None:
        return quietly(seen, look)
    message = f"{failed.failure.message} Cluster '{cluster_id}' is asked for again."
    return working(seen, Reason.PROVIDER_UNREACHABLE, message, look)


def nothing_to_adopt(seen: ClusterObservation) -> ClusterDecision | None:
    """It is not there, or not for these eyes; nothing is bought in its place."""
    if adoptable_clusters(seen.resource, seen.provider):
        return None
    message = (
        f"The API key shows no living cluster {_named(seen)}{_project(seen)}. It is taken over when it shows; nothing "
        "is bought in its place. Compare `spec.adopt` with what the provider has, and give the credential and "
        "`spec.projectID` that it belongs to. `spec.adopt` cannot be changed: if it is wrong, make the resource again."
    )
    return _in_the_way(seen, Reason.NOTHING_TO_ADOPT, message)


def not_the_only_one(seen: ClusterObservation) -> ClusterDecision | None:
    """provider: names are not unique."""
    found = adoptable_clusters(seen.resource, seen.provider)
    if len(found) < 2:
        return None
    ids = ", ".join(f"'{each.id}'" for each in found)
    message = f"The provider has {len(found)} clusters {_named(seen)}: {ids}. Make the resource again with the "
    return _in_the_way(seen, Reason.ADOPTION_AMBIGUOUS, f"{message}`spec.adopt.clusterID` of the one that is meant.")


def owned_by_another(seen: ClusterObservation) -> ClusterDecision | None:
    """Of competing claims one owns; the others wait, without an id, a kubeconfig or a cost of it."""
    owner, cluster = owner_elsewhere(seen), _target(seen)
    if owner is None:
        return None
    return _in_the_way(seen, Reason.ALREADY_OWNED, why_owned(owner, "GPUCluster", f"Cluster '{cluster.id}'"))


def marked_for_another(seen: ClusterObservation) -> ClusterDecision | None:
    """A name that some Tunesmith gave says for whom it was bought."""
    cluster = _target(seen)
    why = not_to_be_adopted(cluster.parsed_name, seen.name, seen.spec, seen.around.installation)
    if why is None:
        return None
    return _in_the_way(seen, Reason.ADOPTION_REFUSED, f"Cluster '{cluster.name}' ({cluster.id}) {why}")


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
    found = tuple(each for each in _differences(seen, cluster) if not each.field.startswith(INSTALLED))
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
    return adoptable_clusters(seen.resource, seen.provider)[0]


def _differences(seen: ClusterObservation, cluster: ProviderCluster) -> Iterator[Difference]:
    yield from differences(seen, cluster)
    volume, reference = seen.volume, seen.spec.volume_ref
    if volume is None or reference is None or any(each.id == volume.volume_id for each in cluster.volumes):
        return
    has = ", ".join(each.name or each.id for each in cluster.volumes) or "no volume"
    yield Difference("spec.volumeRef.name", reference.name, has)


def _mismatch(seen: ClusterObservation, cluster: ProviderCluster, found: tuple[Difference, ...]) -> ClusterDecision:
    named = "; ".join(map(str, found))
    message = f"Cluster '{cluster.name}' ({cluster.id}) is not as the spec says: {named}. It is not touched. Correct "
    message += "the fields or leave them out; what cannot be changed needs the resource made again."
    return _in_the_way(seen, Reason.ADOPTION_MISMATCH, message)


def _in_the_way(seen: ClusterObservation, reason: Reason, message: str) -> ClusterDecision:
    return stalled(seen, reason, message, verdicts={"Provisioned": Verdict(False, reason, message)})


def _named(seen: ClusterObservation) -> str:
    adopt = seen.spec.adopt
    if adopt is not None and adopt.cluster_id is not None:
        return f"with the id '{adopt.cluster_id}'"
    return f"of the name '{adopt.cluster_name if adopt is not None else ''}'"


def _project(seen: ClusterObservation) -> str:
    project = seen.credential.project_id if isinstance(seen.credential, Credential) else None
    return f" in project '{project}'" if project else ""
