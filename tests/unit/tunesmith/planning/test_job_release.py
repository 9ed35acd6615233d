"""A job and a GPUCluster that is given back: it waits and says so, or saves first; and it goes on on the next one."""

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    NOON,
    TEMPLATE,
    WELL,
    a_cluster,
    a_job,
    after,
    an_observation,
    decide,
    running,
    settled,
    the_batch_job,
    the_pods,
    waiting_in_line,
    with_exits,
    with_workload,
)

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.job_cluster import can_take_pods, closed_to_jobs
from tunesmith.planning.neighbours import waiting_jobs, wanting_jobs
from tunesmith.resources.conditions import Condition, find_condition
from tunesmith.resources.gpu_cluster_status import Release


def a_released_cluster(why="Idle", *, gone=True):
    """The builders' cluster, given back or on its way."""
    cluster = a_cluster()
    ready = Condition(type="Ready", status="False", reason="Released", message="It waits.", last_transition_time=NOON)
    status = cluster.status.model_copy(
        update={
            "release": Release(reason=why, time=NOON),
            "conditions": (*cluster.status.conditions, ready),
            "cluster_id": None if gone else "c-1",
        }
    )
    return cluster.model_copy(update={"status": status})


def condition(decision, kind):
    return find_condition(decision.status.conditions, kind)


def raw_of(seen):
    return seen.job.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_a_waiting_job_says_that_its_cluster_was_given_back_and_leaves_the_line():
    decision = decide(after(waiting_in_line(), decide(waiting_in_line()), cluster=a_released_cluster()))
    assert condition(decision, "ClusterReady").reason == "ClusterReleased"
    assert "(Idle)" in condition(decision, "ClusterReady").message
    assert decision.actions == ()


def test_a_released_cluster_begins_no_jobs():
    assert closed_to_jobs(a_cluster()) is None
    assert can_take_pods(a_cluster())
    for gone in (True, False):
        assert not can_take_pods(a_released_cluster(gone=gone))


@pytest.mark.parametrize("why", ["Expired", "Budget"])
def test_a_running_job_saves_before_a_cluster_goes_that_has_expired(why):
    seen = running()
    saving = decide(after(seen, decide(seen), cluster=a_released_cluster(why, gone=False)))
    assert condition(saving, "Ready").reason == "Saving"
    assert [action.kind for action in saving.actions] == ["Job"]
    assert isinstance(saving.actions[0], DeleteObject)
    ended = with_workload(after(seen, saving, cluster=a_released_cluster(why, gone=False)))
    decision = decide(ended)
    assert decision.status.admission is None
    assert condition(decision, "ClusterReady").reason == "ClusterReleased"


def test_stopping_for_a_release_counts_as_no_restart():
    seen = running()
    gone = with_workload(after(seen, decide(seen), cluster=a_released_cluster("Expired", gone=False)))
    decision = decide(gone)
    assert decision.status.restarts is None
    assert decision.status.blamed_nodes == ()


@pytest.mark.parametrize("why", ["Idle", "Schedule"])
def test_a_job_that_was_admitted_meanwhile_goes_on_because_the_cluster_keeps_itself_for_it(why):
    seen = running()
    decision = decide(after(seen, decide(seen), cluster=a_released_cluster(why, gone=False)))
    assert condition(decision, "Ready").reason == "Training"


@pytest.mark.parametrize("workload", [Unknown("nobody answers"), None], ids=["dead", "empty"])
def test_a_job_whose_cluster_is_gone_gives_its_admission_back_and_waits(workload):
    seen = running()
    changes = {} if workload is None else {"workload": workload}
    decision = decide(after(seen, decide(seen), cluster=a_released_cluster("Budget"), **changes))
    assert decision.status.admission is None
    rest = settled(after(seen, decision, cluster=a_released_cluster("Budget"), workload=Unknown("no kubeconfig")))
    assert find_condition(rest.status.conditions, "ClusterReady").reason == "ClusterReleased"


def test_a_job_that_has_just_succeeded_is_judged_by_its_own_end():
    seen = running()
    done = with_exits(seen, (0, "Success"), (0, "Success"), said=WELL)
    decision = decide(
        after(done, decide(seen), cluster=a_released_cluster("Expired", gone=False), workload=done.workload)
    )
    assert condition(decision, "Succeeded").status == "True"


def test_a_job_that_is_deleted_lets_go_when_its_cluster_was_given_back():
    job = a_job(deletionTimestamp="2025-11-08T12:00:00Z", finalizers=["tunesmith.dev/finalizer"])
    seen = running()
    deleted = job.model_copy(update={"status": seen.status})
    facts = {"cluster": a_released_cluster(), "workload": Unknown("no kubeconfig")}
    decision = decide(an_observation(deleted, **facts))
    assert decision.actions[-1].finalizers == ()


# what the cluster reads of its jobs


def waiting_for_the_released():
    seen = waiting_in_line()
    return settled(after(seen, decide(seen), cluster=a_released_cluster()))


def test_a_job_that_waits_for_a_released_cluster_is_known_to_it():
    raw = raw_of(waiting_for_the_released())
    assert waiting_jobs([raw], "gpus", 2) == {"tune"}
    assert waiting_jobs([raw], "other", 2) == frozenset()


def test_a_job_that_would_not_fit_buys_no_cluster():
    assert waiting_jobs([raw_of(waiting_for_the_released())], "gpus", 1) == frozenset()


def test_a_job_that_waits_for_something_else_buys_no_cluster():
    assert waiting_jobs([raw_of(waiting_in_line())], "gpus", 3) == frozenset()


@pytest.mark.parametrize(
    ("change", "wants"),
    [
        ({}, True),
        ({"metadata": {"deletionTimestamp": "2025-11-08T12:00:00Z"}}, False),
        ({"metadata": {"annotations": {"tunesmith.dev/paused": "true"}}}, False),
        ({"spec": {"dryRun": True}}, False),
        ({"spec": {"suspend": True}}, False),
        ({"status": {"conditions": [{"type": "Stalled", "status": "True"}]}}, False),
        ({"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}}, False),
        ({"status": {"conditions": [{"type": "Stalled", "status": "False"}]}}, True),
        ({"status": {}}, True),
    ],
)
def test_a_job_in_any_stage_uses_its_cluster_unless_it_cannot_go_on_by_itself(change, wants):
    raw = raw_of(waiting_in_line())
    raw = {**raw, **{key: {**raw[key], **value} for key, value in change.items()}}
    assert (wanting_jobs([raw], "gpus") == {"tune"}) is wants


def test_a_job_with_a_cluster_of_its_own_uses_that_one():
    raw = {**raw_of(an_observation(a_job({"placement": TEMPLATE}))), "status": {"clusterName": "tune-0f9d2c1e"}}
    assert wanting_jobs([raw], "tune-0f9d2c1e") == {"tune"}


def test_the_pods_of_an_attempt_are_still_there_while_they_save():
    seen = running()
    saving = with_workload(
        after(seen, decide(seen), cluster=a_released_cluster("Expired", gone=False)), pods=the_pods(seen, deleting=True)
    )
    assert decide(saving).status.admission is not None
    assert the_batch_job(seen).uid == "job-1"
