"""What a GPUCluster decides before it is bought, told as the manual tells it."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    INTENT,
    MONOTONIC,
    NAME,
    OWN_MEMORY,
    a_cluster_resource,
    a_provider_cluster,
    a_view,
    bought_status,
    circumstances,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import SetFinalizer, SetMetadata
from tunesmith.planning.bought import NoCredential
from tunesmith.planning.circumstances import FailureRecord, Unknown
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.naming import provider_name
from tunesmith.planning.orders import BuyCluster
from tunesmith.planning.ownership import FINALIZER, NAME_ANNOTATION
from tunesmith.planning.provider import ProviderView
from tunesmith.planning.purchase import HoldIntent, PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true

# before anything is bought


def test_nothing_is_touched_while_paused():
    resource = a_cluster_resource(finalizer=False, annotations={"tunesmith.dev/paused": "true"})
    decision = decide(seen(resource))
    assert decision.actions == ()
    assert decision.status == resource.status


def test_no_finalizer_before_a_first_clean_list():
    decision = decide(seen(a_cluster_resource(finalizer=False, named=False), ProviderView()))
    only(decision, LookAtProvider)
    assert decision.status.conditions == ()


def test_the_finalizer_and_the_name_are_one_write():
    decision = decide(seen(a_cluster_resource(finalizer=False, named=False)))
    assert only(decision, SetMetadata) == SetMetadata((FINALIZER,), ((NAME_ANNOTATION, str(NAME)),))
    assert decision.status.conditions == ()


def test_the_intent_is_written_with_all_conditions_and_nothing_is_bought_yet():
    decision = decide(seen())
    assert only(decision, HoldIntent).nonce == "fresh"
    assert decision.status.create_intent.nonce == "fresh"
    assert decision.status.create_intent.name == str(NAME)
    assert len(decision.status.conditions) == 10


def test_an_object_whose_status_a_backup_has_lost_buys_nothing_before_an_order_of_before_would_show():
    found_named = PurchaseMemory(first_seen=MONOTONIC - 60)
    forgotten = decide(seen(memory=found_named))
    assert forgotten.actions == ()  # nobody holds this nonce, so nobody may post under it
    assert forgotten.status.create_intent.nonce == "fresh"
    conditions = {each.type: each.reason for each in forgotten.status.conditions}
    assert conditions["Ready"] == "LookingBeforeBuying"


def test_what_this_process_itself_has_posted_is_not_forgotten_with_the_status():
    posted = PurchaseMemory(first_seen=MONOTONIC - 60, named=True).with_intent_seen("n1", MONOTONIC - 50)
    assert decide(seen(memory=posted)).actions == ()


def test_a_deleted_object_whose_status_was_lost_is_not_let_go_before_an_order_of_before_would_show():
    found_named = PurchaseMemory(first_seen=MONOTONIC - 60)
    forgotten = decide(seen(a_cluster_resource(deleting=True), a_view(begun=MONOTONIC), memory=found_named))
    assert forgotten.actions == ()
    assert forgotten.status.create_intent.nonce == "fresh"


def test_what_another_key_has_ordered_is_not_ordered_again_with_this_one():
    ordered = {**INTENT, "credentialFingerprint": "another-key"}
    long_ago = PurchaseMemory(first_seen=MONOTONIC - 5000).with_intent_seen("n1", MONOTONIC - 4000)
    decision = decide(seen(a_cluster_resource(status={"createIntent": ordered}), memory=long_ago))
    assert find_condition(decision.status.conditions, "Ready").reason == "CredentialMismatch"
    assert decision.status.create_intent.nonce == "n1"
    assert decision.actions == ()


def test_what_was_answered_is_recorded_with_the_key_that_it_was_ordered_with():
    ordered = {**INTENT, "credentialFingerprint": "the-key-of-before"}
    answered = OWN_MEMORY.with_post_begun("n1").with_post_answered("n1", "c-9", MONOTONIC)
    status = decide(seen(a_cluster_resource(status={"createIntent": ordered}), memory=answered)).status
    assert (status.cluster_id, status.credential_fingerprint) == ("c-9", "the-key-of-before")


@pytest.mark.parametrize("then", [{"credentialFingerprint": "another-key"}, {"projectID": "another-project"}])
def test_nothing_is_ordered_under_an_intent_that_names_another_account(then):
    written = {**INTENT, "credentialFingerprint": "key-1", **then}
    resource = a_cluster_resource(status={"createIntent": written})
    decision = decide(seen(resource, a_view(begun=1001.0), memory=OWN_MEMORY, monotonic=1001.0))
    assert only(decision, HoldIntent).nonce == "fresh"
    anew = decision.status.create_intent
    assert (anew.nonce, anew.credential_fingerprint, anew.project_id) == ("fresh", "key-1", None)


def test_an_order_that_another_key_may_have_made_is_not_let_go():
    ordered = {**INTENT, "credentialFingerprint": "another-key"}
    long_ago = PurchaseMemory(first_seen=MONOTONIC - 5000).with_intent_seen("n1", MONOTONIC - 4000)
    resource = a_cluster_resource(status={"createIntent": ordered}, deleting=True)
    decision = decide(seen(resource, memory=long_ago))
    assert find_condition(decision.status.conditions, "Ready").reason == "AbsenceUnproven"
    assert decision.actions == ()


def test_the_order_follows_a_list_begun_after_the_intent():
    resource = a_cluster_resource(status={"createIntent": INTENT})
    assert only(decide(seen(resource, a_view(begun=999.0), memory=OWN_MEMORY)), LookAtProvider).not_before == MONOTONIC
    order = only(decide(seen(resource, a_view(begun=1001.0), memory=OWN_MEMORY, monotonic=1001.0)), BuyCluster).order
    assert (order.name, order.gpus, order.driver_version_id) == (str(NAME), 8, "nvidia-595-22")


def test_a_cluster_of_our_own_name_is_ours_even_without_status():
    decision = decide(seen(view=a_view(a_provider_cluster(status="WaitingForSubnet"))))
    assert decision.status.cluster_id == "c-1"
    assert decision.status.create_intent is None
    assert decision.actions == ()


def test_of_two_clusters_of_our_name_the_older_is_kept_and_the_younger_reported():
    from datetime import UTC, datetime

    older = a_provider_cluster("c-9", created=datetime(2026, 1, 1, 11, 0, tzinfo=UTC))
    younger = a_provider_cluster("c-2", created=datetime(2026, 1, 1, 11, 5, tzinfo=UTC))
    decision = decide(seen(view=a_view(younger, older)))
    assert decision.status.cluster_id == "c-9"
    assert reason(decision, "Drifted") == "DuplicateFound"
    assert "c-2" in decision.events[-1].message


def test_an_ambiguous_create_is_looked_up_before_anything_else_is_bought():
    memory = OWN_MEMORY.with_post_begun("n1").with_post_answered("n1", Failure(ErrorClass.AMBIGUOUS, "?"), 1001.0)
    resource = a_cluster_resource(status={"createIntent": INTENT})
    decision = decide(seen(resource, memory=memory, monotonic=1010.0))
    assert reason(decision) == "LookingBeforeBuying"
    assert decision.actions == ()
    found = decide(seen(resource, a_view(a_provider_cluster(), begun=1010.0), memory=memory, monotonic=1010.0))
    assert found.status.cluster_id == "c-1"


def test_orders_that_get_no_clear_answer_one_after_another_are_a_reason_and_an_event_of_their_own():
    unclear = OWN_MEMORY.with_post_begun("n1").with_post_answered(
        "n1", Failure(ErrorClass.AMBIGUOUS, "It broke."), 1001.0
    )
    often = replace(unclear, unclear=3)
    first = decide(seen(a_cluster_resource(status={"createIntent": INTENT}), memory=often, monotonic=1010.0))
    assert (reason(first), reason(first, "Provisioned"), first.actions) == ("OrdersUnanswered", "OrdersUnanswered", ())
    assert [(each.reason, "It broke." in each.message) for each in first.events] == [("OrdersUnanswered", True)]
    stored = a_cluster_resource(status=first.status.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert decide(seen(stored, memory=often, monotonic=1020.0)).events == ()
    begun_again = decide(seen(stored, a_view(begun=1302.0), memory=often, monotonic=1302.0))
    assert begun_again.status.create_intent.nonce == "fresh"
    assert reason(begun_again) == "OrdersUnanswered", "and stays until something better is known"


def test_an_order_that_never_leaves_the_operator_is_told_and_not_tried_in_haste():
    unsent = Failure(ErrorClass.NOT_SENT, "Could not buy cluster 'x': the audit log cannot be written.")
    memory = OWN_MEMORY.with_post_begun("n1").with_post_answered("n1", unsent, 1001.0)
    decision = decide(seen(a_cluster_resource(status={"createIntent": INTENT}), memory=memory, monotonic=1001.0))
    assert (reason(decision), decision.actions) == ("OrderNotSent", ())
    assert "audit log" in find_condition(decision.status.conditions, "Ready").message
    assert 0 < decision.look_again_seconds < 1
    status = decision.status.model_dump(by_alias=True, exclude_none=True)
    again = decide(seen(a_cluster_resource(status=status), a_view(begun=1002.0), memory=memory, monotonic=1002.0))
    assert (again.status.create_intent.nonce, reason(again)) == ("fresh", "OrderNotSent")


@pytest.mark.parametrize(
    ("error", "word", "stalls"),
    [
        (ErrorClass.OUT_OF_STOCK, "OutOfStock", False),
        (ErrorClass.RATE_LIMITED, "RateLimited", False),
        (ErrorClass.NO_CREDIT, "NoCredit", True),
        (ErrorClass.UNAUTHENTICATED, "CredentialsRefused", True),
        (ErrorClass.FORBIDDEN, "CredentialsRefused", True),
        (ErrorClass.BAD_REQUEST, "ProviderRefused", True),
    ],
)
def test_a_definite_refusal_closes_the_intent_and_says_why(error, word, stalls):
    memory = OWN_MEMORY.with_post_begun("n1").with_post_answered("n1", Failure(error, "The provider said no."), 1001.0)
    decision = decide(seen(a_cluster_resource(status={"createIntent": INTENT}), memory=memory, monotonic=1002.0))
    assert decision.status.create_intent is None
    assert reason(decision) == word
    assert is_true(decision.status.conditions, "Stalled") is stalls
    assert len(decision.events) == 1
    again = decide(
        seen(
            a_cluster_resource(status=decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)),
            memory=memory,
            monotonic=1003.0,
        )
    )
    assert again.status == decision.status
    assert again.events == ()
    assert again.actions == ()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"region": "mars-1"}, "RegionUnknown"),
        ({"gpuType": "B200_SXM"}, "GPUTypeUnavailable"),
        ({"driver": {"versionID": "nvidia-1"}}, "DriverUnknown"),
        ({"driver": {"cudaVersion": "1.0", "driverVersion": "2"}}, "DriverUnknown"),
    ],
)
def test_what_no_region_offers_is_refused_before_it_is_ordered(spec, expected):
    decision = decide(seen(a_cluster_resource(**spec)))
    assert reason(decision, "Stalled") == expected
    assert is_true(decision.status.conditions, "Stalled")
    assert decision.actions == ()


def test_nothing_is_bought_while_the_provider_does_not_say_what_it_offers():
    unread = replace(a_view(), regions=Unknown("Could not list the regions."))
    decision = decide(seen(view=unread))
    assert (reason(decision), decision.status.create_intent, decision.actions) == ("ProviderUnreachable", None, ())
    ordering = a_cluster_resource(status={"createIntent": INTENT})
    given_up = decide(seen(ordering, unread, memory=OWN_MEMORY))
    assert (given_up.status.create_intent, given_up.actions) == (None, ())
    unclear = decide(seen(ordering, unread, memory=OWN_MEMORY.with_post_begun("n1")))
    assert (unclear.status.create_intent.nonce, reason(unclear)) == ("n1", "LookingBeforeBuying")
    assert decide(seen(ordering, replace(unread, clusters=a_view(a_provider_cluster()).clusters))).status.cluster_id


def test_a_wrong_api_key_stalls_and_says_what_to_do():
    look = LookAtProvider(940.0)
    record = FailureRecord(1, MONOTONIC, Failure(ErrorClass.UNAUTHENTICATED, "The provider does not know the API key."))
    resource = a_cluster_resource(finalizer=False)
    decision = decide(seen(resource, ProviderView(), failures={look.identity: record}))
    assert reason(decision, "Stalled") == "CredentialsRefused"
    assert "API key" in find_condition(decision.status.conditions, "Stalled").message


def test_without_a_key_nothing_is_asked():
    decision = decide(seen(credential=NoCredential("CredentialsMissing", "There is no Secret 'key'.")))
    assert reason(decision, "Stalled") == "CredentialsMissing"
    assert decision.actions == ()


def test_the_credentials_secret_is_held_before_the_intent():
    resource = a_cluster_resource(credentialsRef={"name": "key"})
    held = only(decide(seen(resource)), SetFinalizer)
    assert (held.kind, held.name, held.present) == ("Secret", "key", True)
    assert isinstance(decide(seen(resource, credential_secret_held=True)).actions[0], HoldIntent)


# predecessors, restored objects, competing claims

PREDECESSOR = str(provider_name(installation_id="prod01", kind="GPUCluster", namespace="ml", name="train", uid="other"))
FOREIGN = str(provider_name(installation_id="staging", kind="GPUCluster", namespace="ml", name="train", uid="other"))


def test_a_predecessor_is_asked_about_before_a_second_cluster_is_bought():
    decision = decide(seen(view=a_view(a_provider_cluster("c-0", PREDECESSOR))))
    assert reason(decision, "Stalled") == "PredecessorFound"
    assert decision.actions == ()


def test_same_identity_takes_a_predecessor_over():
    resource = a_cluster_resource(adoptionPolicy="SameIdentity")
    assert decide(seen(resource, a_view(a_provider_cluster("c-0", PREDECESSOR)))).status.cluster_id == "c-0"


def test_same_identity_does_not_reach_into_another_installation():
    resource = a_cluster_resource(adoptionPolicy="SameIdentity")
    observation = seen(resource, a_view(a_provider_cluster("c-0", FOREIGN)))
    assert reason(decide(observation), "Stalled") == "PredecessorFound"
    moved = replace(INSTALLATION, previous_ids=("staging",))
    assert decide(replace(observation, around=circumstances(installation=moved))).status.cluster_id == "c-0"


def test_buy_new_leaves_a_predecessor_alone():
    resource = a_cluster_resource(adoptionPolicy="BuyNew")
    decision = decide(seen(resource, a_view(a_provider_cluster("c-0", PREDECESSOR))))
    only(decision, HoldIntent)


def test_a_restored_object_waits_for_the_users_word():
    resource = a_cluster_resource(annotations={NAME_ANNOTATION: PREDECESSOR})
    decision = decide(seen(resource))
    assert reason(decision, "Stalled") == "Restored"
    assert decision.actions == ()


def test_a_restored_object_that_buys_new_forgets_what_the_backup_said():
    resource = a_cluster_resource(
        annotations={NAME_ANNOTATION: PREDECESSOR}, adoptionPolicy="BuyNew", status=bought_status(clusterID="c-0")
    )
    assert decide(seen(resource)).status.cluster_id is None


def test_a_name_copied_from_another_resource_is_not_believed():
    copied = str(provider_name(installation_id="prod01", kind="GPUCluster", namespace="ml", name="else", uid="x"))
    decision = decide(seen(a_cluster_resource(annotations={NAME_ANNOTATION: copied})))
    assert only(decision, SetMetadata).annotations == ((NAME_ANNOTATION, str(NAME)),)
