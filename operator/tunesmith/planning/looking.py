"""When the provider is looked at again: at intervals, and when a user asks for it by annotation. Knows no kind."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from tunesmith.planning.circumstances import Circumstances, Installation
from tunesmith.planning.decision import Decision
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.retry import is_held_back
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.metadata import Metadata
from tunesmith.resources.shared_volume import SharedVolumeStatus

RECONCILE_ANNOTATION = "tunesmith.dev/reconcile-requested-at"
BUSY_INTERVAL_SECONDS = 10.0
"""How often the provider is looked at while something is under way."""
VOLUME_INTERVAL_SECONDS = 60
"""How often a SharedVolume looks while nothing is under way; a GPUCluster says so in `spec.drift`."""
SHORTEST_INTERVAL_SECONDS = 1.0
SOONEST = 0.8
"""How much of its interval a look lasts at the least. Jitter takes from the interval, so that nothing is seen later."""
UNSEEN_AFTER_SECONDS, UNSEEN_AFTER_INTERVALS = 600, 10
"""How old the newest look must be, at the least, before it counts as none."""
LONGEST_ECHO = 256  # what the status field holds

BoughtStatus = TypeVar("BoughtStatus", GPUClusterStatus, SharedVolumeStatus)


def leaving_interval_seconds(installation: Installation) -> float:
    """How often to look while something is given back: no absence is believed sooner than its own interval."""
    return max(SHORTEST_INTERVAL_SECONDS, min(BUSY_INTERVAL_SECONDS, installation.absence_interval_seconds))


def unseen_seconds(begun: float | None, interval_seconds: int, around: Circumstances) -> int | None:
    """How long at least the provider has not been seen, when the newest look says nothing of now any more; else None.

    `interval_seconds` is how often it is looked at. `begun` None: it was never seen, which other questions are about.
    """
    longest = max(UNSEEN_AFTER_SECONDS, UNSEEN_AFTER_INTERVALS * interval_seconds)
    return longest if begun is not None and around.monotonic - begun > longest else None


def requested(metadata: Metadata) -> str:
    """What the user's annotation asks for, as it is echoed; empty: nothing."""
    return metadata.annotations.get(RECONCILE_ANNOTATION, "")[:LONGEST_ECHO]


def looking_again(
    decision: Decision[BoughtStatus],
    look: LookAtProvider,
    *,
    begun: float | None,
    interval_seconds: float,
    around: Circumstances,
) -> Decision[BoughtStatus]:
    """The decision, with `look` when the newest is older than the interval, and the time of the next one.

    The interval is jittered, so that many resources do not ask at the same moment. The jitter is drawn once for each
    look: a pass that comes when it may be due makes it, instead of drawing again. `begun` None: nothing was seen yet,
    and the decision itself says what is to be done about it.
    """
    if begun is None:
        return decision
    age = around.monotonic - begun
    if age >= SOONEST * interval_seconds:
        return _with_look(decision, look, around)
    left = interval_seconds * (SOONEST + (1 - SOONEST) * around.jitter) - age
    again = decision.look_again_seconds
    return replace(decision, look_again_seconds=left if again is None else min(left, again))


def answering_request(
    decision: Decision[BoughtStatus], metadata: Metadata, look: LookAtProvider, around: Circumstances, *, has_eyes: bool
) -> Decision[BoughtStatus]:
    """The decision, with a look that the user's annotation asks for; what was looked at is echoed in the status.

    `has_eyes` False: there is no credential to look with, so the pass itself is all there is to answer with.
    """
    wish = requested(metadata)
    if not wish or wish == decision.status.last_handled_reconcile_time:
        return decision
    looked = any(isinstance(each.action, LookAtProvider) and each.failure is None for each in around.outcomes)
    if not looked and has_eyes:
        return decision if _looks_or_pays(decision) else decision.with_actions(look)
    if not decision.status.conditions:
        return decision  # the first status is written whole, by a decision that has something to say
    return replace(decision, status=decision.status.model_copy(update={"last_handled_reconcile_time": wish}))


def _with_look(decision: Decision[BoughtStatus], look: LookAtProvider, around: Circumstances) -> Decision[BoughtStatus]:
    """The decision, with `look` before what is not tried again yet; what is paid now is looked at in the next pass."""
    held_back: list[int] = [at for at, action in enumerate(decision.actions) if is_held_back(action, around)]
    if any(isinstance(action, LookAtProvider) for action in decision.actions):
        return decision
    if not held_back:
        return decision if _looks_or_pays(decision) else decision.with_actions(look)
    return replace(decision, actions=(*decision.actions[: held_back[0]], look, *decision.actions[held_back[0] :]))


def _looks_or_pays(decision: Decision[BoughtStatus]) -> bool:
    return any(isinstance(action, LookAtProvider) or action.costs_money for action in decision.actions)
