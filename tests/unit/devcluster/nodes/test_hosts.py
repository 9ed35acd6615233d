"""Who finds whom by which name."""

from tunesmith_devcluster.nodes.hosts import HostsBoard, forget_node
from tunesmith_devcluster.nodes.pod_object import PodObject


def a_pod(name: str, namespace: str = "jobs", subdomain: str = "ring") -> PodObject:
    metadata = {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}"}
    return PodObject({"metadata": metadata, "spec": {"containers": [], "subdomain": subdomain}})


def names_in(content: str) -> dict[str, str]:
    entries = (line.split() for line in content.splitlines() if line and not line.startswith("#"))
    return {name: entry[0] for entry in entries for name in entry[1:]}


def test_siblings_have_short_names_and_strangers_long_ones(tmp_path):
    here, there = HostsBoard(tmp_path, "gpu-a"), HostsBoard(tmp_path, "gpu-b")
    there.add(a_pod("train-1"), "127.64.2.2")
    there.add(a_pod("other-0", namespace="else"), "127.64.2.3")
    here.look()
    names = names_in(here.hosts_file(a_pod("train-0"), "127.64.1.2"))
    assert names["train-0"] == names["train-0.ring"] == "127.64.1.2"
    assert names["train-1.ring"] == names["train-1.ring.jobs.svc.cluster.local"] == "127.64.2.2"
    assert names["other-0.ring.else.svc"] == "127.64.2.3"
    assert "other-0.ring" not in names


def test_a_dead_nodes_pods_are_forgotten(tmp_path):
    board, dead = HostsBoard(tmp_path, "gpu-a"), HostsBoard(tmp_path, "gpu-b")
    dead.add(a_pod("train-1"), "127.64.2.2")
    assert board.look()
    forget_node(tmp_path, "gpu-b")
    assert board.look()
    assert "train-1.ring" not in names_in(board.hosts_file(a_pod("train-0"), "127.64.1.2"))
