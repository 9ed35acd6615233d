"""The ends that a spec sets: expiry, office hours, and what a cluster that vanished becomes."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    KUBECONFIG,
    NAME,
    NOW,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    decide_with_its_record,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_observation import JobUse, NamedVolume, StoredSecret
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.provider import Credential
from tunesmith.planning.purchase import HoldIntent, PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.timestamps import format_time

READY = {"firstReadyTime": "2026-01-01T11:30:00Z"}  # the builders' clock says noon
JOB = JobUse("tune", frozenset({"node-0"}))
BY_DAY = {"schedule": {"start": "0 8 * * *", "stop": "0 20 * * *"}}
BY_NIGHT = {"schedule": {"start": "0 20 * * *", "stop": "0 8 * * *"}}
WISH = "tunesmith.dev/reacquire-requested-at"


def running(*, spec=None, annotations=None, status=None, **more):
    resource = a_cluster_resource(
        status=bought_status(**{**READY, **(status or {})}), annotations=annotations, **(spec or {})
    )
    return a_running_cluster(resource=resource, **more)


# expiry


@pytest.mark.parametrize(("seconds", "is_over"), [(1801, False), (1800, True), (60, True)])
def test_expiry_counts_from_the_first_ready_of_this_incarnation(seconds, is_over):
    decision = decide(running(spec={"expireAfterSeconds": seconds}))
    assert (decision.status.release is not None) is is_over


def test_a_cluster_that_was_never_ready_does_not_expire():
    decision = decide(running(spec={"expireAfterSeconds": 1}, status={"firstReadyTime": None}, nodes=Known((), 1.0)))
    assert decision.status.release is None


def test_expiry_is_looked_at_in_time_and_does_not_wait_for_jobs_to_end():
    assert decide(running(spec={"expireAfterSeconds": 1807})).look_again_seconds <= 7
    assert decide(running(spec={"expireAfterSeconds": 60}, jobs=(JOB,))).status.release.reason == "Expired"


def test_a_cluster_that_the_provider_has_stopped_expires_all_the_same():
    view = a_view(a_provider_cluster(status="OnDemandComputePaused"))
    assert decide(running(spec={"expireAfterSeconds": 60}, view=view)).status.release.reason == "Expired"


# office hours


def test_a_cluster_is_bought_within_its_hours_and_followed_as_any_other():
    assert decide(seen(a_cluster_resource(**BY_DAY))).status.create_intent is not None
    assert reason(decide(running(spec=BY_DAY))) == "InOrder"


def test_a_cluster_that_is_created_outside_its_hours_waits_for_them():
    decision = decide(seen(a_cluster_resource(**BY_NIGHT)))
    assert reason(decision) == "OutsideSchedule"
    assert "2026-01-01T20:00:00Z" in find_condition(decision.status.conditions, "Ready").message
    for kind in ("Ready", "Reconciling", "Stalled"):
        assert not is_true(decision.status.conditions, kind)
    assert decision.actions == ()
    assert decision.look_again_seconds is not None


def test_the_user_may_have_it_outside_its_hours_until_they_end_again():
    wish = {WISH: "2026-01-01T11:59:00Z"}  # the hours of the night ended at eight
    decision = decide(seen(a_cluster_resource(annotations=wish, **BY_NIGHT)))
    assert any(isinstance(action, HoldIntent) for action in decision.actions)
    handled = {"lastHandledReacquireTime": wish[WISH]}
    assert reason(decide(running(spec=BY_NIGHT, status=handled))) == "InOrder"
    before = {"lastHandledReacquireTime": "2026-01-01T07:59:00Z"}
    assert decide(running(spec=BY_NIGHT, status=before)).status.release.reason == "Schedule"


def test_it_is_released_when_its_hours_end():
    decision = decide(running(spec=BY_NIGHT))
    assert decision.status.release.reason == "Schedule"
    assert "2026-01-01T08:00:00Z" in decision.events[0].message


def test_it_is_never_stopped_under_an_admitted_job_and_begins_no_other():
    decision = decide(running(spec=BY_NIGHT, jobs=(JOB,)))
    assert decision.status.release is None
    assert reason(decision) == "HoursOver"
    assert "'tune'" in find_condition(decision.status.conditions, "Ready").message


def test_an_order_that_is_open_when_the_hours_end_is_taken_back():
    intent = {"createIntent": {"name": "x", "nonce": "n1", "startedTime": "2026-01-01T07:59:00Z"}}
    assert decide(seen(a_cluster_resource(status=intent, **BY_NIGHT))).status.release.reason == "Schedule"


@pytest.mark.parametrize(
    "schedule",
    [
        {"start": "0 25 * * *", "stop": "0 8 * * *"},
        {"start": "0 7 * * *", "stop": "0 8 * * *", "timeZone": "Mars/Base"},
    ],
    ids=["cron line", "time zone"],
)
def test_a_schedule_that_cannot_be_read_buys_nothing_and_stops_nothing(schedule):
    decision = decide(seen(a_cluster_resource(schedule=schedule)))
    assert (reason(decision, "Stalled"), decision.actions) == ("ScheduleInvalid", ())
    decision = decide(running(spec={"schedule": schedule}))
    assert reason(decision, "Stalled") == "ScheduleInvalid"
    assert decision.status.release is None


def test_a_cluster_that_waited_for_its_hours_unsays_it_so_that_its_volume_elects_it():
    volume = NamedVolume("data", (), 1)
    waited = decide(seen(a_cluster_resource(volumeRef={"name": "data"}, **BY_NIGHT), volume=volume))
    in_hours = a_cluster_resource(volumeRef={"name": "data"}, **BY_DAY).model_copy(update={"status": waited.status})
    decision = decide(seen(in_hours, volume=volume))
    assert reason(decision) == "WaitingForVolume"


# vanished


ONCE = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)


def vanished(policy, *, memory=ONCE, monotonic=1031.0, status=None, **more):
    spec = {"recreatePolicy": policy, **more.pop("spec", {})}
    resource = a_cluster_resource(status=bought_status(**{**READY, **(status or {})}), **spec)
    view = a_view(begun=monotonic, not_found={"c-1": monotonic - 0.5})
    return seen(resource, view, memory=memory, monotonic=monotonic, **more)


def test_a_vanished_cluster_is_news_and_not_a_repair():
    decision = decide(vanished("Never"))
    assert (reason(decision, "Stalled"), decision.status.cluster_id) == ("Gone", "c-1")
    assert [note.reason for note in decision.events] == ["Gone"]


def test_when_gone_buys_the_next_incarnation_but_only_after_the_rules_of_absence():
    first = decide(vanished("WhenGone", memory=PurchaseMemory(first_seen=940.0), monotonic=1000.0))
    assert first.status.cluster_id == "c-1"
    decision = decide_with_its_record(vanished("WhenGone"))
    assert (decision.status.cluster_id, decision.status.incarnation) == (None, 2)
    assert [note.reason for note in decision.events] == ["Recreated"]
    resource = a_cluster_resource(recreatePolicy="WhenGone").model_copy(update={"status": decision.status})
    only_named = decide(seen(resource, a_view(begun=1040.0), monotonic=1040.0))
    assert dict(only_named.actions[0].annotations)["tunesmith.dev/provider-name"].endswith("-2")


def test_what_a_vanished_cluster_left_here_goes_first():
    mine = Known(StoredSecret(frozenset({UID}), KUBECONFIG, "c-1", uid="s-1"), 1.0)
    assert only(decide(vanished("WhenGone", kubeconfig_secret=mine)), DeleteObject).kind == "Secret"


def vanished_again(before, ready=None):
    status = {"vanished": before, "firstReadyTime": None if ready is None else format_time(NOW - ready)}
    return decide_with_its_record(vanished("WhenGone", status=status)).status


@pytest.mark.parametrize(
    ("before", "ready", "count", "pause"),
    [
        (None, None, 1, None),
        (1, timedelta(minutes=59), 2, 60),
        (2, None, 3, 120),
        (5, None, 6, 960),
        (40, None, 41, 3600),
        (40, timedelta(hours=1), 1, None),
    ],
    ids=str,
)
def test_the_pause_grows_with_every_cluster_that_vanishes_and_ends_with_one_that_was_ready_for_an_hour(
    before, ready, count, pause
):
    status = vanished_again(before, ready)
    assert status.vanished == count
    assert status.recreate_time == (
        None if pause is None else NOW + timedelta(seconds=31 + pause)
    )  # it was seen 31 s after noon


def test_nothing_is_bought_before_the_pause_is_over_and_the_message_tells_when():
    status = vanished_again(2)
    named = {"tunesmith.dev/provider-name": str(NAME)[:-1] + "2"}
    resource = a_cluster_resource(recreatePolicy="WhenGone", annotations=named).model_copy(update={"status": status})
    waiting = decide(seen(resource, a_view(begun=1040.0), monotonic=1040.0))
    assert (reason(waiting), reason(waiting, "Provisioned")) == ("KeepsVanishing", "KeepsVanishing")
    assert waiting.status.create_intent is None
    assert format_time(status.recreate_time) in find_condition(waiting.status.conditions, "Ready").message
    assert [note.reason for note in waiting.events] == ["KeepsVanishing"]
    told = resource.model_copy(update={"status": waiting.status})
    again = decide(seen(told, a_view(begun=1040.0), monotonic=1040.0))
    assert (again.events, again.status) == ((), waiting.status)
    over = replace(circumstances(1160.0), now=status.recreate_time)
    bought = decide(replace(seen(told, a_view(begun=1159.0), monotonic=1160.0), around=over))
    assert bought.status.create_intent is not None


def test_a_cluster_that_was_ready_for_an_hour_ends_the_count():
    ready = {"firstReadyTime": format_time(NOW - timedelta(hours=1)), "vanished": 3}
    assert decide(running(status=ready)).status.vanished is None


def test_a_user_who_sets_when_gone_later_gets_another_cluster():
    told = decide(vanished("Never"))
    resource = a_cluster_resource(recreatePolicy="WhenGone").model_copy(update={"status": told.status})
    view = a_view(begun=1100.0, not_found={"c-1": 1100.0})
    observation = seen(resource, view, memory=ONCE, monotonic=1100.0)
    assert decide_with_its_record(observation).status.cluster_id is None


def test_another_prepayment_is_for_somebody_to_decide():
    prepaid = {"billing": {"type": "Reserved", "durationDays": 30}}
    observation = vanished("WhenGone", spec=prepaid)
    assert decide(observation).status.cluster_id == "c-1"


def test_an_answer_from_another_account_recreates_nothing():
    decision = decide(replace(vanished("WhenGone"), credential=Credential("key-2")))
    assert reason(decision, "Stalled") == "CredentialMismatch"
    assert decision.status.cluster_id == "c-1"


def test_a_cluster_that_shows_again_is_kept():
    observation = vanished("WhenGone")
    decision = decide(replace(observation, provider=a_view(a_provider_cluster(), begun=1031.0)))
    assert decision.status.cluster_id == "c-1"
    assert not any(isinstance(action, LookAtProvider) for action in decision.actions)
