"""The ways of clusters and volumes that are not the plain one: they dwell, go back, stick, fail."""

import base64

import pytest
from tests.unit.simulator.builders import HOUR, Played

from tunesmith_simulator.courses import ClusterCourse, GoesBack, NamedVolumeCourse, PhaseName
from tunesmith_simulator.machines import NodePhase
from tunesmith_simulator.phases import ClusterPhase
from tunesmith_simulator.volumes import VolumeStatus


def played(**course) -> Played:
    return Played().with_courses(ClusterCourse(**course))


def test_every_phase_that_a_course_can_name_is_one():
    assert set(PhaseName.__args__) == {phase.short for phase in ClusterPhase}


def test_a_course_is_taken_by_the_clusters_that_it_names():
    world = played(cluster_name="slow-*", dwell_seconds={"INSTALLING_DRIVERS": 2 * HOUR})
    slow, plain = world.buy("slow-one"), world.buy("plain")
    world.wait(HOUR)
    assert (world.cluster(slow).status, world.cluster(plain).status) == ("InstallingDrivers", "Ready")
    world.wait(2 * HOUR)
    assert world.cluster(slow).status == "Ready"


def test_a_phase_that_waits_for_nodes_dwells_too():
    world = played(dwell_seconds={"WAITING_FOR_CONTROL_PLANE_NODES": 2 * HOUR})
    cluster = world.buy()
    world.wait(HOUR)
    assert world.cluster(cluster).status == "WaitingForControlPlaneNodes"
    world.wait(2 * HOUR)
    assert world.cluster(cluster).status == "Ready"


@pytest.mark.parametrize(
    "phase", ["WAITING_FOR_CONTROL_PLANE_NODES", "WAITING_FOR_SUBNET", "INSTALLING_DRIVERS", "RUNNING_ACCEPTANCE_TESTS"]
)
def test_a_state_can_last_for_ever_and_the_cluster_can_still_be_deleted(phase):
    world = played(never_leaves=(phase,))
    cluster = world.buy()
    world.wait(1000 * HOUR)
    assert world.phases(cluster)[-1] == phase
    world.delete(cluster)
    world.wait(HOUR)
    assert world.cluster(cluster).gone_at is not None


def test_a_deletion_that_never_ends():
    world = played(never_leaves=("DELETING",))
    cluster = world.buy()
    world.delete(cluster)
    world.wait(1000 * HOUR)
    assert (world.cluster(cluster).status, world.cluster(cluster).gone_at) == ("Deleting", None)


def test_a_state_goes_back_as_often_as_it_is_told():
    world = played(goes_back=(GoesBack(leaving="INSTALLING_DRIVERS", to="WAITING_FOR_DATA_PLANE_NODES", times=2),))
    cluster = world.buy()
    world.wait(HOUR)
    assert world.phases(cluster).count("INSTALLING_DRIVERS") == 3
    assert world.cluster(cluster).status == "Ready"


@pytest.mark.parametrize("phase", ["ACCEPTANCE_TESTS_FAILED", "NCCL_TESTS_FAILED"])
@pytest.mark.parametrize("status", ["RunningAcceptanceTests", "Degraded"])
def test_failed_tests_are_a_phase_under_a_status_of_choice_and_last(phase, status):
    world = played(tests_fail=phase, failed_tests_status=status)
    cluster = world.buy()
    world.wait(1000 * HOUR)
    assert (world.phases(cluster)[-1], world.cluster(cluster).status) == (phase, status)
    assert world.cluster(cluster).first_ready_at is None


def test_tests_fail_twice_and_then_pass():
    back = GoesBack(leaving="ACCEPTANCE_TESTS_FAILED", to="RUNNING_ACCEPTANCE_TESTS", times=9)
    world = played(tests_fail="ACCEPTANCE_TESTS_FAILED", tests_fail_times=2, goes_back=(back,))
    cluster = world.buy()
    world.wait(2 * HOUR)
    assert world.phases(cluster).count("ACCEPTANCE_TESTS_FAILED") == 2
    assert world.cluster(cluster).status == "Ready"


def test_who_did_not_ask_for_tests_does_not_fail_them():
    world = played(tests_fail="ACCEPTANCE_TESTS_FAILED")
    cluster = world.buy(acceptance_tests=False)
    world.wait(HOUR)
    assert world.cluster(cluster).status == "Ready"


def test_a_cluster_is_scheduled_first_though_nobody_asked_for_a_later_start():
    world = played(scheduled_seconds=HOUR)
    cluster = world.buy()
    assert world.cluster(cluster).status == "Scheduled"
    world.wait(2 * HOUR)
    assert world.cluster(cluster).status == "Ready"


def test_a_slow_node_keeps_its_cluster_waiting():
    world = played(slow_nodes={1: 20.0})
    cluster = world.buy()
    world.wait(HOUR)
    assert [node.phase for node in world.cluster(cluster).gpu_nodes] == [NodePhase.RUNNING, NodePhase.BOOTING]
    world.wait(2 * HOUR)
    assert world.cluster(cluster).status == "Ready"


def test_gpus_are_missing_after_boot_and_the_api_counts_them_all_the_same():
    world = played(missing_gpus={0: 1})
    cluster = world.buy()
    world.wait(HOUR)
    assert [(node.num_gpus, node.missing_gpus) for node in world.cluster(cluster).gpu_nodes] == [(8, 1), (8, 0)]


def test_a_kubeconfig_comes_late():
    world = played(kube_config_after_seconds=HOUR)
    cluster = world.buy()
    world.wait(HOUR)
    assert (world.cluster(cluster).control_plane_ready, world.cluster(cluster).told_kube_config) == (True, "")
    world.wait(HOUR)
    assert b"clusters" in base64.b64decode(world.cluster(cluster).told_kube_config)


def test_a_kubeconfig_never_comes():
    world = played(kube_config_never=True)
    cluster = world.buy()
    world.wait(1000 * HOUR)
    assert (world.cluster(cluster).status, world.cluster(cluster).told_kube_config) == ("Ready", "")


def test_a_volume_fails_and_can_be_deleted():
    world = Played().with_courses(NamedVolumeCourse(volume_name="bad", fails=True))
    bad, good = world.buy_volume("bad"), world.buy_volume("good")
    world.wait(HOUR)
    assert (world.volume(bad).status, world.volume(good).status) == (VolumeStatus.FAILED, VolumeStatus.AVAILABLE)


def test_a_volume_lands_in_another_partition():
    world = Played().with_courses(NamedVolumeCourse(partition="b"))
    volume = world.buy_volume()
    assert world.volume(volume).partition == "b"
