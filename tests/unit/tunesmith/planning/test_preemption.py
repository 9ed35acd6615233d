"""Nodes that the provider takes away: the notice is seen within seconds, jobs leave, and nothing is bought for them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    NOW,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    nodes,
    reason,
)
from tests.unit.tunesmith.planning.job_builders import a_cluster, running
from tests.unit.tunesmith.planning.node_builders import World, a_record

from tunesmith.planning.actions import DeleteObject
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.fine_tune_job import decide as decide_job
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.kube_facts import Taint, node_fact
from tunesmith.planning.orders import ChangeCluster
from tunesmith.planning.provider import NodeEvent
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster_status import LeavingNode

NOTICE = "TogetherPreemptionNotified"


def an_event(node_id="id-0", what=NOTICE, *, after=0):
    return NodeEvent(node_id, what, "", NOW + timedelta(seconds=after))


@pytest.mark.parametrize("node_id", ["id-0", "vm-0", "node-0"])
def test_the_providers_notice_closes_the_node_and_tells_its_jobs_to_leave(node_id):
    world = World(2)
    world.settle()
    world.events = [an_event(node_id)]
    world.settle(5)
    (entry,) = world.status["leavingNodes"]
    assert (entry["name"], entry["reason"], entry["jobs"]) == ("node-0", "Preempted", "MustLeave")
    assert world.told.count("NodesPreempted") == 1
    assert "takes node node-0 away" in world.condition()["message"]


def test_what_is_told_of_a_preemption_rests_until_the_node_is_gone_and_is_forgotten_with_it():
    world = World(2, events=[an_event()])
    world.settle()
    before = world.status
    world.settle(5)
    assert (world.status, world.told.count("NodesPreempted")) == (before, 1)
    del world.nodes[0], world.records[0]
    world.settle(5)
    assert world.leaving() == {}


def test_a_node_that_was_added_again_after_its_notice_is_used():
    world = World(2, events=[an_event(), an_event(what="TogetherNodeAdded", after=60)])
    world.settle()
    assert world.leaving() == {}


def test_a_notice_is_taken_from_the_provider_while_the_cluster_itself_does_not_answer():
    view = a_view(a_provider_cluster(nodes=(a_record(0),), events=(an_event(),)))
    decision = decide(a_running_cluster(view=view, nodes=Unknown("no answer")))
    assert [(node.name, node.jobs) for node in decision.status.leaving_nodes] == [("node-0", "MustLeave")]


def test_a_taint_inside_the_cluster_is_a_second_source():
    label = {"together.ai/compute-class": "preemptible"}
    taint = (Taint("together.ai/preempted", "", "NoSchedule"),)
    facts = tuple(replace(node, labels=label, taints=taint if node.name == "node-1" else ()) for node in nodes(2).value)
    decision = decide(a_running_cluster(gpus=16, spec={"nodes": 2}, nodes=Known(facts, 1.0)))
    assert {node.name: node.reason for node in decision.status.leaving_nodes} == {"node-1": "Preempted"}


def test_a_node_that_the_provider_marks_for_deletion_is_left():
    records = (a_record(0), a_record(1, marked_for_deletion=True))
    view = a_view(a_provider_cluster(gpus=16, nodes=records))
    decision = decide(a_running_cluster(view=view, spec={"maxNodes": 4}, nodes=nodes(2)))
    assert [(node.name, node.jobs) for node in decision.status.leaving_nodes] == [("node-1", "MustLeave")]


def test_the_provider_is_looked_at_every_five_seconds_while_it_may_take_nodes():
    view = a_view(a_provider_cluster(gpus=16, allocated_preemptible_gpus=8, desired_preemptible_gpus=8))
    decision = decide(a_running_cluster(view=view, nodes=nodes(2), spec={"nodes": 2}))
    assert decision.look_again_seconds <= 5.5


def test_a_lost_preemptible_node_is_told_and_not_bought_again():
    view = a_view(a_provider_cluster(gpus=8, allocated_preemptible_gpus=0, desired_preemptible_gpus=8))
    status = bought_status(firstReadyTime="2026-01-01T11:50:00Z", nodes={"desired": 2, "ready": 2})
    spec = {"nodes": 2, "billing": {"type": "OnDemand", "preemptibleNodes": 1}, "projectID": "p-1"}
    decision = decide(a_running_cluster(view=view, spec=spec, status=status))
    assert not [action for action in decision.actions if isinstance(action, ChangeCluster)]
    assert reason(decision) == "NodesNotReady"
    assert "spec.nodes" not in find_condition(decision.status.conditions, "Drifted").message
    assert decision.status.nodes.desired == 2


def test_preemptible_and_pool_nodes_are_counted():
    cluster = a_provider_cluster(
        gpus=24, allocated_preemptible_gpus=8, desired_preemptible_gpus=8, capacity_pool_gpus=16
    )
    counts = decide(a_running_cluster(view=a_view(cluster), nodes=nodes(3), spec={"nodes": 3})).status.nodes
    assert (counts.desired, counts.preemptible, counts.capacity_pool) == (3, 1, 2)


def test_the_job_on_the_node_is_told_to_save_in_the_very_next_pass():
    cluster = a_cluster()
    leaving = (LeavingNode(name="n0", reason="Preempted", jobs="MustLeave"),)
    status = cluster.status.model_copy(update={"leaving_nodes": leaving})
    seen = replace(running(), cluster=cluster.model_copy(update={"status": status}))
    (action,) = decide_job(seen).actions
    assert isinstance(action, DeleteObject)


def test_a_node_is_read_with_what_it_says_of_itself():
    raw = {
        "metadata": {"name": "gpu-dp-1", "uid": "u", "annotations": {"tunesmith.dev/cordoned-for": "Repair"}},
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"},
                {"type": "KernelDeadlock", "status": "True"},
                {"type": "DiskPressure", "status": "False"},
            ]
        },
    }
    fact = node_fact(raw)
    assert (fact.ready_changed, fact.cordoned_for, fact.alarms) == (NOW, "Repair", frozenset({"KernelDeadlock"}))
    assert fact.uid == "u"
