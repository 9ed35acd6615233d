"""Clusters begin, live side by side, and end without leaving anything."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith_devcluster import binaries, slots
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.components import Binaries
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_devcluster.processes import recorded
from tunesmith_devcluster.progress import Lines


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def command_lines_with(text: str) -> list[str]:
    """Command lines of this machine's processes that speak of something."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def test_a_second_cluster_lives_beside_the_first_and_leaves_nothing_behind(cluster: Cluster, tmp_path: Path):
    second = Cluster.create(tmp_path / "second", name="second", nodes=[NodeSpec("gpu-1", gpus=4)])
    try:
        assert second.slot != cluster.slot
        own = (second.node_directory("gpu-1") / "pod-range").read_text()
        others = (cluster.node_directory("gpu-1") / "pod-range").read_text()
        assert own.rsplit(".", 2)[0] != others.rsplit(".", 2)[0]
        with second.api() as api, cluster.api() as other:
            assert api.get("/api/v1/nodes/gpu-1")["status"]["allocatable"]["nvidia.com/gpu"] == "4"
            assert other.get("/api/v1/nodes/gpu-1")["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert len(command_lines_with(str(second.directory))) >= 5
    finally:
        second.stop()
    assert command_lines_with(str(second.directory)) == []
    second.stop()
    assert not Cluster.runs_in(second.directory)
    assert Cluster.runs_in(cluster.directory)


def test_nodes_come_and_go_while_the_cluster_lives(cluster: Cluster):
    cluster.add_nodes([NodeSpec("gpu-extra", gpus=2, labels={"tunesmith.dev/trial": "yes"})])
    try:
        with cluster.api() as api:
            node = api.get("/api/v1/nodes/gpu-extra")
            assert node["metadata"]["labels"]["tunesmith.dev/trial"] == "yes"
            assert "gpu-extra" in cluster.node_names()
    finally:
        cluster.remove_nodes(["gpu-extra"])
    with cluster.api() as api:
        assert not api.exists("/api/v1/nodes/gpu-extra")
    assert cluster.node_names() == ["gpu-1", "gpu-2"]


def test_another_process_can_end_what_this_one_started(tmp_path: Path):
    cluster = Cluster.create(tmp_path / "c", name="ended-elsewhere")
    try:
        program = "import sys, pathlib, tunesmith_devcluster.cluster as c; c.Cluster.end(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", program, cluster.directory], check=True)
        assert command_lines_with(str(cluster.directory)) == []
        with pytest.raises(DevclusterError, match="No cluster runs"):
            Cluster.open(cluster.directory)
    finally:
        cluster.stop()


def test_a_component_that_dies_at_the_start_is_named_with_its_last_words_and_nothing_is_left(tmp_path: Path):
    good = binaries.ensure(Lines(print))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'the disk is on fire' >&2\nexit 3\n")
    broken.chmod(0o755)
    programs = Binaries(broken, good.controller_manager, good.scheduler, good.etcd)
    with pytest.raises(DevclusterError, match=r"apiserver ended(.|\n)*the disk is on fire"):
        Cluster.create(tmp_path / "c", name="broken", programs=programs)
    assert command_lines_with(str(tmp_path / "c")) == []


def test_a_directory_with_something_else_in_it_is_not_touched(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(DevclusterError, match="is not empty"):
        Cluster.create(tmp_path, name="careful")
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


def test_fake_nodes_of_kwok_run_a_job_to_its_end(cluster: Cluster):
    cluster.start_kwok()
    cluster.add_fake_nodes([NodeSpec(f"fake-{number}") for number in range(3)])
    template = {
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"type": "kwok"},
            "containers": [{"name": "main", "image": "any", "resources": {"limits": {"nvidia.com/gpu": "8"}}}],
        }
    }
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimit": 0, "template": template}
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    try:
        with cluster.api() as api:
            api.post(jobs, {"metadata": {"name": "on-fakes"}, "spec": spec})
            until(lambda: api.get(f"{jobs}/on-fakes")["status"].get("succeeded") == 3)
            api.delete(f"{jobs}/on-fakes?propagationPolicy=Background")
    finally:
        cluster.stop_kwok()
        with cluster.api() as api:
            api.delete("/api/v1/nodes?labelSelector=type=kwok")


def test_up_gives_a_kubeconfig_and_down_ends_exactly_that(cluster: Cluster, tmp_path: Path):
    directory = tmp_path / "state"
    command = [shutil.which("tunesmith-devcluster", path=str(Path(sys.executable).parent)) or "tunesmith-devcluster"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(Path.home())}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [*command, *arguments, f"--directory={directory}"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    try:
        kubeconfig = run("up", "--nodes=1").strip()
        assert run("kubeconfig").strip() == kubeconfig
        assert "gpu-1  Ready  8 GPUs" in run("status")
        assert run("up", "--nodes=1").strip() == kubeconfig
        recorded(directory / "scheduler.pid").send(signal.SIGKILL)
    finally:
        assert "ended" in run("down")
    assert command_lines_with(str(directory)) == []
    assert run("down").startswith("nothing is up")
    assert Cluster.runs_in(cluster.directory)


def test_down_ends_what_a_killed_up_had_begun(tmp_path: Path):
    directory = tmp_path / "state"
    command = [sys.executable, "-m", "tunesmith_devcluster"]
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    up = subprocess.Popen([*command, "up", f"--directory={directory}"], env=environment, stdout=subprocess.DEVNULL)
    until((directory / "apiserver.pid").exists)
    up.kill()
    up.wait()
    assert command_lines_with(str(directory)) != []
    subprocess.run([*command, "down", f"--directory={directory}"], env=environment, check=True)
    assert command_lines_with(str(directory)) == []


def test_a_given_cluster_is_used_as_it_is_and_left_alone(cluster: Cluster, tmp_path: Path):
    command = [sys.executable, "-m", "tunesmith_devcluster"]
    directory = f"--directory={tmp_path / 'state'}"
    up = subprocess.run(
        [*command, "up", f"--kubeconfig={cluster.kubeconfig}", directory], capture_output=True, text=True, check=True
    )
    assert up.stdout.strip() == str(cluster.kubeconfig)
    assert "given" in up.stderr
    down = subprocess.run([*command, "down", directory], capture_output=True, text=True, check=True)
    assert "left as it is" in down.stdout
    assert Cluster.runs_in(cluster.directory)


def test_the_slots_of_ended_clusters_are_free_again(tmp_path: Path):
    abandoned = slots.take(tmp_path / "nowhere")
    slots.give_back(abandoned, tmp_path / "nowhere")
    again = slots.take(tmp_path / "elsewhere", abandoned.number)
    slots.give_back(again, tmp_path / "elsewhere")
    assert again.number == abandoned.number
