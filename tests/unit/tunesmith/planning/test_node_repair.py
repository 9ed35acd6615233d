"""Broken nodes of a bought cluster: seen, waited for, emptied, checked once more, repaired, and never two at once."""

from dataclasses import replace
from datetime import timedelta

from tests.unit.tunesmith.planning.cluster_builders import INSTALLATION, MONOTONIC, NOW
from tests.unit.tunesmith.planning.node_builders import World, a_record, a_repair

from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_observation import JobUse
from tunesmith.planning.decision import ErrorClass, Failure, Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider, LookAtRemediations
from tunesmith.planning.orders import ApproveRemediation, RepairNode

PATIENCE = INSTALLATION.repair.after_seconds
COOLDOWN = INSTALLATION.repair.cooldown_seconds


def broken_for(seconds, world=None, **how):
    """A world whose node-0 has been broken for so long."""
    world = world or World()
    world.settle()
    world.break_node(0, **how)
    world.settle(1)
    world.settle(seconds)
    return world


def repaired(world, state, *, at, **how):
    """The provider ends the repair that was asked for."""
    world.repairs = tuple(
        replace(each, state=state, ended=NOW + timedelta(seconds=at)) if each.open else each for each in world.repairs
    )
    return world


# when


def test_a_node_that_was_broken_for_long_is_rebooted_by_its_machine():
    world = broken_for(PATIENCE)
    assert world.asked == [RepairNode("c-1", "vm-0", "REBOOT_VM", "NodeNotReady on node-0")]
    assert world.told.count("NodeRepairAsked") == 1


def test_a_node_that_broke_only_just_now_is_left_alone_and_not_even_told_of():
    world = broken_for(PATIENCE - 60)
    assert (world.asked, world.leaving()) == ([], {})
    assert "node-0" not in world.condition()["message"]


def test_the_time_since_when_it_is_broken_survives_a_restart_and_another_symptom():
    world = broken_for(PATIENCE - 60)
    world.forget()
    world.break_node(0, ready=True, gpus=7)
    world.settle(61)
    world.settle(15)
    assert [action.reason for action in world.asked] == ["GPUsMissing on node-0"]


def test_a_node_that_comes_and_goes_keeps_its_time():
    world = broken_for(PATIENCE - 60)
    since = world.status["suspectNodes"][0]["time"]
    world.mend_node(0)
    world.nodes[0] = replace(world.nodes[0], ready_changed=NOW + timedelta(seconds=world.seconds))
    world.settle(30)
    world.break_node(0)
    world.settle(1)
    assert world.status["suspectNodes"][0]["time"] == since


# before


def test_jobs_are_told_first_and_the_node_is_cordoned_and_only_then_repaired():
    world = World()
    world.jobs = (JobUse("train", frozenset({"node-0"})),)
    world.blames = {"node-0": frozenset({"a", "b"})}
    world.settle()
    world.settle(PATIENCE + 10)
    assert (world.leaving(), world.nodes[0].cordoned_for) == ({"node-0": "Repair"}, "Repair")
    assert world.status["leavingNodes"][0]["jobs"] == "MustLeave"
    world.settle(30)
    assert world.asked == []
    world.jobs = ()
    world.settle(1)
    assert len(world.asked) == 1


def test_a_job_that_never_leaves_does_not_keep_a_node_broken_for_ever():
    world = World()
    world.jobs = (JobUse("train", frozenset({"node-0"})),)
    world.blames = {"node-0": frozenset({"a", "b"})}
    world.settle()
    world.settle(PATIENCE + 10)
    world.settle(INSTALLATION.save_grace_seconds + 130)
    assert len(world.asked) == 1


def test_the_repairs_are_looked_at_again_right_before_one_is_asked_for():
    world = World()
    world.settle()
    world.break_node(0)
    world.settle(1)
    world.seconds += PATIENCE
    actions = []
    while not world.asked:
        actions += world.step().actions
    kinds = [type(action) for action in actions]
    assert kinds[-1] is RepairNode
    assert world.looked.as_of == MONOTONIC + world.seconds
    assert LookAtRemediations in kinds


def test_looks_that_took_long_are_good_enough_for_the_pass_that_follows_on_them():
    world = broken_for(PATIENCE - 60)
    world.settle(61)
    world.asked.clear()
    world.status["leavingNodes"][0].pop("askedTime")
    world.listed, world.looked = MONOTONIC, Known((), MONOTONIC + world.seconds)
    seen = world.observe()
    looks = decide(seen).actions
    assert [type(look) for look in looks] == [LookAtProvider, LookAtRemediations]
    outcomes = tuple(Outcome(look) for look in looks)
    request, *_ = decide(replace(seen, around=replace(seen.around, outcomes=outcomes))).actions
    assert isinstance(request, RepairNode)


def test_a_node_that_recovers_while_its_jobs_leave_is_not_repaired_and_is_given_back_to_them():
    world = World()
    world.blames = {}
    world.jobs = (JobUse("train", frozenset({"node-0"})),)
    broken_for(PATIENCE, world, ready=True, gpus=7)
    assert world.leaving() == {"node-0": "Repair"}
    world.mend_node(0)
    world.settle(5)
    assert (world.asked, world.leaving(), world.nodes[0].cordoned) == ([], {}, False)
    assert world.condition()["status"] == "True"


def test_a_node_that_came_back_just_before_its_repair_was_due_keeps_its_jobs():
    """It stays suspect for two minutes more, because it may go again; but there is nothing to repair now."""
    world = broken_for(PATIENCE - 60)
    world.mend_node(0)
    world.nodes[0] = replace(world.nodes[0], ready_changed=NOW + timedelta(seconds=world.seconds))
    world.settle(90)
    assert [suspect["name"] for suspect in world.status["suspectNodes"]] == ["node-0"]
    assert (world.asked, world.leaving(), world.nodes[0].cordoned) == ([], {}, False)


def test_one_node_at_a_time_unless_the_user_allows_more():
    for limit, expected in (({}, 1), ({"maxUnavailable": 2}, 2), ({"maxUnavailablePercent": 75}, 3)):
        world = World(repair={"mode": "Reboot", **limit})
        world.settle()
        for index in range(4):
            world.break_node(index)
        world.settle(1)
        world.settle(PATIENCE)
        assert len({action.instance_id for action in world.asked}) == len(world.asked) == expected


def test_a_percentage_of_a_small_cluster_is_at_least_one_node():
    world = broken_for(PATIENCE, World(2, repair={"mode": "Reboot", "maxUnavailablePercent": 10}))
    assert len(world.asked) == 1


# never two


def test_a_request_whose_answer_was_lost_is_looked_for_before_another():
    world = World()
    world.refuses = Failure(ErrorClass.AMBIGUOUS, "The connection broke.")
    broken_for(PATIENCE, world)
    world.settle(60)
    assert len(world.asked) == 1
    world.repairs = (a_repair(at=NOW + timedelta(seconds=world.seconds - 59)),)
    world.settle(20)
    world.settle(INSTALLATION.settle_seconds + 20)
    assert len(world.asked) == 1
    assert world.status["leavingNodes"][0]["repairID"] == "r-1"


def test_a_crash_before_the_request_leaves_leads_to_another_only_after_a_late_clean_list():
    world = broken_for(PATIENCE)
    world.asked.clear()  # it was written down, and never sent
    world.forget()
    world.settle(INSTALLATION.settle_seconds - 30)
    assert world.asked == []
    world.settle(60)
    assert len(world.asked) == 1


def test_a_repair_that_the_list_does_not_show_yet_is_not_taken_for_over():
    world = broken_for(PATIENCE)
    world.repairs = (a_repair(at=NOW + timedelta(seconds=world.seconds)),)
    world.settle(11)
    world.lists_repairs = False
    world.settle(20)
    assert (world.leaving(), len(world.asked)) == ({"node-0": "Repair"}, 1)


def test_a_repair_that_somebody_else_began_is_waited_for():
    world = World()
    world.settle()
    world.repairs = (a_repair(0, "RUNNING"),)
    world.break_node(0)
    world.settle(301)
    world.settle(PATIENCE)
    assert (world.asked, world.leaving()) == ([], {"node-0": "Repair"})


def test_a_refusal_is_told_and_asked_again_with_pauses():
    world = World()
    world.refuses = Failure(ErrorClass.BAD_REQUEST, "The provider refuses it.")
    broken_for(PATIENCE, world)
    assert "The provider refuses it." in world.condition()["message"]
    assert len(world.asked) == 1
    for _ in range(600):
        world.settle(1)
    assert 5 <= len(world.asked) <= 12


# after


def done_with(world, state="SUCCEEDED", took=120):
    """The provider has the repair, and ends it."""
    begun = NOW + timedelta(seconds=world.seconds)
    mode, number = world.asked[-1].mode, len(world.asked)
    world.repairs = (*world.repairs, a_repair(mode=mode, at=begun, repair_id=f"r-{number}"))
    world.settle(11)
    repaired(world, state, at=world.seconds + took)
    world.settle(took)
    return world


def test_a_repaired_node_is_used_again_and_the_repair_stands_in_the_history():
    world = broken_for(PATIENCE)
    world.mend_node(0)
    done_with(world)
    assert (world.leaving(), world.nodes[0].cordoned) == ({}, False)
    (record,) = world.status["repairs"]
    assert (record["node"], record["mode"], record["outcome"]) == ("node-0", "REBOOT_VM", "SUCCEEDED")
    assert (world.told.count("NodeRepairAsked"), world.told.count("NodeRepaired")) == (1, 1)
    assert world.condition()["status"] == "True"


def test_a_node_that_a_reboot_did_not_mend_is_replaced_after_the_providers_pause():
    world = done_with(broken_for(PATIENCE, World(repair={"mode": "RebootThenReplace"})))
    world.settle(600)
    assert [action.mode for action in world.asked] == ["REBOOT_VM"]
    world.settle(COOLDOWN)
    assert [action.mode for action in world.asked] == ["REBOOT_VM", "HOST_AWARE"]


def test_the_replaced_node_is_forgotten_with_its_name():
    world = broken_for(PATIENCE, World(repair={"mode": "Replace"}))
    assert world.asked[0].mode == "HOST_AWARE"
    world.nodes[0] = replace(world.nodes[0], name="node-9", ready=True, cordoned=False, cordoned_for="")
    world.records[0] = a_record(9)
    world.settle(60)
    assert (world.leaving(), world.status.get("suspectNodes", [])) == ({}, [])


def test_repairs_that_do_not_help_end_and_say_whom_to_ask():
    world = broken_for(PATIENCE)
    for _ in range(4):
        done_with(world, "FAILED")
        world.settle(COOLDOWN + 10)
    assert len(world.asked) == 3
    assert "support" in world.condition()["message"]
    assert "NodeRepairFailed" in world.told


def test_the_history_is_bounded():
    world = World()
    world.repairs = tuple(a_repair(0, "RUNNING", repair_id=f"r-{number:03}") for number in range(40))
    world.settle()
    assert len(world.status["repairs"]) == 16


# the provider's proposals


def a_proposal(**more):
    return a_repair(0, "PENDING_APPROVAL", mode="HOST_AWARE", trigger="AUTOMATED", repair_id="p-1", **more)


def test_a_proposal_is_told_and_left_to_the_user_by_default():
    world = World()
    world.repairs = (a_proposal(),)
    world.settle()
    world.settle(60)
    assert (world.asked, world.leaving()) == ([], {})
    assert "providerProposals" in world.condition()["message"]
    assert world.told.count("RepairProposed") == 1


def test_a_proposal_is_approved_once_the_jobs_have_left_when_the_user_allows_it():
    world = World(repair={"mode": "Off", "providerProposals": "Approve"})
    world.jobs = (JobUse("train", frozenset({"node-0"})),)
    world.repairs = (a_proposal(),)
    world.settle()
    world.settle(20)
    assert (world.asked, world.leaving()) == ([], {"node-0": "Repair"})
    world.jobs = ()
    world.seconds += 1
    while not world.asked:
        world.step()
    (approval,) = world.asked
    assert isinstance(approval, ApproveRemediation)
    assert (approval.instance_id, approval.remediation_id) == ("vm-0", "p-1")


def test_a_proposal_that_would_take_a_node_without_another_is_never_approved():
    world = World(repair={"mode": "Off", "providerProposals": "Approve"})
    world.repairs = (replace(a_proposal(), mode="EVICT_WITHOUT_REPLACEMENT"),)
    world.settle()
    world.settle(20)
    assert (world.asked, world.leaving()) == ([], {})


# not at all


def test_without_repair_the_broken_node_is_told_and_nothing_is_asked_of_the_provider():
    world = World()
    del world.spec["repair"]
    broken_for(PATIENCE, world)
    assert (world.asked, world.looked, world.leaving()) == ([], None, {})
    assert "`spec.repair.mode`" in world.condition()["message"]


def test_a_paused_cluster_is_not_repaired():
    world = broken_for(PATIENCE - 60)
    seen = world.observe()
    metadata = seen.resource.metadata.model_copy(update={"annotations": {"tunesmith.dev/paused": "true"}})
    seen = replace(seen, resource=seen.resource.model_copy(update={"metadata": metadata}))
    assert decide(seen).actions == ()


def test_a_status_that_tells_of_broken_nodes_rests():
    world = broken_for(PATIENCE)
    before = world.status
    world.settle(5)
    assert world.status == before
