"""What jobs say to their pool by their status alone, and grants that are held until they are recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
    NODES,
    NOON,
    UID,
    WELL,
    a_job,
    admitted,
    after,
    running,
    the_pods,
    waiting_in_line,
    with_exits,
)

from tunesmith.planning.admission import holding_of, judge, request_of
from tunesmith.planning.attempt_end import Workload
from tunesmith.planning.circumstances import Known
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.pool import Granted, InLine


def another(job, uid: str):
    """A job that asks for the same, half an hour later."""
    created = NOON - timedelta(minutes=30)
    meta = job.metadata.model_copy(update={"uid": uid, "name": uid, "creation_timestamp": created})
    return job.model_copy(update={"metadata": meta})


def test_a_grant_is_held_until_its_job_has_recorded_it():
    job = waiting_in_line().job
    rival = another(job, "rival")
    first = judge([job, rival], {}, NODES[:2], [], NOON)
    assert first.answer_for(job) == GRANT
    again = judge([job, rival], first.grants, NODES[:2], [], NOON)
    assert again.answer_for(job) == GRANT
    assert isinstance(again.answer_for(rival), InLine)
    recorded = admitted().job
    third = judge([recorded, rival], again.grants, NODES[:2], [], NOON)
    assert third.grants == {}
    assert third.answer_for(recorded) is None
    assert isinstance(third.answer_for(rival), InLine)


def test_a_closed_pool_grants_nothing_more_says_why_and_keeps_what_it_granted():
    job = waiting_in_line().job
    rival = another(job, "rival")
    told = "its budget is spent"
    closed = judge([job, rival], {}, NODES[:2], [], NOON, closed=told)
    assert closed.grants == {}
    assert {answer.blocked_by for answer in closed.answers.values()} == {told}
    granted = judge([job], {}, NODES[:2], [], NOON)
    later = judge([job, rival], granted.grants, NODES[:2], [], NOON, closed=told)
    assert later.answer_for(job) == GRANT
    assert later.answer_for(rival) == InLine(1, told)


def test_a_job_that_asks_no_more_gives_its_grant_back():
    job = waiting_in_line().job
    first = judge([job], {}, NODES[:2], [], NOON)
    gone = judge([another(job, "rival")], first.grants, NODES[:2], [], NOON)
    assert isinstance(gone.answers["rival"], Granted)


def test_a_grant_for_an_earlier_attempt_is_no_answer_to_a_later_one():
    seen = waiting_in_line()
    first = judge([seen.job], {}, NODES, [], NOON)
    broke = running()
    over = with_exits(broke, (31,), (31,))
    asking = after(over, decide(over))
    asking = after(asking, decide(asking))
    assert request_of(asking.job).attempt == 2
    assert first.answer_for(asking.job) is None


def test_a_running_job_holds_its_nodes_and_an_ended_one_does_not():
    seen = running()
    holding = holding_of(seen.job, the_pods(seen))
    assert holding.has_pods
    assert [place.node for place in holding.pods] == ["n0", "n1"]
    over = with_exits(seen, (0, "Success"), (0,), said=WELL)
    assert holding_of(after(over, decide(over)).job, ()) is None


def test_a_job_being_deleted_asks_no_more_but_holds_what_it_has():
    job = admitted().job
    going = job.model_copy(update={"metadata": job.metadata.model_copy(update={"deletion_timestamp": NOON})})
    assert request_of(going) is None
    assert holding_of(going, ()).uid == UID


def test_a_jobs_tolerations_and_selector_go_into_its_request():
    spec = {
        "placement": {
            "type": "Local",
            "cluster": None,
            "local": {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "team", "operator": "Exists"}]},
        },
        "storage": {"type": "Claim", "sharedVolume": None, "claim": {"name": "pvc"}},
    }
    there = Known(Workload(nodes=[replace(node, labels={"zone": "a"}) for node in NODES]), 0)
    request = request_of(waiting_in_line(a_job(spec), cluster=None, workload=there).job)
    assert request.node_selector == {"zone": "a"}
    assert request.tolerations[0].operator == "Exists"
