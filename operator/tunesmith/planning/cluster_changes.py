"""What a bought cluster's spec may still change beside its size: paid time, counts, components, add-ons.

The provider's cluster is held against the spec, and one request asks for all that differs. What the provider does not
report back cannot be compared: it is asked for once, and a hash in the status tells that it was. A refusal is told; it
does not stop the cluster from being used, and is not repeated in haste.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from math import inf

from tunesmith.planning.bought import quietly, stalled, working
from tunesmith.planning.budget_growth import too_dear_to_grow, within_means
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_order import add_on_orders, components_hash, components_order
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision, ErrorClass, EventNote, EventType
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import AddOnOrder, ChangeCluster, ClusterChanges, ComponentsOrder
from tunesmith.planning.provider import GPUS_PER_NODE, Phase, ProviderCluster
from tunesmith.planning.reservation import end_taken, moved_end, paid_end, reservation_of
from tunesmith.planning.retry import retry_delay_seconds
from tunesmith.planning.verdict import reason_of
from tunesmith.resources.gpu_cluster_parts import BillingType
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

CHANGE_AGAIN_SECONDS = 60.0
"""A change that the provider's list does not show after this time is asked for again."""

NOT_HEARD = frozenset({ErrorClass.UNAVAILABLE, ErrorClass.AMBIGUOUS, ErrorClass.NOT_SENT, ErrorClass.RATE_LIMITED})
"""Failures that say nothing about the change itself."""
FINAL = frozenset({ErrorClass.BAD_REQUEST, ErrorClass.FORBIDDEN, ErrorClass.NOT_FOUND, ErrorClass.INVALID})
"""Refusals that only another spec, or another process, asks about again."""

WORDS: Mapping[str, str] = {
    "reserved_gpus": "`billing.reservedNodes`",
    "preemptible_gpus": "`billing.preemptibleNodes`",
    "capacity_pool_gpus": "`billing.capacityPool.nodes`",
    "reservation_end": "`billing.endTime`",
    "components": "`components`",
    "add_ons": "`addOns`",
}


def asks_for_changes(seen: ClusterObservation) -> ClusterDecision | None:
    """One request for all that differs and is not too dear, unless it is on its way already or failed too lately."""
    cluster = seen.bought
    if cluster is None or cluster.phase is Phase.DELETING:
        return None
    if _was_answered(seen):
        asked = components_hash(seen.spec)
        return Decision(status=seen.status.model_copy(update={"components_hash": asked}))
    paid = reservation_of(seen, cluster)
    if end_taken(seen) is not None and paid != seen.status.reservation:
        return Decision(status=seen.status.model_copy(update={"reservation": paid}))
    wanted = wanted_changes(seen, cluster) or ClusterChanges()
    changes = within_means(seen, cluster, wanted)
    if changes.preemptible_gpus != wanted.preemptible_gpus and seen.wanted_gpus > cluster.gpus:
        return too_dear_to_grow(seen, cluster, wanted)  # or the size would be made up by nodes that are no less dear
    if changes == ClusterChanges() or _pause_seconds(seen, ChangeCluster(cluster.id, changes)) > 0:
        return None
    written = seen.memory.last_write
    if written is not None and (seen.provider.begun is None or seen.provider.begun < written):
        return quietly(seen, LookAtProvider(written))
    if written is not None and seen.around.monotonic < written + CHANGE_AGAIN_SECONDS and not _is_for_once(changes):
        return None  # it is on its way; `changes_are_pending` tells
    message = _asking(changes)
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    action = ChangeCluster(cluster.id, changes)
    return working(seen, Reason.CHANGING, message, action, status=status, verdicts=facts)


def changes_are_pending(seen: ClusterObservation) -> ClusterDecision | None:
    """The last question: the cluster is used as it is, but not all that the spec says is true of it yet."""
    cluster = seen.bought
    changes = None if cluster is None else wanted_changes(seen, cluster)
    if cluster is None or changes is None:
        return None
    too_dear = too_dear_to_grow(seen, cluster, changes)
    if too_dear is not None:
        return too_dear
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    pause = _pause_seconds(seen, ChangeCluster(cluster.id, changes))
    again = pause if 0 < pause < inf else None
    failed = seen.around.failure_of(ChangeCluster(cluster.id, changes))
    if failed is None or failed.failure.error in NOT_HEARD:
        return working(seen, Reason.CHANGING, _asking(changes), status=status, verdicts=facts, again=again)
    message = f"The provider refuses to change {_named(changes)}: {failed.failure.message} The cluster goes on as it "
    message += "is. Set the field back, or see what the provider offers."
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Ready") != Reason.CHANGE_REFUSED:
        events = (EventNote(EventType.WARNING, Reason.CHANGE_REFUSED, message),)
    return stalled(seen, Reason.CHANGE_REFUSED, message, status=status, verdicts=facts, events=events, again=again)


def wanted_changes(seen: ClusterObservation, cluster: ProviderCluster) -> ClusterChanges | None:
    """All that differs from the spec and may be changed; None: nothing. The size is not among it."""
    billing, pool = seen.spec.billing, seen.spec.billing.capacity_pool
    changes = ClusterChanges(
        reserved_gpus=_reserved(seen, cluster),
        preemptible_gpus=_preemptible(seen, cluster),
        capacity_pool_gpus=None if pool is None else _if_other(pool.nodes * GPUS_PER_NODE, cluster.capacity_pool_gpus),
        components=_components(seen, cluster),
        add_ons=_add_ons(seen, cluster),
    )
    changes = replace(changes, reservation_end=moved_end(billing, paid_end(seen, cluster)))
    return None if changes == ClusterChanges() else changes


def _reserved(seen: ClusterObservation, cluster: ProviderCluster) -> int | None:
    """provider: only for RESERVED."""
    nodes = seen.spec.billing.reserved_nodes
    if nodes is None or seen.spec.billing.type is not BillingType.RESERVED:
        return None
    return _if_other(nodes * GPUS_PER_NODE, cluster.reserved_gpus)


def _preemptible(seen: ClusterObservation, cluster: ProviderCluster) -> int | None:
    """None in the spec is none at all, but for a cluster that was taken over. One node stays standard at any size."""
    nodes = seen.spec.billing.preemptible_nodes
    if nodes is None and seen.spec.adopt is not None:
        return None
    # What the provider took away is still wanted: a cluster that became smaller by it is no reason to want fewer.
    have = max(cluster.gpus, cluster.desired_preemptible_gpus + GPUS_PER_NODE)
    most = max(min(have, seen.wanted_gpus) - GPUS_PER_NODE, 0)
    return _if_other(min((nodes or 0) * GPUS_PER_NODE, most), cluster.desired_preemptible_gpus)


def _if_other(wanted: int, found: int) -> int | None:
    return wanted if wanted != found else None


def _components(seen: ClusterObservation, cluster: ProviderCluster) -> ComponentsOrder | None:
    """All that the spec gives, once one of it differs; what the provider does not report differs until it was asked."""
    order = components_order(seen.spec.components)
    if order is None:
        return None
    asked = seen.status.components_hash == components_hash(seen.spec)
    for field in fields(order):
        wanted, found = getattr(order, field.name), getattr(cluster.components, field.name)
        if wanted is not None and not _is_same(wanted, found) and not (found is None and asked):
            # provider: a load balancer is always named, so the present one must be, or it would go
            return replace(order, load_balancer=order.load_balancer or cluster.components.load_balancer)
    return None


def _is_same(wanted: str | bool, found: str | bool | None) -> bool:
    """A version is the same with and without its 'v'."""
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted.lower().removeprefix("v") == found.lower().removeprefix("v")
    return wanted == found


def _add_ons(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[AddOnOrder, ...]:
    """provider: merged by name, so only what differs is sent. One that is not there does not run."""
    running = {each.name: each.enabled for each in cluster.add_ons}
    return tuple(each for each in add_on_orders(seen.spec) if running.get(each.name, False) != each.enabled)


def _is_for_once(changes: ClusterChanges) -> bool:
    """The list will not show it, so there is nothing to wait for."""
    return replace(changes, components=None) == ClusterChanges()


def _was_answered(seen: ClusterObservation) -> bool:
    """The provider took the components just now; that is written down, because its list may not show them."""
    if seen.status.components_hash == components_hash(seen.spec):
        return False
    done = (each.action for each in seen.around.outcomes if each.failure is None)
    wish = components_order(seen.spec.components)
    return any(isinstance(action, ChangeCluster) and _is_of(wish, action.changes.components) for action in done)


def _is_of(wish: ComponentsOrder | None, asked: ComponentsOrder | None) -> bool:
    """What was asked is what the spec wishes; a load balancer that it does not name was kept as it was."""
    if wish is None or asked is None:
        return False
    return asked == replace(wish, load_balancer=wish.load_balancer or asked.load_balancer)


def _pause_seconds(seen: ClusterObservation, action: ChangeCluster) -> float:
    """How long this change is not asked for again after it failed; endless when it was refused as such."""
    failed = seen.around.failure_of(action)
    if failed is None:
        return 0.0
    if failed.failure.error in FINAL:
        return inf
    return failed.last_monotonic + retry_delay_seconds(failed, seen.around.jitter) - seen.around.monotonic


def _asking(changes: ClusterChanges) -> str:
    return f"The provider is asked for what `spec` changed: {_named(changes)}."


def _named(changes: ClusterChanges) -> str:
    return ", ".join(words for name, words in WORDS.items() if getattr(changes, name))
