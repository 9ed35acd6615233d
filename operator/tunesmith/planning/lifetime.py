"""How long a cluster lives: the ends that its spec sets (idleness, expiry, office hours), and when each falls due."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tunesmith.planning.bought import resting, stalled, working
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision
from tunesmith.planning.idle import idle_moments, idle_too_long
from tunesmith.planning.reacquire import REACQUIRE_ANNOTATION, wanted_outside_hours
from tunesmith.planning.release import ReleaseReason, not_releasable, release
from tunesmith.planning.schedule import BadSchedule, Hours, hours_at
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]


def schedule_unreadable(seen: ClusterObservation) -> ClusterDecision | None:
    """By a schedule that nobody can read nothing is bought."""
    bad = _unreadable(seen)
    if bad is None or seen.status.cluster_id is not None or seen.intent is not None:
        return None
    return stalled(seen, Reason.SCHEDULE_INVALID, f"{bad.why} Nothing is bought.")


def schedule_cannot_stop_it(seen: ClusterObservation) -> ClusterDecision | None:
    """A cluster that runs is followed all the same, and is not stopped; asked last, so that nothing else waits."""
    bad, cluster = _unreadable(seen), seen.bought
    if bad is None or cluster is None:
        return None
    message = f"{bad.why} The cluster is not given back by it."
    status, facts = as_seen(seen, cluster), standing(seen, cluster)
    return stalled(seen, Reason.SCHEDULE_INVALID, message, status=status, verdicts=facts)


def expired(seen: ClusterObservation) -> ClusterDecision | None:
    """`expireAfterSeconds` counts from the first Ready of this incarnation; jobs save first."""
    ends = expires_at(seen)
    if ends is None or seen.bought is None or seen.around.now < ends:
        return None
    return release(
        seen, ReleaseReason.EXPIRED, f"`spec.expireAfterSeconds` ({seen.spec.expire_after_seconds}) is over."
    )


def outside_hours(seen: ClusterObservation) -> ClusterDecision | None:
    """The cluster exists in the hours of `spec.schedule`; it is never stopped under an admitted job."""
    hours = _closed(seen)
    if hours is None:
        return None
    if seen.status.cluster_id is None and seen.intent is None:
        return _waits_for_the_hours(seen, hours)
    if not seen.jobs:
        since = "" if hours.since is None else f" since {format_time(hours.since)}"
        return release(seen, ReleaseReason.SCHEDULE, f"The hours of `spec.schedule` are over{since}.")
    if seen.bought is None or not_releasable(seen) is not None:
        return None
    named = ", ".join(f"'{name}'" for name in sorted(job.name for job in seen.jobs)[:5])
    message = f"The hours of `spec.schedule` are over. The cluster is given back when the jobs {named} have ended; "
    message += "no other begins."
    status, facts = as_seen(seen, seen.bought), standing(seen, seen.bought)
    return working(seen, Reason.HOURS_OVER, message, status=status, verdicts=facts)


def unused_too_long(seen: ClusterObservation) -> ClusterDecision | None:
    """Known to be idle for longer than the spec or the installation allows."""
    why = None if seen.bought is None else idle_too_long(seen, seen.bought)
    return None if why is None else release(seen, ReleaseReason.IDLE, why)


def expires_at(seen: ClusterObservation) -> datetime | None:
    """When `expireAfterSeconds` is over; None: never, or it does not count yet."""
    limit, begun = seen.spec.expire_after_seconds, seen.status.first_ready_time
    return None if limit is None or begun is None else begun + timedelta(seconds=limit)


def awake_in_time(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, looking again at the latest when the next of these ends falls due."""
    moments = [at for at in _moments(seen) if at > seen.around.now]
    if not moments:
        return decision
    left = (min(moments) - seen.around.now) / timedelta(seconds=1)
    again = decision.look_again_seconds
    return replace(decision, look_again_seconds=left if again is None else min(left, again))


def _unreadable(seen: ClusterObservation) -> BadSchedule | None:
    hours = None if seen.spec.schedule is None else hours_at(seen.spec.schedule, seen.around.now)
    return hours if isinstance(hours, BadSchedule) else None


def _closed(seen: ClusterObservation) -> Hours | None:
    """The hours, while they are over and nobody asked for the cluster since they ended."""
    if seen.spec.schedule is None:
        return None
    hours = hours_at(seen.spec.schedule, seen.around.now)
    if isinstance(hours, BadSchedule) or hours.open or wanted_outside_hours(seen, hours.since):
        return None
    return hours


def _waits_for_the_hours(seen: ClusterObservation, hours: Hours) -> ClusterDecision:
    when = "The schedule never opens" if hours.until is None else f"It is bought at {format_time(hours.until)}"
    message = f"It is outside the hours of `spec.schedule`. {when}; to have it before, set the annotation "
    message += f"'{REACQUIRE_ANNOTATION}' to the time of now."
    facts = {"Provisioned": Verdict(False, Reason.OUTSIDE_SCHEDULE, message)}
    return resting(seen, Reason.OUTSIDE_SCHEDULE, message, verdicts=facts)


def _moments(seen: ClusterObservation) -> tuple[datetime, ...]:
    moments = [expires_at(seen)]
    if seen.spec.schedule is not None:
        hours = hours_at(seen.spec.schedule, seen.around.now)
        moments.append(None if isinstance(hours, BadSchedule) else hours.until)
    known = tuple(at for at in moments if at is not None)
    return known if seen.bought is None else (*known, *idle_moments(seen, seen.bought))
