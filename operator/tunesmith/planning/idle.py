"""Whether a bought cluster is idle, since when, and what follows. Idle is what is *known* to be unused.

Missing data is never idleness. While anything of it cannot be seen the clock neither runs nor starts anew: the time
that nobody saw is left out, by moving `status.idleSince` on when sight comes back. The clock itself never moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunesmith.planning.circumstances import Known, NotYet, Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.provider import Phase, ProviderCluster
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster_parts import BillingType, ClusterType
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time, parse_time

ClusterDecision = Decision[GPUClusterStatus]

KEEP_ALIVE_ANNOTATION = "tunesmith.dev/keep-alive-until"
NAMES_SHOWN = 3


@dataclass(frozen=True)
class Unused:
    """Nothing uses it, and that is known."""


@dataclass(frozen=True)
class InUse:
    """Something uses it. `until`: when that ends by itself, if it does."""

    reason: Reason
    message: str
    until: datetime | None = None


@dataclass(frozen=True)
class Unseen:
    """It cannot be told. `reason` None: this process has only just begun to look, and what was told before stands."""

    reason: Reason | None
    message: str


Use = Unused | InUse | Unseen


def use_of(seen: ClusterObservation, cluster: ProviderCluster) -> Use:
    """Whether anything uses the cluster now. What is known to use it counts, however little else is known."""
    kept = _kept_alive(seen)
    if kept is not None:
        return kept
    if seen.jobs:
        return InUse(Reason.CLUSTER_IN_USE, f"Used by {_named('job', (job.name for job in seen.jobs))}.")
    for fact, kind in ((seen.wanting_jobs, "job"), (seen.gpu_pods, "pod")):
        if isinstance(fact, Known) and fact.value:
            return InUse(Reason.CLUSTER_IN_USE, f"Used by {_named(kind, fact.value)}.")
    if seen.spec.cluster_type is ClusterType.SLURM or cluster.cluster_type == "SLURM":
        return Unseen(Reason.USE_UNKNOWN, "What runs under Slurm is not seen from outside, so it never counts as idle.")
    if not _runs(seen, cluster):
        return Unseen(Reason.NOT_MEASURED, f"Whether '{cluster.name}' is idle is measured while it runs.")
    unknown = [fact for fact in (seen.wanting_jobs, seen.gpu_pods, seen.nodes) if isinstance(fact, Unknown)]
    real = next((fact for fact in unknown if not isinstance(fact, NotYet)), None)
    if real is not None:
        return Unseen(Reason.USE_UNKNOWN, f"Whether anything uses the cluster is not known: {real.why}")
    return Unseen(None, "Nobody has looked yet whether anything uses the cluster.") if unknown else Unused()


def idle_since(seen: ClusterObservation, cluster: ProviderCluster) -> datetime | None:
    """The clock: since when nothing has used the cluster, less the time that nobody could see."""
    since = seen.status.idle_since
    match use_of(seen, cluster):
        case InUse():
            return None
        case Unseen():
            return since
        case Unused():
            return seen.around.now if since is None else min(since + _unseen_for(seen), seen.around.now)


def idle_verdict(seen: ClusterObservation, cluster: ProviderCluster) -> dict[str, Verdict]:
    """What condition Idle says; nothing while this process has only just begun to look."""
    match use_of(seen, cluster):
        case InUse(reason, message):
            return {"Idle": Verdict(False, reason, message)}
        case Unseen(None, message):
            first = reason_of(seen.status.conditions, "Idle") in {None, Reason.NOT_YET_OBSERVED, Reason.NOT_BOUGHT}
            return {"Idle": Verdict(None, Reason.NOT_MEASURED, message)} if first else {}
        case Unseen(reason, message):
            return {"Idle": Verdict(None, reason or Reason.NOT_MEASURED, message)}
        case Unused():
            return {"Idle": _unused(seen, cluster)}


def idle_too_long(seen: ClusterObservation, cluster: ProviderCluster) -> str | None:
    """Why the cluster is to be given back for idleness, as one sentence; None: not (yet), or not by the settings."""
    delete_after, since = delete_after_seconds(seen), idle_since(seen, cluster)
    if delete_after is None or since is None or not isinstance(use_of(seen, cluster), Unused):
        return None
    if seen.around.now < since + timedelta(seconds=delete_after):
        return None
    return f"Nothing has used the cluster since {format_time(since)}, which is longer than {delete_after} s."


def idle_moments(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[datetime, ...]:
    """When the next thing about idleness falls due: the warning, the release, the end of keeping alive."""
    use, since = use_of(seen, cluster), idle_since(seen, cluster)
    if isinstance(use, InUse):
        return () if use.until is None else (use.until,)
    if since is None or isinstance(use, Unseen):
        return ()
    limits = (warn_after_seconds(seen), delete_after_seconds(seen))
    return tuple(since + timedelta(seconds=limit) for limit in limits if limit is not None)


def warned_of_idleness(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with the one Event of the moment at which the condition begins to warn."""
    condition = find_condition(decision.status.conditions, "Idle")
    if condition is None or condition.reason != Reason.IDLE_LONG:
        return decision
    if reason_of(seen.status.conditions, "Idle") == Reason.IDLE_LONG:
        return decision
    note = EventNote(EventType.WARNING, Reason.IDLE_LONG, condition.message)
    return replace(decision, events=(*decision.events, note))


def warn_after_seconds(seen: ClusterObservation) -> int:
    """From the spec, else the installation's default."""
    wish = seen.spec.idle.warn_after_seconds if seen.spec.idle is not None else None
    return seen.around.installation.idle_warn_after_seconds if wish is None else wish


def delete_after_seconds(seen: ClusterObservation) -> int | None:
    """From the spec, else the installation's default, which never reaches prepaid or adopted clusters; None: never."""
    wish = seen.spec.idle.delete_after_seconds if seen.spec.idle is not None else None
    if wish is not None:
        return wish
    if seen.spec.billing.type is not BillingType.ON_DEMAND or seen.spec.adopt is not None:
        return None
    return seen.around.installation.idle_delete_after_seconds


def _runs(seen: ClusterObservation, cluster: ProviderCluster) -> bool:
    """The provider has built it and has not stopped it. It need not be Ready: one that never is bills as well."""
    if cluster.phase is Phase.IN_PROGRESS:
        return seen.status.first_ready_time is not None
    return cluster.phase in {Phase.READY, Phase.DEGRADED}


def _kept_alive(seen: ClusterObservation) -> InUse | None:
    """The user's word that it is needed. A word that cannot be read keeps it too: unknown never means "no"."""
    text = seen.resource.metadata.annotations.get(KEEP_ALIVE_ANNOTATION)
    if text is None:
        return None
    try:
        until = parse_time(text)
    except ValueError:
        message = f"The annotation '{KEEP_ALIVE_ANNOTATION}' is no time such as '2026-01-31T09:00:00Z', so the cluster "
        return InUse(Reason.KEEP_ALIVE_UNREADABLE, message + "is kept. Mend or remove it.")
    if until <= seen.around.now:
        return None
    return InUse(Reason.CLUSTER_IN_USE, f"Kept until {format_time(until)} by '{KEEP_ALIVE_ANNOTATION}'.", until)


def _unseen_for(seen: ClusterObservation) -> timedelta:
    """How long nobody could see, up to now: the condition has said so since its last transition."""
    told = find_condition(seen.status.conditions, "Idle")
    if told is None or told.status != "Unknown" or told.reason == Reason.NOT_BOUGHT:
        return timedelta(0)
    return max(seen.around.now - told.last_transition_time, timedelta(0))


def _unused(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict:
    since = idle_since(seen, cluster) or seen.around.now
    warn_after, delete_after = warn_after_seconds(seen), delete_after_seconds(seen)
    message = f"Nothing has used the cluster since {format_time(since)}. "
    if not seen.may_change:
        message += "It is only watched, and bills."
    elif delete_after is None:
        message += "It is kept and bills: delete the resource, or set `spec.idle.deleteAfterSeconds`."
    else:
        message += f"It is given back at {format_time(since + timedelta(seconds=delete_after))}."
    long = seen.around.now >= since + timedelta(seconds=warn_after)
    return Verdict(True, Reason.IDLE_LONG if long else Reason.IDLE, message)


def _named(kind: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(f"'{name}'" for name in ordered[:NAMES_SHOWN])
    more = f" and {len(ordered) - NAMES_SHOWN} more" if len(ordered) > NAMES_SHOWN else ""
    return f"{kind} {shown}{more}"
