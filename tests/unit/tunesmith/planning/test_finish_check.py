"""A lost last message: the result is looked for without GPUs, and only without one does the job ask for them again."""

from __future__ import annotations

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    UID,
    WELL,
    a_job,
    after,
    running,
    settled,
    with_errand,
    with_exits,
    with_workload,
)

from tunesmith.planning.actions import ApplyObject, DeleteObject
from tunesmith.planning.admission import holding_of, request_of
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import gpus_of
from tunesmith.resources.conditions import find_condition, is_true


def reason(decision, kind: str = "Ready") -> str:
    return find_condition(decision.status.conditions, kind).reason


@pytest.fixture
def lost():
    """Rank 0 ended with 0 and nobody knows with what; its GPUs have gone back."""
    return without_message()


def without_message(spec=None):
    seen = with_exits(running(a_job(spec)), (0,), (0,))
    return after(seen, decide(seen))


def test_its_gpus_go_back_before_anybody_looks(lost):
    assert lost.status.admission is None
    assert holding_of(lost.job, ()) is None
    assert (lost.status.finish_check.number, lost.status.finish_check.attempt) == (1, 1)
    assert lost.status.restarts is None
    assert request_of(lost.job) is None


def test_the_attempts_pods_go_and_a_pod_without_gpus_looks_for_its_result(lost):
    first = decide(lost)
    assert DeleteObject in {type(action) for action in first.actions}
    [action] = [action for action in decide(with_workload(lost)).actions if isinstance(action, ApplyObject)]
    pod = action.manifest["spec"]["template"]["spec"]
    assert action.manifest["metadata"]["name"].endswith("-f1")
    assert pod["containers"][0]["args"][0] == "finish"
    assert gpus_of(pod) == 0


def test_what_it_finds_is_the_jobs_result(lost):
    decision = decide(with_errand(lost, 0, "Success", part="finish-1", said=WELL))
    assert is_true(decision.status.conditions, "Succeeded")
    assert decision.status.output.path == f"outputs/tune/{UID}-a1"
    assert decision.status.attempt == 1


def test_without_a_result_the_job_asks_for_gpus_again_and_that_is_counted(lost):
    none = with_errand(lost, 0, "Success", part="finish-1")
    seen = settled(with_workload(after(none, decide(none))))
    assert seen.status.restarts.infrastructure == 1
    assert request_of(seen.job).attempt == 2


def test_without_a_result_and_without_restarts_left_the_job_fails():
    seen = without_message({"recovery": {"maxInfrastructureRestarts": 0}})
    decision = decide(with_errand(seen, 0, "Success", part="finish-1"))
    assert reason(decision, "Failed") == "RestartsExhausted"


def test_a_search_that_a_fault_took_is_made_again_and_in_the_end_the_next_attempt_looks_itself(lost):
    broke = with_errand(lost, 31, "Infrastructure", part="finish-1")
    again = after(broke, decide(broke))
    assert (again.status.finish_check.number, again.status.finish_check.attempt) == (2, 1)
    final = with_errand(again, 14, "UserErrorConfiguration", part="finish-2")
    assert decide(final).status.finish_check.completion_time is not None
    assert reason(decide(final)) == "Restarting"


def test_a_search_in_its_course_writes_nothing(lost):
    seen = settled(with_errand(lost, part="finish-1"))
    again = decide(seen)
    assert (again.actions, again.status) == ((), seen.status)
