"""What is not shown any more is looked for twice, apart in time, before anybody calls it gone. Knows no kind."""

from __future__ import annotations

from tunesmith.planning.bought import BoughtObservation, BoughtStatus, quietly, working
from tunesmith.planning.decision import Decision, Failure
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.purchase import is_absent_twice
from tunesmith.resources.reasons import Reason


def is_gone(seen: BoughtObservation[BoughtStatus], thing_id: str) -> bool:
    """The provider said twice, apart in time, that there is no such thing."""
    begun = seen.provider.not_found.get(thing_id)
    return begun is not None and is_absent_twice(seen.memory, thing_id, begun, seen.around)


def looked_for_again(seen: BoughtObservation[BoughtStatus], thing_id: str) -> Decision[BoughtStatus]:
    """The next look for what is recorded and not shown; asked for at once the first time."""
    due, begun = seen.provider.begun or 0.0, seen.provider.not_found.get(thing_id)
    if seen.memory.absent_target == thing_id and seen.memory.absent_since is not None:
        due = seen.memory.absent_since + seen.around.installation.absence_interval_seconds
    if begun is None or seen.around.monotonic >= due:
        look = seen.look(due, thing_id)
        failed = seen.around.failure_of(look)
        return quietly(seen, look) if failed is None else _cannot_be_told(seen, thing_id, look, failed.failure)
    message = f"The provider does not show {seen.word} '{thing_id}'. It is looked for once again."
    return working(seen, Reason.CONFIRMING_ABSENCE, message, again=due - seen.around.monotonic)


def _cannot_be_told(
    seen: BoughtObservation[BoughtStatus], thing_id: str, look: LookAtProvider, failure: Failure
) -> Decision[BoughtStatus]:
    """Its list lacks it and the question for it fails: nobody knows whether it can be used, so it is not Ready."""
    message = f"The provider's list does not show {seen.word} '{thing_id}', and asking for it failed: "
    message += f"{failure.message} Whether it is gone cannot be told; it is asked for again."
    return working(seen, Reason.PROVIDER_UNREACHABLE, message, look)
