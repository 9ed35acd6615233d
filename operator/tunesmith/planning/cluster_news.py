"""The Events that go with a change for better or worse: told once per transition, whichever question made it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.resources.conditions import Condition, find_condition, is_true
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

TROUBLES = frozenset(
    {
        Reason.OUT_OF_STOCK,
        Reason.NO_CREDIT,
        Reason.STOPPED_BY_PROVIDER,
        Reason.TESTS_FAILED,
        Reason.TESTS_NOT_SHOWN,
        Reason.PROVISIONING_OVERDUE,
        Reason.UNREACHABLE,
        Reason.NODES_OVERDUE,
        Reason.SCALING_OVERDUE,
        Reason.GPUS_MISSING,
        Reason.DEGRADED,
        Reason.KUBECONFIG_REFUSED,
        Reason.KUBECONFIG_MISSING,
        Reason.KUBECONFIG_REJECTED,
        Reason.ANOTHER_CLUSTER,
    }
)
"""What is news about a bought cluster when the summary first says it."""

ONLY_WHEN_STALLED = frozenset({Reason.KUBECONFIG_MISSING, Reason.TESTS_NOT_SHOWN})
"""Of these, that which takes no longer than it may is no news."""

OF_ONE_CONDITION = {
    "Drifted": frozenset({Reason.DRIFTED, Reason.SIZE_CHANGED_OUTSIDE, Reason.DUPLICATE_FOUND}),
    "KubeconfigAvailable": frozenset({Reason.KUBECONFIG_REFUSED}),
    "AcceptanceTested": frozenset({Reason.TESTS_FAILED}),
}
"""News that a condition tells while the summary speaks of something else."""


def with_news(seen: ClusterObservation, decision: Decision[GPUClusterStatus]) -> Decision[GPUClusterStatus]:
    """The decision, with an Event for each transition of a bought cluster that it does not tell itself."""
    if seen.status.cluster_id is None:
        return decision
    told = {note.reason for note in decision.events}
    fresh: list[EventNote] = []
    for note in _news(seen.status.conditions, decision.status.conditions):
        if note.reason not in told:
            told.add(note.reason)
            fresh.append(note)
    return replace(decision, events=(*decision.events, *fresh)) if fresh else decision


def _news(before: Iterable[Condition], after: Iterable[Condition]) -> Iterable[EventNote]:
    was, now = find_condition(before, "Ready"), find_condition(after, "Ready")
    if now is not None:
        worse = now.reason in TROUBLES and _trouble(before) != _trouble(after)
        if worse and (now.reason not in ONLY_WHEN_STALLED or is_true(after, "Stalled")):
            yield EventNote(EventType.WARNING, now.reason, now.message)
        if now.is_true and was is not None and was.reason in TROUBLES | {Reason.NODES_NOT_READY}:
            yield EventNote(EventType.NORMAL, now.reason, now.message)
    for kind, reasons in OF_ONE_CONDITION.items():
        earlier, later = find_condition(before, kind), find_condition(after, kind)
        if later is not None and later.reason in reasons and (earlier is None or earlier.reason != later.reason):
            yield EventNote(EventType.WARNING, later.reason, later.message)


def _trouble(conditions: Iterable[Condition]) -> tuple[str, bool] | None:
    """What the summary says, and whether somebody must act: a wait that became a standstill is news again."""
    conditions = tuple(conditions)
    ready = find_condition(conditions, "Ready")
    return None if ready is None else (ready.reason, is_true(conditions, "Stalled"))
