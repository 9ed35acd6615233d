"""One incarnation of a GPUCluster after another: what is left behind when the bought cluster is certainly gone.

The name at the provider carries the incarnation, so a cluster that is still listed as going is never mistaken for its
successor. It counts up only after a confirmed absence, and the name annotation follows before the next intent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.bought import quietly, working
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import without_what_is_gone
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.provider import named_things
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.gpu_cluster_parts import BillingType, RecreatePolicy
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]

FIRST_PAUSE_SECONDS = 60
LONGEST_PAUSE_SECONDS = 3600
STEADY_AFTER = timedelta(hours=1)
LAST_INCARNATION = 9999  # the name has room for four digits


def after_absence(seen: ClusterObservation) -> GPUClusterStatus:
    """The status once nothing is left of the present incarnation: what was its own goes, what was spent stays."""
    return without_what_is_gone(seen).model_copy(
        update={
            "cluster_id": None,
            "create_intent": None,
            "provider_name": None,
            "incarnation": min(seen.name.incarnation + 1, LAST_INCARNATION),
            "choice": None,
            "out_of_stock": (),
            "next_try_time": None,
            "reservation": None,
            "components_hash": None,
            "volumes": (),
            "idle_since": None,
            "first_ready_time": None,
            "kubeconfig_secret_name": None,
            "suspect_nodes": (),
            "leaving_nodes": (),
            "vanished": None,
            "recreate_time": None,
        }
    )


def is_recreated(seen: ClusterObservation) -> bool:
    """A cluster that vanished is bought again. A prepaid one is not: another prepayment is for somebody to decide.

    One that a late order of this resource has bought besides takes its place, whatever the policy: it bills already.
    """
    on_demand = seen.spec.billing.type is BillingType.ON_DEMAND
    managed = seen.spec.management_policy is ManagementPolicy.MANAGE and seen.spec.adopt is None
    wished = seen.spec.recreate_policy is RecreatePolicy.WHEN_GONE and on_demand
    return managed and (wished or bool(seen.bought_beside))


def recreated(seen: ClusterObservation, cluster_id: str) -> ClusterDecision:
    """The next incarnation begins; what the last one left here is taken away first."""
    left = kubeconfig_left(seen)
    if left is not None:
        return quietly(seen, left)
    if seen.bought_beside:
        message = (
            f"Cluster '{cluster_id}' is gone from the provider. {named_things(seen.bought_beside)}, which was bought "
        )
        message += "for this resource as well, takes its place."
        facts = {"Provisioned": Verdict(False, Reason.DUPLICATE_FOUND, message)}
        note = EventNote(EventType.WARNING, Reason.DUPLICATE_FOUND, message)
        after = after_absence(seen)
        return working(seen, Reason.DUPLICATE_FOUND, message, status=after, verdicts=facts, events=(note,))
    vanished = 1 if has_been_steady(seen) else (seen.status.vanished or 0) + 1
    until = _bought_again_at(seen, vanished)
    message = f"Cluster '{cluster_id}' is gone from the provider, and this resource did not delete it. Another is "
    message += "bought, as `spec.recreatePolicy` says" + ("." if until is None else f", at {format_time(until)}.")
    after = after_absence(seen).model_copy(update={"vanished": vanished, "recreate_time": until})
    return working(
        seen,
        Reason.RECREATED,
        message,
        status=after,
        verdicts={"Provisioned": Verdict(False, Reason.RECREATED, message)},
        events=(EventNote(EventType.WARNING, Reason.RECREATED, message),),
    )


def keeps_vanishing(seen: ClusterObservation) -> ClusterDecision | None:
    """Clusters that vanish one after another are each paid for: the pause before the next one grows."""
    until, status = seen.status.recreate_time, seen.status
    if until is None or status.cluster_id is not None or seen.intent is not None:
        return None
    left = min((until - seen.around.now).total_seconds(), LONGEST_PAUSE_SECONDS)
    if left <= 0:
        return None
    message = (
        f"{status.vanished} clusters in a row vanished from the provider within an hour of being Ready, or before, "
        f"and this resource did not delete them. The next one is bought at {format_time(until)}. Find out at the "
        "provider who deletes them; set `spec.recreatePolicy` to 'Never' to buy none."
    )
    verdicts = {"Provisioned": Verdict(False, Reason.KEEPS_VANISHING, message)}
    events: tuple[EventNote, ...] = ()
    if reason_of(status.conditions, "Provisioned") != Reason.KEEPS_VANISHING:
        events = (EventNote(EventType.WARNING, Reason.KEEPS_VANISHING, message),)
    return working(seen, Reason.KEEPS_VANISHING, message, verdicts=verdicts, events=events, again=left)


def has_been_steady(seen: ClusterObservation) -> bool:
    """This incarnation was Ready long enough ago: what vanished before it is no series any more."""
    ready = seen.status.first_ready_time
    return ready is not None and seen.around.now - ready >= STEADY_AFTER


def _bought_again_at(seen: ClusterObservation, vanished: int) -> datetime | None:
    """The first one is bought again at once; before each further one of a series the pause doubles."""
    if vanished < 2:
        return None
    seconds = min(FIRST_PAUSE_SECONDS * 2 ** min(vanished - 2, 16), LONGEST_PAUSE_SECONDS)
    return seen.around.now.replace(microsecond=0) + timedelta(seconds=seconds)


def kubeconfig_left(seen: ClusterObservation) -> DeleteObject | None:
    """The Secret of a cluster that is gone opens nothing any more: it goes with it, if it is ours."""
    if isinstance(seen.kubeconfig_secret, Unknown) or seen.kubeconfig_secret.value is None:
        return None
    stored, meta = seen.kubeconfig_secret.value, seen.resource.metadata
    if meta.uid not in stored.owner_uids:
        return None
    return DeleteObject(None, "v1", "Secret", meta.namespace or "", seen.secret_name, uid=stored.uid)
