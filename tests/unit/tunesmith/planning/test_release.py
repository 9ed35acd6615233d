"""Release is not delete: written first, given back with care, the resource stays, and what buys the cluster again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    KUBECONFIG,
    MONOTONIC,
    NAME,
    NOW,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    decide_with_its_record,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import DeleteObject, SetMetadata
from tunesmith.planning.circumstances import FailureRecord, Known, Unknown
from tunesmith.planning.cluster_observation import JobUse, StoredSecret
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.orders import BuyCluster, DeleteCluster
from tunesmith.planning.ownership import Claim
from tunesmith.planning.provider import Credential
from tunesmith.planning.purchase import HoldIntent, PurchaseMemory
from tunesmith.planning.release import ReleaseReason, release
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.timestamps import format_time

READY = {"firstReadyTime": "2026-01-01T11:30:00Z"}
NOTICED = MONOTONIC + 10.0
JOB = JobUse("tune", frozenset({"node-0"}))


def at(monotonic):
    return format_time(NOW + timedelta(seconds=monotonic - MONOTONIC))


def a_release(why="Idle", monotonic=MONOTONIC):
    return {"release": {"reason": why, "time": at(monotonic)}}


def going_back(why="Idle", *, monotonic=NOTICED, status=None, spec=None, **more):
    """A running cluster whose release was written at noon."""
    written = bought_status(**READY, **a_release(why), **(status or {}))
    resource = a_cluster_resource(status=written, annotations=more.pop("annotations", None), **(spec or {}))
    view = more.pop("view", a_view(a_provider_cluster(), begun=monotonic))
    return a_running_cluster(resource=resource, view=view, monotonic=monotonic, **more)


def given_back(why="Idle", *, monotonic=NOTICED, released_at=MONOTONIC, handled=None, annotations=None, **more):
    """A resource without a cluster."""
    spec, facts = more.pop("spec", {}), more
    status = {**a_release(why, released_at), "incarnation": 2, "lastHandledReacquireTime": handled}
    resource = a_cluster_resource(status=status, annotations={NAMED: SECOND, **(annotations or {})}, **spec)
    return seen(resource, a_view(begun=monotonic), monotonic=monotonic, **facts)


NAMED = "tunesmith.dev/provider-name"
SECOND = str(replace(NAME, incarnation=2))


# giving back


def test_a_release_stands_in_the_status_before_anything_is_touched():
    running = a_running_cluster(status=bought_status(**READY))
    decision = release(running, ReleaseReason.BUDGET, "The budget is spent.")
    assert decision.actions == ()
    assert (decision.status.release.reason, decision.status.release.time) == ("Budget", NOW)
    assert [note.reason for note in decision.events] == ["Releasing"]
    assert not is_true(decision.status.conditions, "Ready")


def test_asking_again_changes_nothing():
    decision = release(going_back("Budget"), ReleaseReason.BUDGET, "The budget is spent.")
    assert decision.status.release.time == NOW
    assert decision.events == ()


@pytest.mark.parametrize("word", ["", "UNSPECIFIED"])
def test_a_provider_that_does_not_say_how_a_cluster_is_paid_keeps_no_purchase_of_ours_from_its_release(word):
    view = a_view(a_provider_cluster(billing_type=word))
    assert release(a_running_cluster(status=bought_status(), view=view), ReleaseReason.IDLE, "It is idle.") is not None
    adopted = a_cluster_resource(status=bought_status(), adopt={"clusterID": "c-1"})
    assert release(a_running_cluster(resource=adopted, view=view), ReleaseReason.IDLE, "It is idle.") is None


@pytest.mark.parametrize(
    "prepaid",
    [
        {"resource": a_cluster_resource(status=bought_status(), billing={"type": "Reserved", "durationDays": 30})},
        {"status": bought_status(), "view": a_view(a_provider_cluster(billing_type="RESERVED"))},
        {"status": bought_status(), "view": a_view(a_provider_cluster(reserved_gpus=8))},
    ],
    ids=["by the spec", "by the provider", "in part"],
)
def test_prepaid_clusters_are_never_released(prepaid):
    assert release(a_running_cluster(**prepaid), ReleaseReason.BUDGET, "The budget is spent.") is None


def test_what_is_only_watched_or_protected_is_never_released():
    watched = a_cluster_resource(status=bought_status(), managementPolicy="Observe", adopt={"clusterID": "c-1"})
    protected = a_cluster_resource(status=bought_status(), annotations={"tunesmith.dev/deletion-protection": "enabled"})
    for resource in (watched, protected):
        assert release(a_running_cluster(resource=resource), ReleaseReason.IDLE, "It is idle.") is None


def test_nothing_is_deleted_for_a_moment_so_that_a_job_that_was_just_admitted_is_seen():
    decision = decide(going_back(monotonic=MONOTONIC + 4))
    assert decision.actions == ()
    assert decision.look_again_seconds == 6


@pytest.mark.parametrize("why", ["Idle", "Schedule"])
def test_a_cluster_is_never_taken_from_under_an_admitted_job(why):
    decision = decide(going_back(why, jobs=(JOB,)))
    assert decision.status.release is None
    assert [note.reason for note in decision.events] == ["ReleaseWithdrawn"]
    assert "'tune'" in decision.events[0].message


@pytest.mark.parametrize(
    "use",
    [
        {"wanting_jobs": Known(frozenset({"tune"}), 1.0)},
        {"gpu_pods": Known(frozenset({"notebooks/alice"}), 1.0)},
        {"annotations": {"tunesmith.dev/keep-alive-until": "2026-01-02T00:00:00Z"}},
        {"annotations": {"tunesmith.dev/reacquire-requested-at": "2026-01-01T12:00:05Z"}},
    ],
    ids=["job", "pod", "keep-alive", "wish"],
)
def test_an_idle_cluster_that_is_wanted_after_all_is_kept_as_long_as_nothing_is_deleted(use):
    decision = decide(going_back(**use))
    assert decision.status.release is None
    assert decision.actions == ()


@pytest.mark.parametrize("why", ["Expired", "Budget"])
def test_jobs_save_before_a_cluster_goes_that_has_expired_or_spent_its_budget(why):
    saving = decide(going_back(why, jobs=(JOB,)))
    assert (reason(saving), saving.actions) == ("JobsSaving", ())
    assert saving.look_again_seconds <= 180
    assert only(decide(going_back(why, jobs=(JOB,), monotonic=NOTICED + 180)), DeleteCluster).cluster_id == "c-1"
    assert only(decide(going_back(why)), DeleteCluster).cluster_id == "c-1"


def test_saving_is_not_waited_for_when_the_clusters_api_is_dead():
    only(decide(going_back("Expired", jobs=(JOB,), nodes=Unknown("dead"))), DeleteCluster)


def test_once_deleting_has_begun_nothing_takes_it_back():
    begun = decide(going_back())
    assert reason(begun, "Provisioned") == "Deleting"
    again = going_back(jobs=(JOB,), monotonic=NOTICED + 120)
    again = replace(again, resource=again.resource.model_copy(update={"status": begun.status}))
    decision = decide(again)
    only(decision, DeleteCluster)
    assert decision.status.release is not None


def test_delete_is_sent_once_and_watched():
    sent = PurchaseMemory(first_seen=940.0).with_delete_sent(NOTICED)
    waiting = replace(going_back(monotonic=NOTICED + 5), memory=sent)
    assert decide(waiting).actions == ()
    deleting = a_view(a_provider_cluster(status="Deleting"), begun=NOTICED + 5)
    assert decide(replace(waiting, provider=deleting)).actions == ()


def absent(monotonic, memory, **more):
    return replace(
        going_back(
            monotonic=monotonic,
            view=a_view(begun=monotonic, not_found={"c-1": monotonic}),
            nodes=Unknown("gone"),
            **more,
        ),
        memory=memory,
    )


ONCE = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1100.0, present=False)
NO_SECRET = {"kubeconfig_secret": Known(None, 1.0)}


def test_absence_is_believed_only_when_it_was_seen_twice():
    first = decide(absent(1101.0, ONCE))
    assert reason(first) == "ConfirmingAbsence"
    assert first.status.cluster_id == "c-1"
    twice = decide_with_its_record(absent(1131.0, ONCE, **NO_SECRET))
    assert reason(twice) == "Released"
    assert twice.status.cluster_id is None


def test_a_released_resource_is_at_rest_and_holds_nothing_of_its_cluster():
    decision = decide_with_its_record(absent(1131.0, ONCE, **NO_SECRET))
    status, conditions = decision.status, decision.status.conditions
    assert (status.provider_name, status.first_ready_time, status.idle_since, status.volumes) == (None, None, None, ())
    assert (status.nodes, status.gpus, status.provider_status) == (None, None, None)
    assert (status.incarnation, status.cost.hourly_usd) == (2, 0)
    assert status.cost.uncertain_usd > 0  # what may have been spent stays
    for kind in ("Ready", "Reconciling", "Stalled", "KubeconfigAvailable", "Provisioned"):
        assert not is_true(conditions, kind)
    assert [note.reason for note in decision.events] == ["Deleted"]


def test_the_kubeconfig_secret_goes_with_the_cluster():
    mine = Known(StoredSecret(frozenset({UID}), KUBECONFIG, "c-1", uid="s-1"), 1.0)
    action = only(decide(absent(1131.0, ONCE, kubeconfig_secret=mine)), DeleteObject)
    assert (action.kind, action.name, action.uid) == ("Secret", "train-kubeconfig", "s-1")
    foreign = Known(StoredSecret(frozenset({"else"}), KUBECONFIG), 1.0)
    assert decide_with_its_record(absent(1131.0, ONCE, kubeconfig_secret=foreign)).actions == ()
    unread = decide(absent(1131.0, ONCE, kubeconfig_secret=Unknown("no answer")))
    assert unread.status.cluster_id == "c-1"  # it is tried again while it is known whose it was


def test_another_accounts_key_proves_no_absence():
    decision = decide(replace(absent(1131.0, ONCE), credential=Credential("key-2")))
    assert reason(decision, "Stalled") == "AbsenceUnproven"
    assert decision.status.cluster_id == "c-1"


def test_a_release_goes_on_whatever_else_is_wrong_with_the_resource():
    unreadable = {"schedule": {"start": "x x x x x", "stop": "0 25 * * *"}}
    only(decide(going_back(spec=unreadable)), DeleteCluster)


def test_an_open_order_is_settled_before_the_release_is_over():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    resource = a_cluster_resource(status={"createIntent": INTENT, **a_release("Schedule")})
    early = decide(seen(resource, memory=memory, monotonic=1200.0))
    assert (reason(early), early.actions) == ("LookingBeforeBuying", ())
    found = decide(seen(resource, a_view(a_provider_cluster(), begun=1200.0), memory=memory, monotonic=1200.0))
    assert (found.status.cluster_id, found.status.release.reason) == ("c-1", "Schedule")


def test_a_cluster_that_shows_up_late_is_taken_and_given_back():
    late = a_view(a_provider_cluster(), begun=NOTICED)
    decision = decide(replace(given_back(), provider=late))
    assert (decision.status.cluster_id, decision.status.release.reason) == ("c-1", "Idle")


def test_what_belongs_to_an_older_claimant_is_not_given_back():
    older = Claim("ml", "other", "0-older", NOW - timedelta(days=1))
    taken_over = going_back(other_claims=(older,), status={"providerName": "somebody-elses"})
    assert not any(isinstance(a, DeleteCluster) for a in decide(taken_over).actions)


@pytest.mark.parametrize("deleting", [True, False], ids=["deletion", "release"])
def test_a_provider_that_refuses_or_ignores_the_delete_is_told_and_asked_on(deleting):
    sent = "2026-01-01T12:00:30Z"
    told = [
        {"type": "Provisioned", "status": "False", "reason": "Deleting", "message": ".", "lastTransitionTime": sent}
    ]
    status = bought_status(conditions=told, **({} if deleting else a_release()))
    resource = a_cluster_resource(status=status, deleting=deleting)

    def one(monotonic, **more):
        return seen(resource, a_view(a_provider_cluster(), begun=monotonic), monotonic=monotonic, **more)

    assert reason(decide(one(MONOTONIC + 3600)), "Stalled") == "Deleting"
    late = decide(one(MONOTONIC + 3700))
    assert reason(late, "Stalled") == "NotGivenBack"
    only(late, DeleteCluster)
    failure = Failure(ErrorClass.BAD_REQUEST, "The provider refused.")
    refused = one(MONOTONIC + 60)
    record = {DeleteCluster("c-1").identity: FailureRecord(5, MONOTONIC, failure)}
    refused = replace(refused, around=replace(refused.around, failures=record))
    assert reason(decide(refused), "Stalled") == "NotGivenBack"


# at rest


@pytest.mark.parametrize("why", ["Idle", "Expired", "Schedule", "Budget"])
def test_a_released_resource_waits_and_says_what_buys_it_again(why):
    decision = decide(given_back(why, spec={"schedule": {"start": "0 8 * * *", "stop": "30 12 * * *"}}))
    assert reason(decision) == "Released"
    assert "tunesmith.dev/reacquire-requested-at" in find_condition(decision.status.conditions, "Ready").message
    assert not any(isinstance(action, BuyCluster | HoldIntent) for action in decision.actions)


def test_a_decision_at_rest_changes_nothing_more():
    first = given_back(spec={"schedule": {"start": "0 8 * * *", "stop": "0 20 * * *"}})
    decision = decide(first)
    resting = replace(first, resource=first.resource.model_copy(update={"status": decision.status}))
    assert decide(resting).status == decision.status
    assert decide(resting).actions == ()


@pytest.mark.parametrize("why", ["Idle", "Expired", "Schedule", "Budget"])
def test_the_annotation_buys_again_whatever_the_reason_was_and_is_echoed(why):
    decision = decide(given_back(why, annotations={REACQUIRE: at(NOTICED)}))
    assert (decision.status.release, decision.status.last_handled_reacquire_time) == (None, at(NOTICED))
    assert [note.reason for note in decision.events] == ["Reacquired"]


REACQUIRE = "tunesmith.dev/reacquire-requested-at"


@pytest.mark.parametrize("wish", ["now", at(NOTICED + 3600)], ids=["no time", "a time to come"])
def test_a_wish_that_is_no_time_or_not_yet_waits_and_says_so(wish):
    decision = decide(given_back(annotations={REACQUIRE: wish}))
    assert decision.status.release is not None
    assert wish in find_condition(decision.status.conditions, "Ready").message


def test_a_wish_that_was_answered_is_not_answered_again():
    assert decide(given_back(annotations={REACQUIRE: at(1000)}, handled=at(1000))).status.release is not None


def test_a_wish_on_a_living_cluster_is_answered_at_once_so_that_it_does_not_undo_the_next_release():
    resource = a_cluster_resource(status=bought_status(**READY), annotations={REACQUIRE: at(990)})
    assert decide(a_running_cluster(resource=resource)).status.last_handled_reacquire_time == at(990)


WAITING = {"waiting_jobs": Known(frozenset({"tune"}), 1.0)}
ON_WAITING = {"idle": {"deleteAfterSeconds": 60, "reacquire": "WhenJobWaits"}}


@pytest.mark.parametrize(
    ("why", "spec", "facts", "bought"),
    [
        ("Idle", ON_WAITING, WAITING, True),
        ("Idle", ON_WAITING, {}, False),
        ("Idle", {"idle": {"deleteAfterSeconds": 60}}, WAITING, False),
        ("Expired", ON_WAITING, WAITING, False),
        ("Budget", ON_WAITING, WAITING, False),
    ],
)
def test_a_waiting_job_buys_again_only_after_idleness_and_when_asked_to(why, spec, facts, bought):
    assert (decide(given_back(why, spec=spec, **facts)).status.release is None) is bought


HOURS = {"schedule": {"start": "0 8 * * *", "stop": "0 20 * * *"}}
MORNING = MONOTONIC + 20 * 3600 + 60  # 08:01 of the next day


@pytest.mark.parametrize(("why", "bought"), [("Idle", True), ("Schedule", True), ("Expired", False), ("Budget", False)])
def test_the_schedule_buys_again_at_the_next_start_but_not_what_expired_or_overspent(why, bought):
    assert decide(given_back(why, spec=HOURS)).status.release is not None  # the start of today was before
    assert (decide(given_back(why, spec=HOURS, monotonic=MORNING)).status.release is None) is bought


def test_without_its_schedule_a_cluster_is_bought_again():
    assert decide(given_back("Schedule")).status.release is None


def test_a_job_at_night_does_not_open_the_hours():
    night = MONOTONIC + 10 * 3600
    asleep = given_back("Schedule", spec={**HOURS, **ON_WAITING}, monotonic=night, released_at=night - 3600, **WAITING)
    assert decide(asleep).status.release is not None


def test_the_name_of_the_next_incarnation_is_annotated_before_its_intent():
    resting = given_back()
    before = replace(resting, resource=a_cluster_resource(status={**a_release(), "incarnation": 2}))
    assert dict(only(decide(before), SetMetadata).annotations) == {NAMED: SECOND}
    again = a_cluster_resource(status={"incarnation": 2}, annotations={NAMED: SECOND})
    decision = decide(seen(again))
    assert decision.status.create_intent.name == SECOND


def test_a_new_purchase_forgets_the_delete_of_the_one_before():
    memory = PurchaseMemory(first_seen=1.0).with_delete_sent(5.0).with_intent_written("n", decided=6.0, written=6.0)
    assert memory.with_post_begun("n").with_post_answered("n", "c-2", 7.0).delete_sent is None
