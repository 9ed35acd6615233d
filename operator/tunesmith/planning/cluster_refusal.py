"""What a refusal of the provider means for a GPUCluster: what is told, what is tried next, and when.

After a definite refusal nothing was bought, and the intent is closed. Out of stock, the next choice follows at once;
after a whole round comes a pause that grows. An answer that is none refuses nothing: the intent stays open.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from tunesmith.planning.bought import stalled, working
from tunesmith.planning.cluster_choice import (
    LONGEST_ROUND_PAUSE_SECONDS,
    ClusterChoice,
    Unfit,
    begins_a_round,
    next_choice,
    round_pause_seconds,
    with_out_of_stock,
)
from tunesmith.planning.cluster_observation import REFUSALS, ClusterObservation
from tunesmith.planning.decision import Decision, ErrorClass, EventNote, EventType, Failure, KnownMessage
from tunesmith.planning.purchase import orders_unanswered
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, OutOfStock
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]

WAITS_BY_ITSELF = frozenset({ErrorClass.OUT_OF_STOCK, ErrorClass.RATE_LIMITED})
"""Refusals that pass without anybody's doing; after the others somebody must do something."""

REASONS = {
    ErrorClass.RATE_LIMITED: Reason.RATE_LIMITED,
    ErrorClass.UNAUTHENTICATED: Reason.CREDENTIALS_REFUSED,
    ErrorClass.FORBIDDEN: Reason.CREDENTIALS_REFUSED,
    ErrorClass.NO_CREDIT: Reason.NO_CREDIT,
}

WAY_OUT = {
    ErrorClass.RATE_LIMITED: "It is tried again after a pause.",
    ErrorClass.UNAUTHENTICATED: "Put a valid API key into the credential's Secret.",
    ErrorClass.FORBIDDEN: "Give the API key the right to buy in this project, or use another key.",
    ErrorClass.NO_CREDIT: "Settle the account at the provider.",
}
_CHECK_SPEC = "Compare `spec` with what the provider offers (kubectl get gpuregions) and make the resource again."


def refused(seen: ClusterObservation, refusal: Failure, *, again: float | None = None) -> ClusterDecision:
    """The provider said no for certain: nothing was bought, and the intent is closed."""
    if refusal.error is ErrorClass.OUT_OF_STOCK:
        return _out_of_stock(seen, refusal)
    reason, way_out = _explained(seen, refusal)
    message = f"{refusal.message} Nothing was bought. {way_out}"
    tell = working if refusal.error in WAITS_BY_ITSELF else stalled
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Provisioned") != reason:
        events = (EventNote(EventType.WARNING, reason, message),)
    return tell(
        seen,
        reason,
        message,
        status=seen.status.model_copy(update={"create_intent": None}),
        verdicts={"Provisioned": Verdict(False, reason, message)},
        events=events,
        again=again if again is not None else 0.0,
    )


def unsent(seen: ClusterObservation, why: Failure, *, again: float) -> ClusterDecision:
    """The order never left this process: nothing was bought, and the same is tried again."""
    message = f"{why.message} Nothing was bought. It is tried again."
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Provisioned") != Reason.ORDER_NOT_SENT:
        events = (EventNote(EventType.WARNING, Reason.ORDER_NOT_SENT, message),)
    verdicts = {"Provisioned": Verdict(False, Reason.ORDER_NOT_SENT, message)}
    return working(seen, Reason.ORDER_NOT_SENT, message, verdicts=verdicts, events=events, again=again)


def unclear(seen: ClusterObservation, message: str, *, again: float) -> ClusterDecision:
    """What became of the order is not known yet; when that happens to one after another, it has a reason of its own."""
    often = orders_unanswered(seen.memory)
    if often is None:
        return working(seen, Reason.LOOKING_BEFORE_BUYING, message, again=again)
    verdicts = {"Provisioned": Verdict(False, Reason.ORDERS_UNANSWERED, often)}
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Provisioned") != Reason.ORDERS_UNANSWERED:
        events = (EventNote(EventType.WARNING, Reason.ORDERS_UNANSWERED, often),)
    return working(seen, Reason.ORDERS_UNANSWERED, often, verdicts=verdicts, events=events, again=again)


def _explained(seen: ClusterObservation, refusal: Failure) -> tuple[Reason, str]:
    """The reason, and what to do: by the provider's own words where they are understood, else by the kind of error."""
    if refusal.known is KnownMessage.DRIVER_MISSING:
        return Reason.DRIVER_MISSING, (
            "The provider wants CUDA and driver version named. Make the resource again with `spec.driver.cudaVersion` "
            "and `spec.driver.driverVersion` of one that the region offers (kubectl get gpuregions -o yaml)."
        )
    if refusal.known is KnownMessage.VOLUME_ELSEWHERE:
        name = "" if seen.volume is None else f" '{seen.volume.name}'"
        return Reason.VOLUME_IN_ANOTHER_PARTITION, (
            f"SharedVolume{name} lies in another datacenter partition of '{seen.choice.region}' than these GPUs, and a "
            "volume cannot be moved. Name one with `bindingMode` 'WaitForFirstCluster', which is made with the "
            "cluster and so beside it, or try another GPU type."
        )
    return REASONS.get(refusal.error, Reason.PROVIDER_REFUSED), WAY_OUT.get(refusal.error, _CHECK_SPEC)


def resting(seen: ClusterObservation) -> ClusterDecision | None:
    """Everything was out of stock: the pause after a round, which stands in the status and survives a restart."""
    status, until = seen.status, seen.status.next_try_time
    following = next_choice(seen.fit_choices, status.out_of_stock)
    if seen.intent is not None or until is None or following is None or not _was_tried(following, status.out_of_stock):
        return None
    left = min((until - seen.around.now).total_seconds(), LONGEST_ROUND_PAUSE_SECONDS)
    if left <= 0:
        return None
    return _told_out_of_stock(seen, status, following, again=left)


def still_as_refused(seen: ClusterObservation) -> ClusterDecision | None:
    """The reason that people read stays until something better is known; None: there is none to keep."""
    before = find_condition(seen.status.conditions, "Provisioned")
    if before is None or before.reason not in {*REFUSALS, Reason.ORDERS_UNANSWERED}:
        return None
    tell = stalled if is_true(seen.status.conditions, "Stalled") else working
    verdicts = {"Provisioned": Verdict(False, before.reason, before.message)}
    return tell(seen, before.reason, before.message, verdicts=verdicts)


def why_this_choice(seen: ClusterObservation, bought: ClusterChoice) -> str:
    """In the Event of a purchase: why it is not the first choice. Empty when it is."""
    others = [each for each in seen.status.out_of_stock if ClusterChoice(each.region, each.gpu_type) != bought]
    return f" It is {bought}; {_since(tuple(others))} was out of stock." if others else ""


def _out_of_stock(seen: ClusterObservation, refusal: Failure) -> ClusterDecision:
    around, status = seen.around, seen.status
    choices = seen.fit_choices or (seen.choice,)
    listed = with_out_of_stock(status.out_of_stock, seen.choice, around.now, known=choices)
    following = next_choice(choices, listed) or seen.choice
    until = None
    if _was_tried(following, listed) and begins_a_round(choices, following):
        pause = round_pause_seconds(listed, around.now, around.jitter, wish=refusal.retry_after_seconds)
        until = around.now.replace(microsecond=0) + timedelta(seconds=ceil(pause))
    after = status.model_copy(update={"create_intent": None, "out_of_stock": listed, "next_try_time": until})
    return _told_out_of_stock(seen, after, following, again=0.0)


def _told_out_of_stock(
    seen: ClusterObservation, after: GPUClusterStatus, following: ClusterChoice, *, again: float
) -> ClusterDecision:
    message = out_of_stock_message(after.out_of_stock, following, after.next_try_time, seen.unfit_choices)
    is_news = reason_of(seen.status.conditions, "Provisioned") != Reason.OUT_OF_STOCK
    moved_on = len(after.out_of_stock) > len(seen.status.out_of_stock)
    return working(
        seen,
        Reason.OUT_OF_STOCK,
        message,
        status=after,
        verdicts={"Provisioned": Verdict(False, Reason.OUT_OF_STOCK, message)},
        events=(EventNote(EventType.WARNING, Reason.OUT_OF_STOCK, message),) if is_news or moved_on else (),
        again=again,
    )


def out_of_stock_message(
    listed: tuple[OutOfStock, ...], following: ClusterChoice, until: datetime | None, left_out: tuple[Unfit, ...]
) -> str:
    """Which choices are out of stock since when, which is tried next and when, and which are not tried at all."""
    when = "Next" if until is None else f"At {format_time(until)}"
    skipped = "".join(f" Not tried: {each.choice}: {each.message}" for each in left_out)
    return f"Out of stock: {_since(listed)}. Nothing was bought. {when} it is tried with {following}.{skipped}"


def _since(listed: tuple[OutOfStock, ...]) -> str:
    return ", ".join(
        f"{ClusterChoice(each.region, each.gpu_type)}"
        + (f" since {format_time(each.since_time)}" if each.since_time is not None else "")
        for each in listed
    )


def _was_tried(choice: ClusterChoice, listed: tuple[OutOfStock, ...]) -> bool:
    return any(ClusterChoice(each.region, each.gpu_type) == choice for each in listed)
