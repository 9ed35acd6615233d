"""`managementPolicy: Observe`: watched, told, never touched, neither at the provider nor inside the cluster.

The chain of questions for it stands in `gpu_cluster.py` and names none that changes anything. What stands here is the
rest: a release of before is set aside, and a net under it all that lets no touching action through.
"""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.bought import BoughtObservation, BoughtStatus, working
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Action, Decision, EventNote, EventType
from tunesmith.planning.orders import CloudAction
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]


def nothing_given_back(seen: ClusterObservation) -> ClusterDecision | None:
    """The policy was changed while the cluster was being given back: no more is done about that."""
    if seen.status.release is None or seen.status.cluster_id is None:
        return None
    message = "The cluster is only watched now (`spec.managementPolicy`), so it is not given back."
    status = seen.status if seen.bought is None else as_seen(seen, seen.bought)
    facts = {} if seen.bought is None else standing(seen, seen.bought)
    note = EventNote(EventType.NORMAL, Reason.RELEASE_WITHDRAWN, message)
    status = status.model_copy(update={"release": None, "idle_since": None})
    return working(seen, Reason.RELEASE_WITHDRAWN, message, status=status, verdicts=facts, events=(note,))


def without_touching(seen: BoughtObservation[BoughtStatus], decision: Decision[BoughtStatus]) -> Decision[BoughtStatus]:
    """The decision, without anything that would change what the provider has, or its inside, while it is watched."""
    if seen.may_change:
        return decision
    return replace(decision, actions=tuple(action for action in decision.actions if not touches(action)))


def touches(action: Action) -> bool:
    """It writes to the provider, or into a bought cluster. Looks, and writes to our own cluster, do not."""
    return isinstance(action, CloudAction) or getattr(action, "where", None) is not None
