"""A job whose bought cluster is gone: it says so, gives its GPUs back, waits for another, and never trains on paper."""

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    NOON,
    TEMPLATE,
    WELL,
    a_bought_cluster,
    a_job,
    after,
    an_observation,
    decide,
    running,
    settled,
    waiting_in_line,
    with_exits,
)

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.job_cluster import can_take_pods, closed_to_jobs
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.fine_tune_job_status import Restarts

SILENT = Unknown("the cluster's API server does not answer")


GONE = a_bought_cluster(provisioned="Gone")


def in_training(**changes):
    """All pods run on cluster c-1; then this."""
    seen = running(cluster=a_bought_cluster())
    return after(seen, decide(seen), **changes)


def reason(decision, kind="Ready"):
    return find_condition(decision.status.conditions, kind).reason


@pytest.mark.parametrize("provisioned", ["Gone", "ReservationEnded"])
def test_a_job_in_training_on_a_cluster_that_is_gone_gives_its_gpus_back_and_waits(provisioned):
    gone = a_bought_cluster(provisioned=provisioned)
    decision = decide(in_training(cluster=gone, workload=SILENT))
    assert (reason(decision), decision.status.admission, decision.status.pods) == ("Restarting", None, ())
    assert decision.status.restarts.infrastructure == 1
    assert "'c-1' is gone from the provider" in decision.events[0].message
    waits = settled(after(in_training(), decision, cluster=gone, workload=SILENT))
    assert find_condition(waits.status.conditions, "ClusterReady").reason == "ClusterLost"
    assert "Delete this resource" in find_condition(waits.status.conditions, "Ready").message
    assert (waits.status.state, is_true(waits.status.conditions, "Progressing")) == ("Waiting", False)


def test_it_does_not_believe_what_was_seen_of_the_pods_before_the_cluster_went():
    assert reason(decide(in_training(cluster=GONE))) == "Restarting"


@pytest.mark.parametrize("present", [None, "c-2"])
def test_the_next_cluster_of_the_resource_is_not_the_one_that_it_trained_on(present):
    decision = decide(in_training(cluster=a_bought_cluster(present), workload=Unknown("no kubeconfig yet")))
    assert reason(decision) == "Restarting"
    assert "'c-1'" in decision.status.conditions[0].message


def test_a_cluster_that_only_does_not_answer_keeps_its_job_and_nobody_claims_that_it_trains():
    decision = decide(in_training(workload=SILENT))
    assert decision.status.admission is not None
    assert reason(decision) == "ClusterUnreachable"
    assert "may go on" in find_condition(decision.status.conditions, "Ready").message


def test_a_cluster_whose_status_was_lost_with_a_restored_backup_is_not_taken_for_gone():
    restored = a_bought_cluster(None, observed=False)
    assert decide(in_training(cluster=restored, workload=SILENT)).status.admission is not None


def test_a_result_that_was_told_before_the_cluster_went_counts():
    seen = in_training(cluster=GONE)
    decision = decide(with_exits(seen, (0, "Success"), (0, "Success"), said=WELL))
    assert is_true(decision.status.conditions, "Succeeded")


def test_clusters_that_go_again_and_again_end_the_job():
    seen = in_training(cluster=GONE, workload=SILENT)
    spent = seen.job.model_copy(
        update={"status": seen.status.model_copy(update={"restarts": Restarts(infrastructure=100)})}
    )
    decision = decide(an_observation(spent, cluster=GONE, workload=SILENT))
    assert reason(decision, "Failed") == "RestartsExhausted"


@pytest.mark.parametrize("placement", [{}, {"placement": TEMPLATE}], ids=["named", "made for it"])
def test_a_resource_that_was_taken_away_under_a_job_is_asked_for_and_nothing_is_bought(placement):
    seen = running(a_job(placement), cluster=a_bought_cluster())
    decision = decide(after(seen, decide(seen), cluster=None, workload=Unknown("there is no GPUCluster")))
    assert reason(decision, "Stalled") == "ClusterNotFound"
    assert "delete the job" in find_condition(decision.status.conditions, "Ready").message
    assert (decision.actions, decision.status.state) == ((), "Waiting")
    assert decision.status.admission is not None


def test_a_waiting_job_says_that_its_cluster_is_gone_and_leaves_the_line():
    seen = waiting_in_line(cluster=a_bought_cluster())
    decision = decide(after(seen, decide(seen), cluster=GONE))
    assert reason(decision, "ClusterReady") == "ClusterLost"
    assert not can_take_pods(GONE)
    assert "is gone from the provider" in closed_to_jobs(GONE)


def test_a_job_can_be_deleted_although_its_cluster_is_gone():
    seen = in_training(cluster=GONE, workload=SILENT)
    deleted = seen.job.model_copy(
        update={"metadata": seen.job.metadata.model_copy(update={"deletion_timestamp": NOON})}
    )
    (action,) = decide(an_observation(deleted, cluster=GONE, workload=SILENT)).actions
    assert action.finalizers == ()
