"""Out of memory: the same batch in smaller bites, as long as there are any."""

from __future__ import annotations

from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
    a_job,
    after,
    running,
    settled,
    with_exits,
    with_workload,
)

from tunesmith.planning.acceptance import plan_of
from tunesmith.planning.circumstances import Known
from tunesmith.planning.configuration import configuration
from tunesmith.planning.fine_tune_job import decide
from tunesmith.resources.conditions import find_condition


def message(decision) -> str:
    return find_condition(decision.status.conditions, "Ready").message


def test_out_of_memory_tries_again_in_smaller_bites():
    seen = running(a_job({"training": {"batchSize": 64}}))
    decision = decide(with_exits(seen, (20, "OutOfMemory"), (31,)))
    assert (decision.status.plan.micro_batch, decision.status.plan.gradient_accumulation) == (2, 2)
    kept = settled(after(seen, decision)).status.plan
    assert (kept.micro_batch, kept.gradient_accumulation) == (2, 2)


def test_out_of_memory_says_what_changes_and_the_batch_stays():
    seen = running(a_job({"training": {"batchSize": 64}}))
    decision = decide(with_exits(seen, (20, "OutOfMemory"), (31,), said={"message": "Out of memory."}))
    assert "The micro batch goes from 4 to 2 and the accumulation from 1 to 2; the global batch stays" in message(
        decision
    )
    line = settled(with_workload(after(seen, decision)))
    again = after(line, decide(line), answer=Known(GRANT, 0))
    attempt = after(again, decide(again), answer=Known(None, 0))
    training = configuration(attempt, plan_of(attempt), 2)["training"]
    assert (training["microBatch"], training["gradientAccumulation"], training["globalBatch"]) == (2, 2, 64)
    assert training["microBatchBefore"] == 4


def test_out_of_memory_with_single_rows_ends_the_job_with_the_smallest_fix():
    decision = decide(with_exits(running(), (20, "OutOfMemory"), (31,)))
    assert decision.status.failure.reason == "OutOfMemory"
    assert "`spec.training.contextLength` 256 in place of 512" in message(decision)
