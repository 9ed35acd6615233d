"""The size of a bought cluster: grown, shrunk, refused, changed by somebody else, left to the provider."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import (
    NOW,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    only,
    reason,
)

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import FailureRecord, Known, Unknown
from tunesmith.planning.cluster_observation import JobUse
from tunesmith.planning.deadlines import DEFAULT_SECONDS, Stage
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.orders import ChangeCluster, ClusterChanges
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.conditions import find_condition


def some_time_later(observation, decision, seconds=15):
    """The next pass: the status was written, and nothing else happened."""
    resource = observation.resource.model_copy(update={"status": decision.status})
    around = replace(
        observation.around,
        now=observation.around.now + timedelta(seconds=seconds),
        failures=observation.around.failures,
    )
    return replace(observation, resource=resource, around=around)


def leaving(decision):
    return {node.name: (node.reason, node.jobs) for node in decision.status.leaving_nodes}


def marked(observation, *names):
    """The nodes, as they are once we have cordoned these."""
    told = tuple(
        replace(node, cordoned=True, cordoned_for="ScaleDown") if node.name in names else node
        for node in observation.nodes.value
    )
    return replace(observation, nodes=Known(told, 1.0))


def a_job(name, *held, saved=NOW):
    return JobUse(name, frozenset(held), saved=saved)


# growing


def test_more_nodes_are_asked_for_by_their_target():
    action = only(decide(a_running_cluster(spec={"nodes": 3})), ChangeCluster)
    assert (action.cluster_id, action.changes.gpus) == ("c-1", 24)


def test_the_size_may_be_changed_while_the_provider_still_builds():
    view = a_view(a_provider_cluster(status="WaitingForDataPlaneNodes", kubeconfig=""))
    assert only(decide(a_running_cluster(spec={"nodes": 3}, view=view)), ChangeCluster).changes.gpus == 24


def test_growth_that_is_out_of_stock_keeps_what_is_there_and_says_so_once():
    action = ChangeCluster("c-1", ClusterChanges(gpus=24))
    failure = FailureRecord(1, 999.0, Failure(ErrorClass.OUT_OF_STOCK, "The region has no such GPUs left."))
    status = bought_status(nodes={"desired": 1}, firstReadyTime="2026-01-01T11:50:00Z")
    observation = a_running_cluster(spec={"nodes": 3}, status=status)
    observation = replace(observation, around=circumstances(failures={action.identity: failure}))
    decision = decide(observation)
    assert reason(decision) == "OutOfStock"
    assert "stays at 1 nodes" in find_condition(decision.status.conditions, "Ready").message
    assert only(decision, ChangeCluster) == action
    again = decide(some_time_later(observation, decision))
    assert (again.status, again.events) == (decision.status, ())
    assert reason(again, "Drifted") == "Changing"


def test_a_size_that_was_asked_for_is_not_asked_for_again_at_once():
    observation = a_running_cluster(spec={"nodes": 3})
    asked = some_time_later(observation, decide(observation), seconds=1)
    asked = replace(asked, memory=PurchaseMemory(first_seen=940.0, last_write=999.0))
    decision = decide(asked)
    assert (reason(decision), decision.actions) == ("Scaling", ())


def test_a_growth_that_never_shows_is_a_reason_after_its_deadline_and_asked_for_on():
    observation = a_running_cluster(spec={"nodes": 3})
    late = some_time_later(observation, decide(observation), seconds=DEFAULT_SECONDS[Stage.SIZE])
    overdue = decide(late)
    told = find_condition(overdue.status.conditions, "Stalled")
    assert (told.reason, told.is_true) == ("ScalingOverdue", True)
    assert "'c-1'" in told.message
    assert only(overdue, ChangeCluster).changes.gpus == 24
    assert [event.reason for event in overdue.events] == ["ScalingOverdue"]
    awaited = replace(some_time_later(late, overdue, 1), memory=PurchaseMemory(first_seen=940.0, last_write=999.0))
    assert (reason(decide(awaited), "Stalled"), decide(awaited).actions) == ("ScalingOverdue", ())


def test_a_growth_that_never_shows_while_the_provider_builds_hides_no_deadline():
    built = a_provider_cluster(status="WaitingForSubnet", kubeconfig="", created=NOW - timedelta(hours=1))
    observation = a_running_cluster(spec={"nodes": 3}, view=a_view(built))
    assert reason(decide(observation)) == "Scaling"  # a wish of this moment is not late
    overdue = decide(some_time_later(observation, decide(observation)))
    assert (reason(overdue, "Stalled"), only(overdue, ChangeCluster).changes.gpus) == ("ScalingOverdue", 24)


def test_nodes_that_the_provider_never_takes_are_a_reason_after_the_deadline():
    observation = marked(a_running_cluster(gpus=16, nodes=nodes(2)), "node-1")
    closed = some_time_later(observation, decide(observation), seconds=3600)  # a job held it for an hour, say
    asked = decide(closed)
    assert (reason(asked), only(asked, ChangeCluster).changes.gpus) == ("Scaling", 8)
    soon = some_time_later(closed, asked, DEFAULT_SECONDS[Stage.SIZE] - 1)
    assert reason(decide(soon)) == "Scaling"
    assert reason(decide(some_time_later(soon, decide(soon), 2)), "Stalled") == "ScalingOverdue"


# shrinking


def test_idle_nodes_are_closed_then_cordoned_before_fewer_are_asked_for():
    observation = a_running_cluster(gpus=16, nodes=nodes(2), jobs=(a_job("j", "node-0"),))
    closed = decide(observation)
    assert (reason(closed), leaving(closed), closed.actions) == (
        "ScaleDownWaits",
        {"node-1": ("ScaleDown", "MayFinish")},
        (),
    )
    later = some_time_later(observation, closed)
    manifest = only(decide(later), ApplyObject).manifest
    assert (manifest["metadata"]["name"], manifest["spec"]) == ("node-1", {"unschedulable": True})
    assert manifest["metadata"]["annotations"]["node.together.ai/delete-node-on-scale-down"] == "true"
    assert only(decide(marked(later, "node-1")), ChangeCluster).changes.gpus == 8


def test_a_node_is_not_given_back_while_a_grant_on_it_may_be_on_its_way():
    observation = marked(a_running_cluster(gpus=16, nodes=nodes(2)), "node-1")
    closed = decide(observation)
    assert decide(some_time_later(observation, closed, seconds=5)).actions == ()


def test_what_jobs_hold_stays_and_what_is_idle_goes_meanwhile():
    jobs = (a_job("j", "node-0", "node-1"),)
    observation = marked(a_running_cluster(gpus=24, nodes=nodes(3), jobs=jobs), "node-2")
    decision = decide(some_time_later(observation, decide(observation)))
    assert only(decision, ChangeCluster).changes.gpus == 16


def test_never_below_what_admitted_jobs_hold():
    jobs = (a_job("j", "node-0", "node-1"),)
    observation = a_running_cluster(gpus=16, nodes=nodes(2), jobs=jobs)
    decision = decide(some_time_later(observation, decide(observation)))
    assert (reason(decision), decision.actions) == ("ScaleDownWaits", ())
    assert "'j'" in find_condition(decision.status.conditions, "Ready").message


@pytest.mark.parametrize("owner", [{}, {"tunesmith.dev/owner-uid": "u"}])
def test_a_pod_that_still_saves_holds_its_node_although_its_job_gave_the_admission_back(owner):
    pod = PodFact("tunesmith-jobs", "p", node="node-1", phase="Running", gpus=8, labels=owner)
    both = tuple(replace(pod, node=f"node-{number}") for number in range(2))
    observation = a_running_cluster(gpus=16, nodes=nodes(2), pods=Known(both, 1.0))
    assert decide(some_time_later(observation, decide(observation))).actions == ()


def test_nothing_is_given_back_while_it_is_not_known_who_uses_it():
    observation = a_running_cluster(gpus=16, nodes=nodes(2), pods=Unknown("not listed"))
    decision = decide(some_time_later(observation, decide(observation)))
    assert (reason(decision), decision.actions) == ("ScaleDownWaits", ())


def test_nodes_that_were_to_go_are_uncordoned_when_more_are_wanted_again():
    observation = marked(a_running_cluster(gpus=16, nodes=nodes(2), spec={"nodes": 2}), "node-1")
    manifest = only(decide(observation), ApplyObject).manifest
    assert (manifest["metadata"]["name"], "spec" in manifest) == ("node-1", False)


def test_a_cordon_of_somebody_else_stays():
    by_hand = tuple(replace(node, cordoned=True) for node in nodes(1).value)
    assert decide(a_running_cluster(nodes=Known(by_hand, 1.0))).actions == ()


def test_a_node_that_the_provider_has_not_taken_yet_stays_cordoned_after_the_shrink():
    observation = marked(a_running_cluster(gpus=8, nodes=nodes(2)), "node-1")
    decision = decide(observation)
    assert (leaving(decision), decision.actions) == ({"node-1": ("ScaleDown", "MayFinish")}, ())


# draining

DRAIN = {"scaleDownPolicy": "DrainJobs"}


def test_jobs_on_surplus_nodes_must_leave_when_the_user_says_drain():
    jobs = (a_job("j", "node-0", "node-1"),)
    decision = decide(a_running_cluster(gpus=16, nodes=nodes(2), jobs=jobs, spec=DRAIN))
    assert leaving(decision) == {"node-0": ("ScaleDown", "MustLeave")}


def test_draining_disturbs_the_fewest_jobs_and_of_those_the_one_that_loses_least():
    old, fresh = NOW - timedelta(hours=2), NOW - timedelta(minutes=1)
    jobs = (
        a_job("long-unsaved", "node-0", "node-1", saved=old),
        a_job("just-saved", "node-2", "node-3", saved=fresh),
        a_job("saved-too", "node-4", saved=fresh),
    )
    decision = decide(a_running_cluster(gpus=40, nodes=nodes(5), jobs=jobs, spec={"nodes": 3, **DRAIN}))
    assert set(leaving(decision)) == {"node-4", "node-2"}


def test_a_choice_that_jobs_were_told_of_stands():
    observation = a_running_cluster(
        gpus=16,
        nodes=nodes(2),
        jobs=(a_job("a", "node-0"), a_job("b", "node-1", saved=NOW - timedelta(hours=1))),
        spec=DRAIN,
    )
    told = decide(observation)
    assert set(leaving(told)) == {"node-0"}
    later = replace(some_time_later(observation, told), jobs=(observation.jobs[0], a_job("b", "node-1")))
    assert set(leaving(decide(later))) == {"node-0"}


# drift


def test_a_size_that_somebody_else_changed_is_drift_with_both_values_and_is_restored():
    as_wanted = decide(a_running_cluster()).status.model_dump(mode="json", by_alias=True, exclude_none=True)
    observation = a_running_cluster(gpus=16, nodes=nodes(2), status=as_wanted)
    decision = decide(observation)
    message = find_condition(decision.status.conditions, "Drifted").message
    assert reason(decision, "Drifted") == "SizeChangedOutside"
    assert "wants '1', the provider has '2'" in message
    restored = decide(marked(some_time_later(observation, decision), "node-0"))
    assert (reason(restored, "Drifted"), restored.events) == ("SizeChangedOutside", ())
    assert only(restored, ChangeCluster).changes.gpus == 8


def test_an_autoscaled_cluster_has_the_size_that_the_provider_gives_it():
    observation = a_running_cluster(gpus=32, nodes=nodes(4), ready_nodes=4, spec={"maxNodes": 8})
    decision = decide(observation)
    assert (decision.status.nodes.desired, decision.status.nodes.ready) == (4, 4)
    assert (reason(decision), decision.actions) == ("InOrder", ())


@given(
    have=st.integers(1, 12),
    wanted=st.integers(1, 12),
    jobs=st.lists(st.frozensets(st.integers(0, 11), min_size=1, max_size=4), max_size=4),
    drain=st.booleans(),
)
def test_a_node_that_a_job_holds_is_never_the_one_that_goes(have, wanted, jobs, drain):
    held = tuple(
        a_job(f"j{index}", *(f"node-{number}" for number in numbers if number < have))
        for index, numbers in enumerate(jobs)
    )
    observation = a_running_cluster(
        gpus=have * 8, nodes=nodes(have), jobs=held, spec={"nodes": wanted, **(DRAIN if drain else {})}
    )
    observation = some_time_later(observation, decide(observation))
    for _ in range(3):
        decision = decide(observation)
        going = {action.manifest["metadata"]["name"] for action in decision.actions if isinstance(action, ApplyObject)}
        assert not going & frozenset().union(*(job.nodes for job in held))
        shrunk = [action.changes.gpus for action in decision.actions if isinstance(action, ChangeCluster)]
        used = len(frozenset().union(*(job.nodes for job in held)))
        assert all(gpus >= min(wanted, have) * 8 and gpus >= min(used, have) * 8 for gpus in shrunk)
        observation = marked(some_time_later(observation, decision), *going)
