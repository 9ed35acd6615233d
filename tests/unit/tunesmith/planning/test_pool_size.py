"""A pool that can never hold a job is told before anything is bought, fetched or prepared for it."""

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    LOCAL,
    NODES,
    TEMPLATE,
    a_cluster,
    a_job,
    a_model,
    after,
    an_observation,
    preparing,
    running,
    settled,
    waiting_in_line,
    what_was_prepared,
    with_errand,
    with_workload,
)

from tunesmith.planning.admission import request_of
from tunesmith.planning.attempt_end import Workload
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.neighbours import wanting_jobs
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.schema import to_raw

LARGE = {"resources": {"gpus": 32}, "training": {"batchSize": 32}}
UNSEEN = Unknown("It does not answer.")


def is_too_small(decision) -> bool:
    return find_condition(decision.status.conditions, "Ready").reason == "PoolTooSmall"


def of(spec, **changes):
    return an_observation(a_job({**LARGE, **spec}), model=a_model(), **changes)


POOLS = {
    "a template of two nodes": of({"placement": TEMPLATE}, cluster=None, workload=UNSEEN),
    "a cluster that takes pods": of({}),
    "a cluster that is being made": of({}, cluster=a_cluster(ready=False), workload=UNSEEN),
    "local nodes": of(LOCAL, cluster=None),
    "no local nodes": of(LOCAL, cluster=None, workload=Known(Workload(), 0)),
}


@pytest.mark.parametrize("seen", POOLS.values(), ids=POOLS)
def test_it_is_told_at_once_and_nothing_is_made(seen):
    decision = decide(seen)
    assert is_too_small(decision)
    assert "needs 4 pod(s) of 8 GPU(s) each" in find_condition(decision.status.conditions, "Admitted").message
    assert (decision.actions, decision.status.preparation) == ((), None)
    rested = settled(seen)
    assert decide(rested).status == rested.status, "and said once"


@pytest.mark.parametrize(
    "seen",
    [
        of({}, cluster=None, workload=UNSEEN),
        of(LOCAL, cluster=None, workload=UNSEEN),
        of({}, cluster=a_cluster().model_copy(update={"spec": a_cluster().spec.model_copy(update={"nodes": None})}),
           workload=UNSEEN),
    ],
    ids=["no such cluster", "local nodes unseen", "a size that nobody knows yet"],
)  # fmt: skip
def test_a_pool_that_cannot_be_seen_is_not_too_small(seen):
    assert not is_too_small(decide(seen))


def test_nodes_that_are_bought_and_have_not_come_count():
    seen = an_observation(workload=Known(Workload(nodes=NODES[:1]), 0))
    assert not is_too_small(decide(seen))


def test_what_waits_so_asks_for_no_gpus_and_keeps_no_cluster_busy():
    seen = settled(of({}))
    assert request_of(seen.job) is None
    assert wanting_jobs([to_raw(seen.job)], "gpus") == frozenset()


def test_a_pool_that_grew_is_seen_and_the_job_prepares():
    seen = settled(of({}))
    more = (*NODES, *(type(NODES[0])(f"m{n}", gpus=8) for n in range(3)))
    grown = settled(with_workload(seen, nodes=more))
    assert grown.status.preparation.number == 1
    assert find_condition(grown.status.conditions, "Stalled").status == "False"


@pytest.mark.parametrize("life", [waiting_in_line, running])
def test_once_it_is_prepared_its_pool_speaks_for_itself(life):
    seen = life()
    decision = decide(after(seen, decide(seen), workload=Known(Workload(), 0)))
    assert not is_too_small(decision)


def test_a_preparation_that_runs_when_nodes_go_is_followed_to_its_end():
    local = a_job(LOCAL)
    seen = with_errand(preparing(local, cluster=None))
    assert not is_too_small(decide(with_errand(with_workload(seen, nodes=()))))
    ended = with_errand(seen, 0, "Success", said={"prepared": what_was_prepared(seen)})
    assert decide(ended).status.preparation.completion_time is not None
