"""The same identity, another object: rebuilt management clusters, restored backups, what a deleted resource retained.

A cluster that carries our identity under another uid or installation is asked about before another one is bought.
"""

from __future__ import annotations

from tunesmith.planning.bought import stalled, working
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_purchase import record
from tunesmith.planning.decision import Decision
from tunesmith.planning.ownership import NAME_ANNOTATION, may_be_taken_over, was_restored
from tunesmith.planning.provider import ProviderCluster
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import AdoptionPolicy
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]


def restored(seen: ClusterObservation) -> ClusterDecision | None:
    """A backup brought the object here under another uid: the user says whether what it had bought is taken over."""
    if not was_restored(seen.resource.metadata, seen.name):
        return None
    if seen.spec.adoption_policy is AdoptionPolicy.BUY_NEW and (seen.status.cluster_id or seen.status.create_intent):
        anew = GPUClusterStatus(conditions=seen.status.conditions)
        return working(seen, Reason.BUYING_NEW, "What the restored status speaks of is left to its owner.", status=anew)
    if seen.spec.adoption_policy is not AdoptionPolicy.ASK:
        return None
    annotated = seen.resource.metadata.annotations[NAME_ANNOTATION]
    what = f"had bought '{annotated}'"
    otherwise = "to 'BuyNew' to buy another"
    if seen.spec.adopt is not None:
        what, otherwise = "had taken over what `spec.adopt` names", "delete this resource, which lets it go untouched"
    return stalled(
        seen,
        Reason.RESTORED,
        f"This object was restored from a backup of another, which {what}. Set `spec.adoptionPolicy` to "
        f"'SameIdentity' to take over what that one held, or {otherwise}.",
    )


def predecessor_found(seen: ClusterObservation) -> ClusterDecision | None:
    """A cluster of our identity under another uid or installation: ask before buying a second one."""
    if seen.status.cluster_id is not None or seen.spec.adoption_policy is AdoptionPolicy.BUY_NEW:
        return None
    found = seen.provider.same_identity(seen.name)
    if not found:
        return None
    if seen.spec.adoption_policy is AdoptionPolicy.ASK:
        return stalled(
            seen,
            Reason.PREDECESSOR_FOUND,
            f"{_named(found)} bought for a resource of this name before. Set `spec.adoptionPolicy` to 'SameIdentity' "
            "to take over the oldest, or to 'BuyNew' to buy another.",
        )
    installation = seen.around.installation
    ours = [each for each in found if each.parsed_name and may_be_taken_over(each.parsed_name, installation)]
    if not ours:
        return stalled(
            seen,
            Reason.PREDECESSOR_FOUND,
            f"{_named(found)} bought by another installation of Tunesmith, so it is not taken over. If that one is no "
            "more, name it in the chart's `previousInstallationIDs`; or set `spec.adoptionPolicy` to 'BuyNew'.",
        )
    return record(seen, ours[0], duplicates=tuple(each for each in found if each is not ours[0]))


def _named(found: tuple[ProviderCluster, ...]) -> str:
    names = ", ".join(f"'{each.name}' ({each.id})" for each in found)
    return f"Cluster {names} was" if len(found) == 1 else f"Clusters {names} were"
