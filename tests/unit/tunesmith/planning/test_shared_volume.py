"""What a SharedVolume decides, told as the manual tells it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_provider_cluster, a_view
from tests.unit.tunesmith.planning.volume_builders import (
    BOUGHT,
    NAME,
    a_naming_cluster,
    a_volume,
    at_provider,
    intent,
    message,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.decision import ErrorClass, Failure, Outcome
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.naming import provider_name
from tunesmith.planning.orders import BuyVolume, ResizeVolume
from tunesmith.planning.provider import AttachedVolume, Credential, ProviderView
from tunesmith.planning.purchase import HoldIntent, PurchaseMemory
from tunesmith.planning.shared_volume import decide
from tunesmith.resources.conditions import find_condition, is_true


def test_no_finalizer_before_a_first_clean_list():
    only(decide(seen(a_volume(finalizer=False, named=False), ProviderView())), LookAtProvider)
    only(decide(seen(a_volume(finalizer=False, named=False))), SetMetadata)


def test_without_a_cluster_it_waits_for_the_first():
    decision = decide(seen())
    assert (decision.actions, reason(decision)) == ((), "WaitingForCluster")


def test_the_oldest_cluster_that_names_it_is_elected():
    young = a_naming_cluster("young", "u-2", created=datetime(2026, 1, 2, tzinfo=UTC))
    old = a_naming_cluster("old", "u-3", created=datetime(2026, 1, 1, tzinfo=UTC))
    elsewhere = a_naming_cluster("else", "u-4", region="us-central-4", created=datetime(2025, 1, 1, tzinfo=UTC))
    decision = decide(seen(clusters=(young, old, elsewhere)))
    assert decision.status.create_intent.cluster_uid == "u-3"
    assert decision.status.create_intent.name == str(NAME)
    assert decision.actions == ()


@pytest.mark.parametrize("other", [Credential("key-2"), Credential("key-1", "p-2")], ids=["key", "project"])
def test_no_cluster_of_another_account_is_elected_and_the_message_names_it(other):
    elsewhere = a_naming_cluster("theirs", "u-0", credential=other)
    decision = decide(seen(clusters=(elsewhere,)))
    assert (decision.status.create_intent, reason(decision)) == (None, "WaitingForCluster")
    assert "'theirs', of another API key or project" in message(decision)
    both = decide(seen(clusters=(elsewhere, a_naming_cluster("ours", "u-1", credential=Credential("key-1")))))
    assert both.status.create_intent.cluster_uid == "u-1"


def test_the_elected_cluster_stays_elected():
    resource = a_volume(status={"createIntent": intent(clusterName="train", clusterUID="u-1")})
    decision = decide(seen(resource, clusters=(a_naming_cluster(), a_naming_cluster("older", "u-0"))))
    assert decision.status.create_intent.cluster_uid == "u-1"


def test_a_new_election_waits_until_the_old_ones_order_would_show():
    resource = a_volume(status={"createIntent": intent(clusterName="gone", clusterUID="u-9")})
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    early = decide(seen(resource, memory=memory, clusters=(a_naming_cluster(),)))
    assert (reason(early), early.actions) == ("LookingBeforeBuying", ())
    late = decide(seen(resource, a_view(begun=1301.0), memory=memory, monotonic=1301.0, clusters=(a_naming_cluster(),)))
    assert late.status.create_intent is None
    again = replace(
        seen(resource, clusters=(a_naming_cluster(),)), resource=resource.model_copy(update={"status": late.status})
    )
    assert decide(again).status.create_intent.cluster_uid == "u-1"


def test_after_a_definite_refusal_the_election_is_taken_back_and_another_is_elected():
    resource = a_volume(status={"createIntent": intent(clusterName="train", clusterUID="u-1")})
    refused, other = a_naming_cluster(held_up=True), a_naming_cluster("other", "u-2")
    recalled = decide(seen(resource, clusters=(refused, other)))
    assert (recalled.status.create_intent, recalled.actions) == (None, ())
    after = resource.model_copy(update={"status": recalled.status})
    assert decide(seen(after, clusters=(refused, other))).status.create_intent.cluster_uid == "u-2"


def test_a_refused_cluster_stays_elected_when_no_other_could_be_bought():
    resource = a_volume(status={"createIntent": intent(clusterName="train", clusterUID="u-1")})
    others = (a_naming_cluster("busy", "u-2", held_up=True), a_naming_cluster("else", "u-3", region="us-central-4"))
    decision = decide(seen(resource, clusters=(a_naming_cluster(held_up=True), *others)))
    assert decision.status.create_intent.cluster_uid == "u-1"


def test_nobody_is_elected_while_a_cluster_that_names_the_volume_has_an_open_intent():
    decision = decide(seen(clusters=(a_naming_cluster(buying=True), a_naming_cluster("other", "u-2"))))
    assert (decision.status.create_intent, reason(decision)) == (None, "LookingBeforeBuying")


def test_before_it_is_bought_no_condition_claims_anything():
    decision = decide(seen())
    assert (reason(decision, "InUse"), reason(decision, "Resizing")) == ("NotBought", "NotBought")


def test_a_requested_pass_looks_and_is_echoed():
    resource = a_volume(status=BOUGHT, annotations={"tunesmith.dev/reconcile-requested-at": "now"})
    observation = seen(resource, a_view(volumes=(at_provider(),)))
    look = only(decide(observation), LookAtProvider)
    looked = replace(observation, around=replace(observation.around, outcomes=(Outcome(look),)))
    assert decide(looked).status.last_handled_reconcile_time == "now"


def test_what_the_elected_cluster_brought_is_recorded_by_name():
    resource = a_volume(status={"createIntent": intent(clusterName="train", clusterUID="u-1")})
    decision = decide(seen(resource, a_view(volumes=(at_provider("bound"),)), clusters=(a_naming_cluster(),)))
    assert (decision.status.volume_id, decision.status.create_intent) == ("v-1", None)


def test_immediate_is_bought_like_a_cluster():
    resource = a_volume(bindingMode="Immediate")
    only(decide(seen(resource)), HoldIntent)
    memory = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)
    resource = a_volume(bindingMode="Immediate", status={"createIntent": intent()})
    order = only(decide(seen(resource, a_view(begun=1001.0), memory=memory, monotonic=1001.0)), BuyVolume).order
    assert (order.name, order.size_tib) == (str(NAME), 2)


def test_nothing_is_ordered_under_an_intent_that_names_another_key():
    memory = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)
    status = {"createIntent": intent(credentialFingerprint="another-key")}
    resource = a_volume(bindingMode="Immediate", status=status)
    decision = decide(seen(resource, a_view(begun=1001.0), memory=memory, monotonic=1001.0))
    assert only(decision, HoldIntent).nonce == "fresh"
    assert decision.status.create_intent.credential_fingerprint == "key-1"


@pytest.mark.parametrize(
    ("error", "why", "said"),
    [
        (ErrorClass.NO_CREDIT, "NoCredit", "Settle the account"),
        (ErrorClass.FORBIDDEN, "CredentialsRefused", "right to buy"),
        (ErrorClass.RATE_LIMITED, "RateLimited", "tried again"),
        (ErrorClass.BAD_REQUEST, "ProviderRefused", "Compare `spec`"),
        (ErrorClass.NOT_SENT, "OrderNotSent", "tried again"),
    ],
)
def test_a_refusal_says_what_it_is_and_what_to_do(error, why, said):
    resource = a_volume(status={"createIntent": intent()}, bindingMode="Immediate")
    memory = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)
    memory = memory.with_post_begun("n1").with_post_answered("n1", Failure(error, "No."), MONOTONIC)
    decision = decide(seen(resource, memory=memory))
    assert (reason(decision, "Provisioned"), said in message(decision)) == (why, True)


def test_in_order_says_who_uses_it():
    holder = a_provider_cluster("c-1", "ts-x", volumes=(AttachedVolume("v-1", str(NAME), 2, "bound"),))
    view = a_view(holder, volumes=(at_provider("bound"),))
    decision = decide(seen(a_volume(status=BOUGHT), view, clusters=(a_naming_cluster(cluster_id="c-1"),)))
    assert is_true(decision.status.conditions, "Ready")
    assert (decision.status.bound_to, reason(decision, "InUse")) == ("train", "InUse")
    later = replace(
        seen(monotonic=1030.0), resource=a_volume(status=BOUGHT).model_copy(update={"status": decision.status})
    )
    again = decide(replace(later, provider=view, clusters=(a_naming_cluster(cluster_id="c-1"),)))
    assert (again.status, again.actions) == (decision.status, ())


def test_it_grows_and_never_shrinks():
    resource = a_volume(status=BOUGHT, sizeTiB=3)
    assert only(decide(seen(resource, a_view(volumes=(at_provider(),)))), ResizeVolume).size_tib == 3
    smaller = decide(seen(a_volume(status=BOUGHT, sizeTiB=1), a_view(volumes=(at_provider(),))))
    assert (smaller.actions, is_true(smaller.status.conditions, "Ready")) == ((), True)


@pytest.mark.parametrize(("status", "why"), [("failed", "ProvisionFailed"), ("access_revoked", "AccessRevoked")])
def test_what_the_provider_calls_broken_stalls(status, why):
    decision = decide(seen(a_volume(status=BOUGHT), a_view(volumes=(at_provider(status),))))
    assert reason(decision, "Stalled") == why


def test_an_unknown_status_means_in_progress():
    decision = decide(seen(a_volume(status=BOUGHT), a_view(volumes=(at_provider("melting"),))))
    assert reason(decision) == "Provisioning"


def test_a_key_of_another_account_never_shows_that_a_volume_is_gone():
    resource = a_volume(status=BOUGHT)
    decision = decide(seen(resource, a_view(not_found={"v-1": MONOTONIC}), credential=Credential("key-2")))
    assert (reason(decision, "Stalled"), decision.actions) == ("CredentialMismatch", ())


def test_a_second_volume_of_the_resource_is_told_as_long_as_it_is_there():
    both = a_view(volumes=(at_provider(), at_provider(volume_id="v-2")))
    decision = decide(seen(a_volume(status=BOUGHT), both))
    assert (reason(decision, "Provisioned"), "v-2" in message(decision, "Provisioned")) == ("DuplicateFound", True)
    assert [note.reason for note in decision.events] == ["DuplicateFound"]
    told = a_volume(status=decision.status.model_dump(by_alias=True, exclude_none=True))
    assert decide(seen(told, both)).events == ()
    assert reason(decide(seen(told, a_view(volumes=(at_provider(),)))), "Provisioned") == "Bought"


def test_another_spec_of_a_lost_volume_counts_as_looked_at():
    once = PurchaseMemory(first_seen=940.0).with_look("v-1", begun=1000.0, present=False)
    view = a_view(not_found={"v-1": 1031.0}, begun=1031.0)
    lost = seen(a_volume(status=BOUGHT), view, memory=once, monotonic=1031.0)
    edited = lost.resource.metadata.model_copy(update={"generation": 2})
    resource = lost.resource.model_copy(update={"status": decide(lost).status, "metadata": edited})
    decision = decide(replace(lost, resource=resource))
    assert (decision.status.observed_generation, reason(decision), decision.events) == (2, "Gone", ())
    both = replace(
        lost, provider=a_view(volumes=(at_provider(volume_id="v-2"),), not_found={"v-1": 1031.0}, begun=1031.0)
    )
    assert "v-2" in message(decide(both))


def test_a_retained_volume_of_a_deleted_resource_is_asked_about():
    before = provider_name(installation_id="prod01", kind="SharedVolume", namespace="ml", name="data", uid="old")
    view = a_view(volumes=(at_provider(volume_id="v-0", name=str(before)),))
    assert reason(decide(seen(view=view)), "Stalled") == "PredecessorFound"
    taken = decide(seen(a_volume(adoptionPolicy="SameIdentity"), view))
    assert taken.status.volume_id == "v-0"


@pytest.mark.parametrize("status", ["scheduled", "provisioning", "unknown"])
def test_what_is_under_way_is_told_in_words(status):
    decision = decide(seen(a_volume(status=BOUGHT), a_view(volumes=(at_provider(status),))))
    assert (reason(decision, "Provisioned"), is_true(decision.status.conditions, "Stalled")) == ("Provisioning", False)
    assert f"'{status}'" in message(decision)


def test_a_volume_that_somebody_deletes_at_the_provider_is_news():
    decision = decide(seen(a_volume(status=BOUGHT), a_view(volumes=(at_provider("deleting"),))))
    assert (reason(decision, "Stalled"), decision.actions) == ("DeletedOutside", ())
    assert [note.reason for note in decision.events] == ["DeletedOutside"]


def test_orders_that_get_no_clear_answer_one_after_another_are_a_reason_and_an_event_of_their_own():
    memory = PurchaseMemory(first_seen=900.0).with_intent_written("n1", decided=1000.0, written=1000.0)
    memory = memory.with_post_begun("n1").with_post_answered("n1", Failure(ErrorClass.AMBIGUOUS, "It broke."), 1001.0)
    alone = {"bindingMode": "Immediate", "status": {"createIntent": intent()}}
    assert reason(decide(seen(a_volume(**alone), memory=memory, monotonic=1010.0))) == "LookingBeforeBuying"
    often = replace(memory, unclear=3)
    decision = decide(seen(a_volume(**alone), memory=often, monotonic=1010.0))
    assert (reason(decision), reason(decision, "Provisioned"), decision.actions) == (*["OrdersUnanswered"] * 2, ())
    assert "It broke." in decision.events[0].message
    stored = a_volume(bindingMode="Immediate").model_copy(update={"status": decision.status})
    again = decide(seen(stored, a_view(begun=1302.0), memory=often, monotonic=1302.0))
    assert (reason(again), again.events) == ("OrdersUnanswered", ())
    only(again, HoldIntent)


def test_of_a_volume_that_was_not_seen_for_ten_minutes_nobody_says_that_it_is_there():
    resource = a_volume(status=BOUGHT)
    lately = decide(seen(resource, a_view(volumes=(at_provider(),), begun=1000.0), monotonic=1590.0))
    assert reason(lately, "Provisioned") == "Bought"
    late = decide(seen(resource, a_view(volumes=(at_provider(),), begun=1000.0), monotonic=1610.0))
    assert reason(late, "Provisioned") == "ProviderUnreachable"
    assert find_condition(late.status.conditions, "Provisioned").status == "Unknown"
