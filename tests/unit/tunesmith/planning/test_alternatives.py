"""Out of stock: what is tried next and when, what the status says of it, and what is never tried."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    MONOTONIC,
    NOW,
    REGION,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    only,
    reason,
    seen,
)

from tunesmith.planning.cluster_choice import ClusterChoice, next_choice, round_pause_seconds, with_out_of_stock
from tunesmith.planning.cluster_observation import NamedVolume
from tunesmith.planning.decision import ErrorClass, Failure, KnownMessage
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import BuyCluster
from tunesmith.planning.provider import Region
from tunesmith.planning.purchase import HoldIntent, PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.gpu_cluster_status import OutOfStock

FIRST = {"region": "us-central-8", "gpuType": "H100_SXM"}
SECOND = {"region": "us-central-8", "gpuType": "H200_SXM"}
THIRD = {"region": "eu-west-1", "gpuType": "H100_SXM"}
EUROPE = Region("eu-west-1", ("H100_SXM",), REGION.drivers)
REGIONS = (REGION, EUROPE)
NO_STOCK = Failure(ErrorClass.OUT_OF_STOCK, "Could not buy: none in stock.", known=KnownMessage.OUT_OF_STOCK)


def stored(decision):
    """A decided status as it is read again."""
    return decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)


def wanting(*alternatives, status=None, **spec):
    if alternatives:
        spec["alternatives"] = list(alternatives)
    return a_cluster_resource(status=status or {}, **spec)


def at(monotonic, resource, *, memory=None, regions=REGIONS, **more):
    """A pass at this time, with a list as new as it."""
    memory = memory or PurchaseMemory(first_seen=MONOTONIC - 60)
    return seen(resource, a_view(begun=monotonic, regions=regions), monotonic=monotonic, memory=memory, **more)


def asking(choice, answer=NO_STOCK, *, alternatives=(SECOND, THIRD), status=None, monotonic=MONOTONIC, **spec):
    """The pass after the provider answered an order of this choice."""
    memory = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=monotonic, written=monotonic)
    memory = memory.with_post_begun("n1")
    memory = memory.with_post_answered("n1", answer, monotonic) if answer is not None else memory
    intent = {**INTENT, **choice, "startedTime": (NOW + timedelta(seconds=monotonic - MONOTONIC)).isoformat()}
    resource = wanting(*alternatives, status={**(status or {}), "createIntent": intent}, **spec)
    return at(monotonic, resource, memory=memory)


def told(decision):
    return find_condition(decision.status.conditions, "Provisioned").message


def test_the_first_alternative_follows_at_once_after_a_definite_refusal_and_the_status_says_why():
    decision = decide(asking(FIRST))
    assert decision.status.create_intent is None
    assert (reason(decision), decision.status.next_try_time) == ("OutOfStock", None)
    assert "'H100_SXM' in 'us-central-8' since 2026-01-01T12:00:00Z" in told(decision)
    assert "Next it is tried with 'H200_SXM' in 'us-central-8'" in told(decision)
    follow = decide(at(1001.0, wanting(SECOND, THIRD, status=stored(decision))))
    intent = follow.status.create_intent
    assert (intent.region, intent.gpu_type, intent.nonce) == ("us-central-8", "H200_SXM", "fresh")
    assert isinstance(only(follow, HoldIntent), HoldIntent)
    assert told(follow) == told(decision)


def test_an_order_names_the_choice_of_its_intent():
    memory = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)
    resource = wanting(SECOND, THIRD, status={"createIntent": {**INTENT, **THIRD}})
    order = only(decide(at(1001.0, resource, memory=memory)), BuyCluster).order
    assert (order.region, order.gpu_type) == ("eu-west-1", "H100_SXM")


def test_no_alternative_is_tried_while_an_order_is_ambiguous():
    decision = decide(asking(FIRST, Failure(ErrorClass.AMBIGUOUS, "?")))
    assert reason(decision) == "LookingBeforeBuying"
    assert decision.status.create_intent.gpu_type == "H100_SXM"
    later = decide(at(1400.0, asking(FIRST, None).resource, memory=asking(FIRST, None).memory))
    assert later.status.create_intent.gpu_type == "H100_SXM"  # a new nonce, the same choice


@pytest.mark.parametrize("error", [ErrorClass.RATE_LIMITED, ErrorClass.BAD_REQUEST, ErrorClass.NO_CREDIT])
def test_other_refusals_do_not_move_on_to_an_alternative(error):
    decision = decide(asking(FIRST, Failure(error, "no")))
    follow = decide(at(1100.0, wanting(SECOND, THIRD, status=stored(decision))))
    assert follow.status.create_intent.gpu_type == "H100_SXM"
    assert follow.status.out_of_stock == ()


def out_of_stock(*choices, next_try=None):
    listed = [{**choice, "sinceTime": "2026-01-01T12:00:00Z"} for choice in choices]
    return {"outOfStock": listed, **({"nextTryTime": next_try} if next_try else {})}


def test_after_a_whole_round_comes_a_pause_that_a_restart_does_not_shorten():
    before = out_of_stock(FIRST, SECOND)
    decision = decide(asking(THIRD, status=before, monotonic=1060.0))
    assert decision.status.next_try_time == NOW + timedelta(seconds=105)  # 60 s tried, 3/4 of it by the jitter
    assert "At 2026-01-01T12:01:45Z it is tried with 'H100_SXM' in 'us-central-8'" in told(decision)
    restarted = wanting(SECOND, THIRD, status=stored(decision))
    patient = decide(at(1070.0, restarted, memory=PurchaseMemory(first_seen=1070.0)))
    assert (patient.actions, patient.status) == ((), decision.status)
    assert patient.look_again_seconds <= 35
    again = decide(at(1106.0, restarted))
    assert again.status.create_intent.gpu_type == "H100_SXM"


def test_a_second_round_goes_in_order_without_a_pause_between():
    before = out_of_stock(SECOND, THIRD, FIRST)
    decision = decide(at(1100.0, wanting(SECOND, THIRD, status=before)))
    assert decision.status.create_intent.gpu_type == "H200_SXM"


def test_an_alternative_that_was_added_is_tried_at_once():
    resting = out_of_stock(FIRST, next_try="2026-01-01T12:10:00Z")
    assert decide(at(1010.0, wanting(status=resting))).actions == ()
    decision = decide(at(1010.0, wanting(THIRD, status=resting)))
    assert decision.status.create_intent.region == "eu-west-1"


def test_the_same_news_is_written_once():
    decision = decide(asking(FIRST, alternatives=()))
    assert [event.reason for event in decision.events] == ["OutOfStock"]
    again = decide(at(1001.0, wanting(status=stored(decision))))
    assert (again.status, again.events, again.actions) == (decision.status, (), ())


def test_what_was_bought_is_in_the_status_and_its_event_says_why():
    resource = wanting(SECOND, status={**out_of_stock(FIRST), "createIntent": {**INTENT, **SECOND}})
    cluster = a_provider_cluster(gpu_type="H200_SXM", status="WaitingForSubnet")
    decision = decide(seen(resource, a_view(cluster)))
    assert (decision.status.choice.gpu_type, decision.status.out_of_stock) == ("H200_SXM", ())
    assert "'H100_SXM' in 'us-central-8' since 2026-01-01T12:00:00Z was out of stock" in decision.events[0].message
    assert reason(decision, "Drifted") == "AsWanted"


def test_an_alternative_that_was_bought_is_no_drift_and_another_type_is():
    status = bought_status(choice=SECOND)
    cluster = a_provider_cluster(gpu_type="H200_SXM")
    taken = a_running_cluster(status=status, view=a_view(cluster), spec={"alternatives": [SECOND]})
    assert reason(decide(taken), "Drifted") == "AsWanted"
    foreign = a_running_cluster(status=status, view=a_view(cluster))
    assert reason(decide(foreign), "Drifted") == "Drifted"


def test_a_choice_that_cannot_exist_is_skipped_and_named():
    mars = {"region": "mars-1", "gpuType": "H100_SXM"}
    decision = decide(asking(FIRST, alternatives=(mars, THIRD)))
    assert "Next it is tried with 'H100_SXM' in 'eu-west-1'" in told(decision)
    assert "Not tried: 'H100_SXM' in 'mars-1': The provider has no region 'mars-1'" in told(decision)


def test_when_the_first_choice_cannot_exist_the_first_alternative_is_bought():
    decision = decide(at(MONOTONIC, wanting(THIRD, gpuType="B200_SXM")))
    assert decision.status.create_intent.region == "eu-west-1"


def test_when_no_choice_can_exist_it_stalls_with_what_is_offered():
    decision = decide(at(MONOTONIC, wanting({"region": "mars-1", "gpuType": "X"}, gpuType="B200_SXM")))
    assert (reason(decision), decision.actions) == ("GPUTypeUnavailable", ())
    message = find_condition(decision.status.conditions, "Stalled").message
    assert "None of the 2 choices" in message
    assert "'eu-west-1', 'us-central-8'" in message


def test_with_a_volume_only_its_region_is_tried_and_the_message_says_what_was_left_out():
    volume = NamedVolume("data", ("us-central-8",), 2, volume_id="v-1")
    observation = asking(FIRST, alternatives=(THIRD, SECOND), volumeRef={"name": "data"})
    bound = at(MONOTONIC, observation.resource, memory=observation.memory, volume=volume)
    decision = decide(bound)
    assert "Next it is tried with 'H200_SXM' in 'us-central-8'" in told(decision)
    assert "Not tried: 'H100_SXM' in 'eu-west-1': SharedVolume 'data' is for 'us-central-8'" in told(decision)


def test_a_volume_of_another_region_is_refused_before_anything_is_bought():
    volume = NamedVolume("data", ("eu-west-1",), 2, volume_id="v-1")
    decision = decide(at(MONOTONIC, a_cluster_resource(volumeRef={"name": "data"}), volume=volume))
    assert (reason(decision, "Stalled"), decision.actions) == ("VolumeInAnotherRegion", ())


def test_an_intent_of_a_choice_that_is_no_longer_offered_is_given_up_only_when_nothing_can_have_come_of_it():
    resource = wanting(THIRD, status={"createIntent": {**INTENT, **FIRST}})
    foreign = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", MONOTONIC)
    early = decide(at(1001.0, resource, memory=foreign, regions=(EUROPE,)))
    assert early.status.create_intent.nonce == "n1"
    own = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)
    assert decide(at(1001.0, resource, memory=own, regions=(EUROPE,))).status.create_intent is None


@pytest.mark.parametrize(
    ("known", "expected", "words"),
    [
        (KnownMessage.DRIVER_MISSING, "DriverMissing", "spec.driver.cudaVersion"),
        (KnownMessage.VOLUME_ELSEWHERE, "VolumeInAnotherPartition", "WaitForFirstCluster"),
    ],
)
def test_a_refusal_whose_words_are_known_is_explained(known, expected, words):
    decision = decide(asking(FIRST, Failure(ErrorClass.BAD_REQUEST, "Refused.", known=known)))
    assert reason(decision, "Stalled") == expected
    assert is_true(decision.status.conditions, "Stalled")
    assert words in told(decision)


def test_a_new_process_looks_before_it_tries_again():
    resource = wanting(SECOND, status=out_of_stock(FIRST))
    memory = PurchaseMemory(first_seen=1100.0)
    stale = seen(resource, a_view(begun=1099.0, regions=REGIONS), monotonic=1100.0, memory=memory)
    assert only(decide(stale), LookAtProvider).not_before == 1100.0


choices = st.builds(ClusterChoice, st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]))


@given(st.lists(choices, min_size=1, max_size=6, unique=True), st.integers(0, 30))
def test_every_choice_gets_its_turn_in_order_round_after_round(found, rounds):
    listed, asked = (), []
    for _ in range(len(found) * (rounds % 4 + 1)):
        following = next_choice(tuple(found), listed)
        asked.append(following)
        listed = with_out_of_stock(listed, following, NOW, known=tuple(found))
    assert asked == found * (rounds % 4 + 1)


@given(st.integers(0, 10**6), st.floats(0, 0.999))
def test_the_pause_grows_with_the_time_that_was_tried_and_stays_within_its_bounds(lasted, jitter):
    listed = (OutOfStock(region="a", gpu_type="x", since_time=NOW - timedelta(seconds=lasted)),)
    pause = round_pause_seconds(listed, NOW, jitter, wish=None)
    assert 7.5 <= pause <= 900
    assert pause <= max(lasted, 15)
    assert round_pause_seconds(listed, NOW, jitter, wish=42.0) == 42.0
