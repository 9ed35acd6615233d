"""By what a node of a bought cluster is known to be broken: what it says, what the provider says, what jobs say."""

from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import NOW
from tests.unit.tunesmith.planning.node_builders import World, a_record, a_repair
from tests.unit.tunesmith.planning.test_node_repair import COOLDOWN, PATIENCE, broken_for

from tunesmith.planning.provider import Alert


def test_a_critical_alert_of_the_provider_shortens_the_wait():
    world = World()
    world.settle()
    alert = Alert("DmesgGpuFallenOffBus", "CRITICAL")
    world.repairs = (a_repair(0, "PENDING_APPROVAL", mode="HOST_AWARE", trigger="AUTOMATED", alerts=(alert,)),)
    world.settle(301)
    assert world.status["suspectNodes"][0]["reason"] == "ProviderAlert"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"ready": False}, "NodeNotReady"),
        ({"ready": True, "gpus": 0}, "GPUsMissing"),
        ({"ready": True, "alarms": frozenset({"ReadonlyFilesystem"})}, "NodeAlarm"),
    ],
)
def test_what_is_wrong_is_seen_inside_the_cluster(how, reason):
    world = broken_for(10, **how)
    assert [(each["name"], each["reason"]) for each in world.status["suspectNodes"]] == [("node-0", reason)]


def test_what_is_wrong_is_seen_in_the_providers_records():
    world = World()
    world.records = [a_record(0, phase="FAILED"), *(a_record(index) for index in range(1, 5))]
    world.settle()
    reasons = {each["name"]: each["reason"] for each in world.status["suspectNodes"]}
    assert reasons == {"node-0": "NodeFailed", "node-4": "NodeNotJoined"}


def test_one_job_that_blames_a_node_makes_it_suspect_and_two_make_it_one_to_repair():
    world = World()
    world.blames = {"node-1": frozenset({"a"})}
    world.settle()
    world.settle(PATIENCE + 10)
    assert (world.asked, world.status["suspectNodes"][0]["reason"]) == ([], "BlamedByJobs")
    world.blames = {"node-1": frozenset({"a", "b"})}
    world.settle(PATIENCE + 10)
    world.settle(20)
    assert [action.instance_id for action in world.asked] == ["vm-1"]


def test_a_repair_answers_the_blame_of_jobs_that_go_on_to_exist():
    world = World()
    world.blames = {"node-1": frozenset({"a", "b"})}
    world.settle()
    world.settle(PATIENCE + 10)
    world.settle(20)
    asked_at = NOW + timedelta(seconds=world.seconds)
    world.repairs = (a_repair(1, "SUCCEEDED", at=asked_at, ended=asked_at + timedelta(seconds=60)),)
    world.settle(70)
    world.settle(COOLDOWN + PATIENCE)
    assert (len(world.asked), "clearedTime" in world.status["suspectNodes"][0]) == (1, True)
    assert world.condition()["status"] == "True"
