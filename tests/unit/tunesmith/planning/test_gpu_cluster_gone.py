"""A GPUCluster's end: when it is lost, when it is given back, and when its resource may go."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    KUBECONFIG,
    NAME,
    NOW,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    decide_with_its_record,
    lets_go,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.bought import NoCredential
from tunesmith.planning.circumstances import FailureRecord, NotYet, Unknown
from tunesmith.planning.cluster_observation import JobUse
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.name_book import KeepName, Kept
from tunesmith.planning.orders import DeleteCluster
from tunesmith.planning.ownership import NAME_ANNOTATION
from tunesmith.planning.provider import Credential
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.conditions import find_condition

NO_ANSWER = Failure(ErrorClass.UNAVAILABLE, "The provider answered 503.")
SILENT = {LookAtProvider(0.0).identity: FailureRecord(1, 990.0, NO_ANSWER)}


# gone


def missing(monotonic, memory, failures=None, **view):
    return seen(
        a_cluster_resource(status=bought_status()),
        a_view(begun=monotonic, **view),
        memory=memory,
        monotonic=monotonic,
        failures=failures,
    )


def test_a_cluster_is_lost_only_after_two_looks_apart_in_time():
    first = PurchaseMemory(first_seen=940.0)
    assert only(decide(missing(1000.0, first)), LookAtProvider).cluster_id == "c-1"
    once = first.with_look("c-1", begun=1000.0, present=False)
    assert reason(decide(missing(1001.0, once, not_found={"c-1": 1000.0}))) == "ConfirmingAbsence"
    decision = decide(missing(1031.0, once, not_found={"c-1": 1030.5}))
    assert reason(decision, "Stalled") == "Gone"
    assert decision.actions == ()


def test_a_cluster_that_is_not_listed_and_cannot_be_asked_for_is_not_called_ready():
    decision = decide(missing(1000.0, PurchaseMemory(first_seen=940.0), SILENT))
    assert only(decision, LookAtProvider).cluster_id == "c-1"
    told = find_condition(decision.status.conditions, "Reconciling")
    assert (told.reason, NO_ANSWER.message in told.message) == ("ProviderUnreachable", True)
    once = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    again = decide(missing(1031.0, once, SILENT, not_found={"c-1": 1000.0}))
    assert reason(again, "Reconciling") == "ProviderUnreachable"
    assert only(again, LookAtProvider).not_before == 1030.0


def test_another_spec_of_a_lost_cluster_counts_as_looked_at_and_is_no_news():
    once = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    lost = missing(1031.0, once, not_found={"c-1": 1030.5})
    status = decide(lost).status
    edited = lost.resource.metadata.model_copy(update={"generation": 2})
    resource = lost.resource.model_copy(update={"status": status, "metadata": edited})
    decision = decide(replace(lost, resource=resource))
    assert (decision.status.observed_generation, reason(decision, "Stalled"), decision.events) == (2, "Gone", ())
    again = replace(lost, resource=resource.model_copy(update={"status": decision.status}))
    assert decide(again).status == decision.status


@pytest.mark.parametrize("told", [False, True], ids=["at once", "after it was called gone"])
def test_what_a_late_order_bought_besides_takes_the_place_of_what_is_lost(told):
    once = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    lost = missing(1031.0, once, not_found={"c-1": 1030.5})
    if told:
        lost = replace(lost, resource=lost.resource.model_copy(update={"status": decide(lost).status}))
    both = replace(lost, provider=a_view(a_provider_cluster("c-2"), begun=1031.0, not_found={"c-1": 1030.5}))
    decision = decide_with_its_record(both)
    assert (decision.status.cluster_id, reason(decision)) == (None, "DuplicateFound")
    named = both.resource.metadata.model_copy(
        update={"annotations": {NAME_ANNOTATION: str(replace(NAME, incarnation=2))}}
    )
    after = both.resource.model_copy(update={"status": decision.status, "metadata": named})
    assert decide(replace(both, resource=after)).status.cluster_id == "c-2"


def test_a_clean_list_under_another_projects_key_is_not_gone():
    resource = a_cluster_resource(status=bought_status())
    decision = decide(seen(resource, credential=Credential("key-2", None)))
    assert reason(decision, "Stalled") == "CredentialMismatch"
    assert decision.actions == ()


def test_a_new_key_that_shows_another_object_of_the_project_can_tell():
    other = a_provider_cluster("c-5", "other")
    decision = decide(seen(a_cluster_resource(status=bought_status()), a_view(other), credential=Credential("key-2")))
    only(decision, LookAtProvider)


# deleting


def test_nothing_ever_intended_one_clean_list_lets_it_go():
    decision = decide(seen(a_cluster_resource(deleting=True)))
    assert only(decision, SetMetadata).finalizers == ()
    unseen = decide(seen(a_cluster_resource(deleting=True), a_view(begun=930.0)))
    only(unseen, LookAtProvider)


def test_a_bought_cluster_is_given_back_and_awaited():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    assert only(decide(seen(resource, a_view(a_provider_cluster()))), DeleteCluster).cluster_id == "c-1"
    deleting = decide(seen(resource, a_view(a_provider_cluster(status="Deleting"))))
    assert (deleting.actions, reason(deleting)) == ((), "Deleting")


def test_it_goes_only_after_its_cluster_was_absent_twice():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    memory = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    once = decide(seen(resource, a_view(not_found={"c-1": 1000.0}, begun=1001.0), memory=memory, monotonic=1001.0))
    assert (once.actions, reason(once)) == ((), "ConfirmingAbsence")
    view = a_view(not_found={"c-1": 1031.0}, begun=1031.0)
    lets_go(decide(seen(resource, view, memory=memory, monotonic=1031.0)))


def test_a_provider_that_falls_silent_between_the_two_looks_is_told_and_asked_on():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    memory = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    view = a_view(not_found={"c-1": 1000.0}, begun=1001.0)
    decision = decide(seen(resource, view, memory=memory, monotonic=1031.0, failures=SILENT))
    assert (reason(decision, "Stalled"), only(decision, LookAtProvider).not_before) == ("AbsenceUnproven", 1030.0)
    assert "tunesmith.dev/abandon" in find_condition(decision.status.conditions, "Stalled").message


def test_a_new_key_that_shows_what_goes_proves_its_absence_later():
    resource, new = a_cluster_resource(deleting=True, status=bought_status()), Credential("key-2")
    going = decide(seen(resource, a_view(a_provider_cluster()), credential=new))
    assert going.status.credential_fingerprint == "key-2"
    resource = resource.model_copy(update={"status": going.status})
    memory = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    view = a_view(not_found={"c-1": 1031.0}, begun=1031.0)
    lets_go(decide(seen(resource, view, memory=memory, monotonic=1031.0, credential=new)))


def test_what_a_late_order_bought_besides_is_given_back_before_the_resource_goes():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    memory = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    view = a_view(a_provider_cluster("c-2"), not_found={"c-1": 1031.0}, begun=1031.0)
    first = seen(resource, view, memory=memory, monotonic=1031.0)
    decision = decide_with_its_record(first)
    assert (decision.status.cluster_id, decision.events[0].reason) == (None, "DuplicateFound")
    found = decide(replace(first, resource=resource.model_copy(update={"status": decision.status})))
    assert found.status.cluster_id == "c-2"
    deleted = decide(replace(first, resource=resource.model_copy(update={"status": found.status})))
    assert only(deleted, DeleteCluster).cluster_id == "c-2"


def test_retain_names_all_that_stays():
    resource = a_cluster_resource(deleting=True, status=bought_status(), deletionPolicy="Retain")
    decision = decide(seen(resource, a_view(a_provider_cluster(), a_provider_cluster("c-2"))))
    assert "c-2" in decision.events[0].message


def test_jobs_that_stay_keep_the_cluster():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    decision = decide(seen(resource, a_view(a_provider_cluster()), jobs=(JobUse("tune"),)))
    assert reason(decision) == "HeldByJobs"
    assert "'tune'" in find_condition(decision.status.conditions, "Ready").message
    assert decision.actions == ()


def test_an_operator_that_has_just_started_gives_jobs_that_save_their_time_all_the_same():
    saving = JobUse("tune", deleting_since=NOW - timedelta(seconds=5))
    observation = a_running_cluster(
        resource=a_cluster_resource(deleting=True, status=bought_status()), jobs=(saving,), nodes=NotYet("not looked")
    )
    decision = decide(observation)
    assert (reason(decision), decision.actions) == ("JobsSaving", ())
    dead = decide(replace(observation, nodes=Unknown("it does not answer")))
    assert only(dead, DeleteCluster).cluster_id == "c-1"


def test_retain_lets_go_and_tells_that_it_bills():
    resource = a_cluster_resource(deleting=True, status=bought_status(), deletionPolicy="Retain")
    decision = decide(seen(resource, a_view(a_provider_cluster())))
    lets_go(decision)
    assert KeepName(str(NAME), Kept.RETAINED) in decision.actions
    assert decision.events[0].reason == "Retained"


def test_an_unproven_absence_stalls_and_abandon_lets_go():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    decision = decide(seen(resource, credential=Credential("key-2")))
    assert reason(decision, "Stalled") == "AbsenceUnproven"
    resource = a_cluster_resource(deleting=True, status=bought_status(), annotations={"tunesmith.dev/abandon": "c-1"})
    decision = decide(seen(resource, credential=Credential("key-2")))
    lets_go(decision)
    assert KeepName(str(NAME), Kept.ABANDONED) in decision.actions
    assert decision.events[0].reason == "Abandoned"


def test_an_abandon_that_names_something_else_does_not_keep_a_cluster_that_bills():
    elsewhere = {"tunesmith.dev/abandon": "c-of-last-year"}
    resource = a_cluster_resource(deleting=True, status=bought_status(), annotations=elsewhere)
    assert only(decide(seen(resource, a_view(a_provider_cluster()))), DeleteCluster).cluster_id == "c-1"
    stands_still = decide(seen(resource, credential=Credential("key-2")))
    told = find_condition(stands_still.status.conditions, "Stalled")
    assert told.reason == "AbsenceUnproven"
    assert "to 'c-1' (it names something else now)" in told.message


def test_what_has_bought_nothing_and_has_no_key_to_prove_that_with_may_be_let_go_by_its_name():
    nobody = {"credential": NoCredential("CredentialsMissing", "There is no Secret 'key'.")}
    waits = {
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "OutOfStock",
                "message": ".",
                "lastTransitionTime": "2026-01-01T11:00:00Z",
            }
        ]
    }
    stuck = decide(seen(a_cluster_resource(deleting=True, status=waits), **nobody))
    told = find_condition(stuck.status.conditions, "Ready")
    assert (told.reason, stuck.actions) == ("AbsenceUnproven", ())
    assert f"'tunesmith.dev/abandon' to '{NAME}'" in told.message
    marks = {"tunesmith.dev/abandon": str(NAME)}
    decision = decide(seen(a_cluster_resource(deleting=True, status=waits, annotations=marks), **nobody))
    assert "tunesmith.dev/finalizer" not in only(decision, SetMetadata).finalizers
    assert decision.events[0].reason == "Abandoned"


def test_an_open_intent_is_settled_before_the_resource_goes():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    resource = a_cluster_resource(deleting=True, status={"createIntent": INTENT})
    early = decide(seen(resource, memory=memory, monotonic=1200.0))
    assert (reason(early), early.actions) == ("LookingBeforeBuying", ())
    late = decide(seen(resource, a_view(begun=1301.0), memory=memory, monotonic=1301.0))
    assert reason(late) == "ConfirmingAbsence"
    twice = memory.with_look(str(NAME), begun=1301.0, present=False)
    only(decide(seen(resource, a_view(begun=1331.0), memory=twice, monotonic=1331.0)), SetMetadata)


def test_a_provider_that_falls_silent_while_an_open_intent_settles_is_told_and_asked_on():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    resource = a_cluster_resource(deleting=True, status={"createIntent": INTENT})
    waiting = seen(resource, a_view(begun=1299.0), memory=memory, monotonic=1301.0)
    assert only(decide(waiting), LookAtProvider).not_before == 1300.0
    silent = replace(waiting, around=replace(waiting.around, failures=SILENT))
    decision = decide(silent)
    assert (reason(decision, "Stalled"), only(decision, LookAtProvider).not_before) == ("AbsenceUnproven", 1300.0)


def test_a_cluster_that_an_open_intent_bought_is_given_back():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    resource = a_cluster_resource(deleting=True, status={"createIntent": INTENT})
    decision = decide(seen(resource, a_view(a_provider_cluster()), memory=memory))
    assert decision.status.cluster_id == "c-1"


def test_secrets_never_show_in_what_is_printed():
    assert KUBECONFIG not in repr(a_running_cluster())
