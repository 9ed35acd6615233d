"""Buying a released cluster again: what asks for it, what it waits for, and answering the user's annotation.

Every question here is about a resource that has given its cluster back; the purchase itself is like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision
from tunesmith.planning.looking import LONGEST_ECHO
from tunesmith.planning.ownership import is_paused
from tunesmith.planning.schedule import BadSchedule, Hours, hours_at
from tunesmith.resources.gpu_cluster_parts import Reacquire
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, Release
from tunesmith.resources.timestamps import format_time, parse_time

ClusterDecision = Decision[GPUClusterStatus]

REACQUIRE_ANNOTATION = "tunesmith.dev/reacquire-requested-at"
BY_ITSELF = frozenset({"Idle", "Schedule"})
"""Reasons of a release after which a schedule or a waiting job may buy again; after the others only the user."""


@dataclass(frozen=True)
class Again:
    """The cluster is to be bought again. `handled` is the annotation that asked for it, when one did."""

    message: str
    handled: str | None = None


@dataclass(frozen=True)
class Waits:
    """What a released resource waits for, in words, and after how many seconds to look again (None: no time helps)."""

    message: str
    seconds: float | None = None


def bought_again(seen: ClusterObservation, given_back: Release) -> Again | None:
    """What asks for the cluster now, if anything does. One that was adopted is not bought again."""
    if seen.spec.adopt is not None:
        return None
    wish = _wish(seen)
    if is_wanted_now(seen):
        return Again(f"It is bought again, as the annotation '{REACQUIRE_ANNOTATION}' asks.", wish)
    if given_back.reason not in BY_ITSELF:
        return None
    if seen.spec.schedule is None and given_back.reason == "Schedule":
        return Again("It is bought again: `spec.schedule` was removed.")
    hours = None if seen.spec.schedule is None else hours_at(seen.spec.schedule, seen.around.now)
    if isinstance(hours, BadSchedule) or (hours is not None and not hours.open):
        return None
    if hours is not None and _opened_since(hours, given_back):
        return Again("It is bought again: the hours of `spec.schedule` have begun.")
    return _for_a_job(seen)


def until_bought_again(seen: ClusterObservation, given_back: Release) -> Waits:
    """What would have to come, in the order of what comes by itself."""
    if seen.spec.adopt is not None:
        return Waits("It was adopted, so it is not bought again: make a resource without `adopt` for another.")
    said, seconds = [], []
    wish = _wish(seen)
    if wish is not None and (at := asked_at(wish)) is None:
        said.append(f"The annotation '{REACQUIRE_ANNOTATION}' says '{wish}', which is no time (2026-01-31T09:00:00Z).")
    elif wish is not None and at is not None:
        said.append(f"It is bought again at {format_time(at)}, as the annotation '{REACQUIRE_ANNOTATION}' asks.")
        seconds.append((at - seen.around.now) / timedelta(seconds=1))
    if given_back.reason in BY_ITSELF:
        _say_what_comes_by_itself(seen, said, seconds)
    said.append(f"Set the annotation '{REACQUIRE_ANNOTATION}' to the time of now to have it again.")
    return Waits(" ".join(said), min(seconds, default=None))


def is_wanted_now(seen: ClusterObservation) -> bool:
    """The user's annotation asks for the cluster, and was not answered yet."""
    wish = _wish(seen)
    at = None if wish is None else asked_at(wish)
    return at is not None and at <= seen.around.now


def wanted_outside_hours(seen: ClusterObservation, closed_since: datetime | None) -> bool:
    """The user asked for the cluster after the hours had ended: it stays until they end again."""
    said = (seen.status.last_handled_reacquire_time, seen.resource.metadata.annotations.get(REACQUIRE_ANNOTATION))
    times = [at for each in said if each is not None and (at := asked_at(each)) is not None]
    return any(at <= seen.around.now and (closed_since is None or at > closed_since) for at in times)


def answering_reacquire(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with the annotation echoed when nothing is given back: there is nothing to buy again then.

    A wish that stayed unanswered on a living cluster would undo its next release. One for a time to come still counts.
    """
    wish, metadata = _wish(seen), seen.resource.metadata
    status = decision.status
    if wish is None or status.release is not None or not status.conditions:
        return decision
    if is_paused(metadata) or metadata.is_being_deleted or status.last_handled_reacquire_time == wish:
        return decision
    at = asked_at(wish)
    if at is not None and at > seen.around.now:
        return decision
    return replace(decision, status=status.model_copy(update={"last_handled_reacquire_time": wish}))


def asked_at(text: str) -> datetime | None:
    """The moment that the annotation names; None when it names none."""
    try:
        return parse_time(text)
    except ValueError:
        return None


def _wish(seen: ClusterObservation) -> str | None:
    """The annotation, unless it was answered."""
    wish = seen.resource.metadata.annotations.get(REACQUIRE_ANNOTATION, "")[:LONGEST_ECHO]
    return wish if wish and wish != seen.status.last_handled_reacquire_time else None


def _opened_since(hours: Hours, given_back: Release) -> bool:
    """A start came after the release: one of before it does not undo it."""
    return hours.opened is not None and (given_back.time is None or hours.opened > given_back.time)


def _for_a_job(seen: ClusterObservation) -> Again | None:
    if seen.spec.idle is None or seen.spec.idle.reacquire is not Reacquire.WHEN_JOB_WAITS:
        return None
    if isinstance(seen.waiting_jobs, Unknown) or not seen.waiting_jobs.value:
        return None
    return Again(f"It is bought again: job '{min(seen.waiting_jobs.value)}' waits for it.")


def _say_what_comes_by_itself(seen: ClusterObservation, said: list[str], seconds: list[float]) -> None:
    if seen.spec.schedule is not None:
        hours = hours_at(seen.spec.schedule, seen.around.now)
        start = None if isinstance(hours, BadSchedule) else next_start(seen, hours)
        if start is not None:
            said.append(f"The schedule buys it again at {format_time(start)}.")
            seconds.append((start - seen.around.now) / timedelta(seconds=1))
    if seen.spec.idle is not None and seen.spec.idle.reacquire is Reacquire.WHEN_JOB_WAITS:
        said.append("A job that waits for it buys it again.")


def next_start(seen: ClusterObservation, hours: Hours) -> datetime | None:
    """When the hours begin the next time, also while they are open."""
    if not hours.open or seen.spec.schedule is None or hours.until is None:
        return None if hours.open else hours.until
    closed = hours_at(seen.spec.schedule, hours.until)
    return None if isinstance(closed, BadSchedule) else closed.until
