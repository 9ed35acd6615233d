"""A job whose nodes are to go: told to save, waited for, begun anew elsewhere, and none of it held against it."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
    NODES,
    a_cluster,
    after,
    ended,
    running,
    the_batch_job,
    the_pods,
    with_workload,
)

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.admission import nodes_to_expect
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.leaving import MAY_FINISH, MUST_LEAVE
from tunesmith.planning.placement import PodPlace
from tunesmith.planning.pool import Granted, InLine, NeverFits, Request, assign, with_nodes_closed
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster_status import LeavingNode


def with_leaving(seen, *names, why="ScaleDown", jobs=MUST_LEAVE):
    """The cluster says that these nodes are to go."""
    cluster = a_cluster()
    nodes = tuple(LeavingNode(name=name, reason=why, jobs=jobs) for name in names)
    status = cluster.status.model_copy(update={"leaving_nodes": nodes})
    return replace(seen, cluster=cluster.model_copy(update={"status": status}))


def reason(decision, kind):
    return find_condition(decision.status.conditions, kind).reason


@pytest.mark.parametrize(
    ("why", "words"), [("ScaleDown", "made smaller"), ("Preempted", "takes it away"), ("Repair", "to be repaired")]
)
def test_a_job_on_a_node_that_goes_is_told_to_save(why, words):
    decision = decide(with_leaving(running(), "n1", why=why))
    (action,) = decision.actions
    assert (type(action), action.kind, action.grace_period_seconds) == (DeleteObject, "Job", None)
    assert (decision.status.state, reason(decision, "PodsReady")) == ("Saving", "Saving")
    assert words in find_condition(decision.status.conditions, "Ready").message
    assert decision.status.admission is not None


def test_the_next_attempt_waits_until_the_pods_have_saved():
    seen = with_leaving(running(), "n1")
    told = decide(seen)
    deleting = [replace(the_batch_job(seen), deleting=True)]
    saving = with_workload(after(seen, told), jobs=deleting, pods=[replace(p, deleting=True) for p in the_pods(seen)])
    resting = decide(saving)
    assert (resting.status, resting.actions, resting.events) == (told.status, (), ())


def test_after_the_save_it_asks_for_other_nodes_and_nothing_is_counted_or_blamed():
    seen = with_leaving(running(), "n1")
    saved = with_workload(after(seen, decide(seen)), jobs=[], pods=[])
    decision = decide(saved)
    status = decision.status
    assert (status.admission, status.blamed_nodes, status.restarts) == (None, (), None)
    assert reason(decision, "Admitted") == "Restarting"
    asked = with_workload(after(saved, decision), jobs=[], pods=[])
    assert reason(decide(asked), "Admitted") == "Queued"


def test_an_attempt_that_was_told_is_not_taken_for_lost_when_its_nodes_stay_after_all():
    seen = with_leaving(running(), "n1")
    told = after(seen, decide(seen), cluster=a_cluster())
    decision = decide(with_workload(told, jobs=[], pods=[]))
    assert decision.status.restarts is None
    assert reason(decision, "PodsReady") == "Preempted"


def test_pods_on_a_dead_node_are_not_waited_for():
    seen = with_leaving(running(), "n1", why="Repair")
    told = after(seen, decide(seen))
    pods = the_pods(seen)
    left = [ended(pods[0], 75), replace(pods[1], deleting=True)]
    nodes = [NodeFact("n0", gpus=8), NodeFact("n1", ready=False, gpus=8), NodeFact("n2", gpus=8)]
    deleting = [replace(the_batch_job(seen), deleting=True)]
    decision = decide(with_workload(told, jobs=deleting, pods=left, nodes=nodes))
    assert decision.status.admission is None


def test_a_job_that_may_finish_goes_on():
    decision = decide(with_leaving(running(), "n1", jobs=MAY_FINISH))
    assert (decision.status.state, decision.actions) == ("Training", ())


def test_a_job_on_other_nodes_goes_on():
    assert decide(with_leaving(running(), "n2")).status.state == "Training"


def test_a_job_that_was_done_in_time_has_succeeded():
    said = {"step": 60, "totalSteps": 60, "resultSHA256": "a" * 64, "path": "/storage/outputs/x"}
    seen = running()
    pods = [ended(pod, 0, "Success", **said) for pod in the_pods(seen)]
    decision = decide(with_leaving(with_workload(seen, jobs=[the_batch_job(seen)], pods=pods), "n1"))
    assert decision.status.state == "Succeeded"


# the pool


def asks(created=None, pods=1):
    return Request("u", "tune", created, pods, 8)


def test_nothing_is_granted_on_nodes_that_are_to_go():
    nodes = with_nodes_closed(NODES, frozenset({"n0", "n1"}))
    assert assign([asks()], [], nodes, [])["u"] == Granted((PodPlace("n2", 8),))
    assert isinstance(assign([asks(pods=2)], [], nodes, [])["u"], InLine)


def test_suspects_are_granted_only_to_a_job_that_the_others_could_never_hold():
    suspects = frozenset({"n0", "n1"})
    assert assign([asks()], [], NODES, [], suspects)["u"] == Granted((PodPlace("n2", 8),))
    assert assign([asks(pods=2)], [], NODES, [], suspects)["u"] == GRANT
    assert isinstance(assign([asks(pods=4)], [], NODES, [], suspects)["u"], NeverFits)


def test_a_pool_expects_what_an_autoscaled_cluster_may_become():
    cluster = a_cluster()
    scaled = cluster.model_copy(update={"spec": cluster.spec.model_copy(update={"max_nodes": 12})})
    assert (nodes_to_expect(cluster), nodes_to_expect(scaled)) == (3, 12)
