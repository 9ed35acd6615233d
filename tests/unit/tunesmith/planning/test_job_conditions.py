"""Every line of `kubectl describe` is true in every state of a job's life."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tunesmith.planning.job_builders import (
    WELL,
    a_job,
    admitted,
    after,
    an_observation,
    circumstances,
    running,
    the_batch_job,
    the_pods,
    waiting_in_line,
    with_exits,
    with_workload,
)

from tunesmith.planning.fine_tune_job import decide
from tunesmith.resources.conditions import find_condition


def said(decision) -> dict[str, str]:
    """Status and reason of every condition, by type."""
    return {one.type: f"{one.status.value}/{one.reason}" for one in decision.status.conditions}


def test_a_job_that_has_not_ended_says_so():
    for seen in (an_observation(), waiting_in_line(), admitted(), running()):
        conditions = said(decide(seen))
        assert conditions["Succeeded"] == conditions["Failed"] == "False/NotEnded"


def test_what_lies_behind_a_refusal_was_not_looked_at():
    conditions = said(decide(an_observation(a_job({"training": {"batchSize": 17}}))))
    assert conditions["Accepted"] == "False/BatchSizeOutOfRange"
    assert (conditions["DatasetReady"], conditions["ClusterReady"]) == ("Unknown/NotYet", "Unknown/NotYet")
    assert (conditions["Admitted"], conditions["PodsReady"]) == ("False/NotYet", "False/NotAdmitted")


def test_nothing_is_trained_while_pods_start():
    seen = admitted()
    starting = decide(with_workload(seen, jobs=[the_batch_job(seen)], pods=the_pods(seen, phase="Pending")))
    assert said(starting)["Progressing"] == said(starting)["PodsReady"] == "False/PodsStarting"


def test_after_the_end_nothing_claims_pods_gpus_or_a_cluster():
    for ends in (((0, "Success"), (0,)), ((10, "UserErrorData"), (31,))):
        conditions = said(decide(with_exits(running(), *ends, said=WELL)))
        assert [conditions[kind] for kind in ("ClusterReady", "Admitted", "PodsReady", "Progressing")] == [
            "Unknown/Ended",
            "False/Ended",
            "False/Ended",
            "False/Ended",
        ]


def test_pods_that_broke_are_no_longer_said_to_run():
    conditions = said(decide(with_exits(running(), (137,), (31,))))
    assert conditions["Admitted"] == "False/Restarting"
    assert conditions["PodsReady"].startswith("False/")
    assert conditions["Succeeded"] == "False/NotEnded"


def test_a_changed_time_to_live_is_taken_note_of_after_the_end():
    over = with_exits(running(), (0, "Success"), (0,), said=WELL)
    ended = after(over, decide(over), around=circumstances(minutes=1))
    changed = ended.job.model_copy(update={"metadata": ended.job.metadata.model_copy(update={"generation": 2})})
    decision = decide(replace(ended, job=changed))
    assert decision.status.observed_generation == 2
    assert find_condition(decision.status.conditions, "Succeeded").is_true


def test_the_last_words_of_a_pod_that_failed_early_stand_in_the_status():
    seen = with_exits(running(), (10, "UserErrorData"), (31,), said={"message": "row 3"})
    decision = decide(replace(seen, last_words=("Traceback", "row 3")))
    assert decision.status.log_tail == "Traceback\nrow 3"
    assert decision.status.failure.message == "row 3"
