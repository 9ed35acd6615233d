"""Nodes break on command, as in life."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tunesmith_devcluster.nodes import fault
from tunesmith_devcluster.nodes.cli import node as node_command

FOREVER = {"terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}]}


@pytest.fixture
def broken(playground):
    """The directory of node gpu-b, which is whole again after the test."""
    directory = playground.node("gpu-b")
    yield directory
    fault.kill(directory)
    fault.start(directory)
    playground.until(lambda: ready(playground) == "True", "gpu-b is ready again")


def ready(playground):
    conditions = playground.api.get("/api/v1/nodes/gpu-b")["status"]["conditions"]
    return next(one["status"] for one in conditions if one["type"] == "Ready")


def ticking(playground, tmp_path: Path, name: str = "p"):
    """A pod on gpu-b that writes a growing file; returns the file."""
    spec = {**FOREVER, "nodeName": "gpu-b", "volumes": [{"name": "out", "hostPath": {"path": str(tmp_path)}}]}
    script = "while :; do echo . >> /out/ticks; sleep 0.1; done"
    playground.pod(name, script, spec=spec, volumeMounts=[{"name": "out", "mountPath": "/out"}])
    playground.until((tmp_path / "ticks").exists, "the program runs")
    playground.until_phase(name, "Running")
    return tmp_path / "ticks"


def goes_on(playground, ticks: Path):
    before = ticks.stat().st_size
    playground.until(lambda: ticks.stat().st_size > before, "the program goes on")


def test_a_node_can_be_made_not_ready_and_its_pods_go_on(playground, broken, tmp_path):
    ticks = ticking(playground, tmp_path)
    fault.not_ready(broken)
    assert ready(playground) == "False"
    goes_on(playground, ticks)
    fault.ready(broken)
    assert ready(playground) == "True"


def test_a_killed_node_takes_its_pods_processes_with_it_and_says_no_goodbye(playground, broken, tmp_path):
    ticks = ticking(playground, tmp_path)
    fault.kill(broken)
    size = ticks.stat().st_size
    assert playground.seen("p")["status"]["phase"] == "Running"
    playground.until(lambda: ready(playground) == "Unknown", "the controllers miss the node")
    assert ticks.stat().st_size == size
    fault.start(broken)
    playground.until(lambda: ready(playground) == "True", "the node is back")
    ended = playground.ended("p")
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")


def test_a_pod_of_policy_always_is_started_again_when_its_node_comes_back(playground, broken):
    playground.pod("p", "sleep 600", spec={**FOREVER, "nodeName": "gpu-b", "restartPolicy": "Always"})
    playground.until_phase("p", "Running")
    fault.kill(broken)
    fault.start(broken)
    container = playground.until_container("p", lambda c: c["restartCount"] == 1 and "running" in c["state"])
    assert container["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_node_that_is_cut_off_works_on_and_ends_what_was_deleted_when_it_comes_back(playground, broken, tmp_path):
    ticks = ticking(playground, tmp_path)
    fault.cut_off(broken)
    playground.until(lambda: ready(playground) == "Unknown", "the controllers miss the node")
    goes_on(playground, ticks)
    playground.delete("p", "?gracePeriodSeconds=0")
    goes_on(playground, ticks)
    fault.reconnect(broken)
    playground.until(lambda: ready(playground) == "True", "the node is back")

    def stands_still() -> bool:
        before = ticks.stat().st_size
        time.sleep(0.5)
        return ticks.stat().st_size == before

    playground.until(stands_still, "the deleted pod's program has ended")


def test_a_node_can_lose_gpus_and_get_them_back(playground, broken):
    def gpus():
        return playground.api.get("/api/v1/nodes/gpu-b")["status"]["allocatable"]["nvidia.com/gpu"]

    fault.lose_gpus(broken, 3)
    assert gpus() == "5"
    fault.lose_gpus(broken, 1)
    assert gpus() == "4"
    fault.restore_gpus(broken)
    assert gpus() == "8"


def test_the_commands_do_the_same(playground, broken):
    place = ["--directory", str(playground.cluster.directory)]
    told = CliRunner().invoke(node_command, ["not-ready", "gpu-b", *place])
    assert told.exit_code == 0, told.output
    assert ready(playground) == "False"
    told = CliRunner().invoke(node_command, ["kill", "gpu-c", *place])
    assert told.exit_code == 1
    assert "known: gpu-a, gpu-b" in told.output


def test_a_node_that_ends_ends_its_pods_processes(playground, broken, tmp_path):
    ticks = ticking(playground, tmp_path)
    fault.stop_node(broken)
    size = ticks.stat().st_size
    fault.start(broken)
    playground.until(lambda: ready(playground) == "True", "the node is back")
    assert ticks.stat().st_size == size
