"""How attempts end: by the trainer's own words, by exit codes, by their nodes; never by exit 0 alone."""

import json

import pytest

from tunesmith.planning.attempt_end import Broke, Succeeded, Workload, end_of
from tunesmith.planning.contract import Retry
from tunesmith.planning.kube_facts import ATTEMPT_LABEL, JobFact, NodeFact, PodFact, Termination

NODES = (NodeFact("n0", gpus=8), NodeFact("n1", gpus=8))
SHA = "a" * 64


def a_pod(index: int, exit_code: int | None = None, message: str = "", **changes: object) -> PodFact:
    facts: dict[str, object] = {
        "namespace": "tunesmith-jobs",
        "name": f"job-{index}",
        "node": f"n{index}",
        "phase": "Running" if exit_code is None else "Succeeded" if exit_code == 0 else "Failed",
        "labels": {ATTEMPT_LABEL: "1"},
        "index": index,
        "termination": None if exit_code is None else Termination(exit_code, "", message),
    }
    return PodFact(**{**facts, **changes})


def the_end(*pods: PodFact, nodes=NODES, **job: object) -> Succeeded | Broke | None:
    batch_job = JobFact("tunesmith-jobs", "job", "u", labels={ATTEMPT_LABEL: "1"}, **job)
    return end_of(Workload((batch_job,), pods, nodes), 1)


def termination(error_class: str, step: int = 0, total: int | None = None, **more: object) -> str:
    said = {"tunesmith": "termination/v1", "errorClass": error_class, "step": step, "message": "", **more}
    return json.dumps(said if total is None else {**said, "totalSteps": total})


WELL = termination("Success", 60, 60, resultSHA256=SHA, path="/storage/out/u-a1")


def test_success_is_a_step_that_equals_the_total_and_a_published_result():
    assert isinstance(the_end(a_pod(0, 0, WELL), a_pod(1, 0)), Succeeded)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "not json",
        termination("Success", 59, 60, resultSHA256=SHA, path="/storage/out"),
        termination("Success", 60, 60),
        WELL[:-20],
    ],
)
def test_exit_0_without_the_trainers_word_is_not_success(message):
    end = the_end(a_pod(0, 0, message), a_pod(1, 0))
    assert isinstance(end, Broke)
    assert end.error_class == "EndMessageLost"
    assert end.retry is Retry.INFRASTRUCTURE


def test_running_pods_are_no_end():
    assert the_end(a_pod(0), a_pod(1)) is None


def test_a_user_error_is_told_in_the_trainers_own_words_and_never_retried():
    said = termination("UserErrorData", message="train.jsonl line 3: not JSON")
    end = the_end(a_pod(0, 31), a_pod(1, 10, said))
    assert end == Broke("UserErrorData", Retry.NEVER, "train.jsonl line 3: not JSON")


def test_a_peer_that_may_know_the_cause_is_waited_for():
    assert the_end(a_pod(0, 31), a_pod(1)) is None
    assert the_end(a_pod(0, 31), a_pod(1, deleting=True)).error_class == "Infrastructure"


def test_a_cause_weighs_more_than_its_echo():
    assert the_end(a_pod(0, 31), a_pod(1, 20)).error_class == "OutOfMemory"
    assert the_end(a_pod(0, 31), a_pod(1, 30)).blamed == ("n1",)
    assert the_end(a_pod(0, 75), a_pod(1, 1, "Traceback ...")).message == "Traceback ..."


@pytest.mark.parametrize("exit_code", [1, 137, 143, 99])
def test_an_exit_code_without_a_class_is_counted_as_unclassified(exit_code):
    assert the_end(a_pod(0, exit_code), a_pod(1, deleting=True)).retry is Retry.UNCLASSIFIED


def test_a_pod_on_a_dead_node_does_not_have_to_be_waited_for():
    dead = (NODES[0], NodeFact("n1", ready=False, gpus=8))
    end = the_end(a_pod(0), a_pod(1), nodes=dead)
    assert (end.error_class, end.retry, end.blamed) == ("NodeLost", Retry.INFRASTRUCTURE, ("n1",))
    assert the_end(a_pod(0), a_pod(1), nodes=NODES[:1]).blamed == ("n1",)


def test_a_node_that_dies_after_its_pod_ended_well_is_no_fault():
    assert isinstance(the_end(a_pod(0, 0, WELL), a_pod(1, 0), nodes=NODES[:1]), Succeeded)


def test_a_deleted_pod_is_infrastructure_unless_we_deleted_it():
    assert the_end(a_pod(0), a_pod(1, deleting=True)).error_class == "PodDeleted"
    assert the_end(a_pod(0), a_pod(1, deleting=True), deleting=True) is None


def test_preemption_and_drain_are_not_counted():
    for reason in ("PreemptionByScheduler", "EvictionByEvictionAPI"):
        assert the_end(a_pod(0), a_pod(1, deleting=True, disruption=reason)).retry is Retry.UNCOUNTED
    assert the_end(a_pod(0, 75), a_pod(1, 75)).retry is Retry.UNCOUNTED


def test_a_pod_that_its_node_refused_blames_the_node():
    refused = a_pod(1, phase="Failed", reason="UnexpectedAdmissionError")
    end = the_end(a_pod(0, deleting=True), refused)
    assert (end.retry, end.blamed) == (Retry.INFRASTRUCTURE, ("n1",))


def test_a_failed_job_without_pods_is_infrastructure():
    assert the_end(failed=True, failure_message="gone").message == "gone"
