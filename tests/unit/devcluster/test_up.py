"""`up` takes the first way that is possible, and remembers it."""

import json
from pathlib import Path

import pytest
import yaml

from tunesmith_devcluster import kind, up
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.up import Origin


def choice(*, given: Path | None = None, environment=None, docker: bool = False, has_kind: bool = False) -> up.Choice:
    return up.choose(
        given,
        environment or {},
        docker_answers=lambda: docker,
        find_program=lambda name: "/usr/bin/kind" if has_kind and name == "kind" else None,
    )


@pytest.mark.parametrize(
    ("circumstances", "origin", "reason"),
    [
        ({"given": Path("k"), "docker": True, "has_kind": True}, Origin.GIVEN, "--kubeconfig"),
        ({"environment": {"KUBECONFIG": "/k"}, "docker": True, "has_kind": True}, Origin.GIVEN, "KUBECONFIG"),
        ({"environment": {"KUBECONFIG": ""}}, Origin.BINARIES, "no Docker engine answers"),
        ({"docker": True, "has_kind": True}, Origin.KIND, "kind is on PATH"),
        ({"docker": True}, Origin.BINARIES, "kind is not on PATH"),
        ({"has_kind": True}, Origin.BINARIES, "no Docker engine answers"),
    ],
)
def test_the_first_possible_way_is_taken_and_the_reason_said(circumstances, origin, reason):
    made = choice(**circumstances)
    assert made.origin is origin
    assert reason in made.why


def test_docker_is_not_asked_when_a_cluster_is_given():
    up.choose(Path("k"), {}, docker_answers=lambda: pytest.fail("asked"), find_program=lambda _: None)


def test_a_given_kubeconfig_that_is_not_there_is_refused(tmp_path, progress):
    with pytest.raises(DevclusterError, match="is not there"):
        up.up(tmp_path / "state", given=tmp_path / "missing", nodes=2, progress=progress)


def test_kind_gets_as_many_gpu_workers_as_were_asked_for():
    content = yaml.safe_load(kind.configuration(3))
    assert [node["role"] for node in content["nodes"]] == ["control-plane", "worker", "worker", "worker"]
    assert all(node["labels"]["nvidia.com/gpu.present"] == "true" for node in content["nodes"][1:])
    assert content["name"] == kind.NAME
    assert content["networking"]["apiServerAddress"] == "127.0.0.1"
    assert content["kind"] == "Cluster"


def test_down_deletes_a_kind_cluster_and_forgets_it(tmp_path, monkeypatch):
    deleted = []
    monkeypatch.setattr(kind, "delete", deleted.append)
    (tmp_path / "up.json").write_text(json.dumps({"origin": "kind", "why": "w", "kubeconfig": "k"}))
    assert "ended" in up.down(tmp_path)
    assert up.recorded(tmp_path) is None
    assert up.down(tmp_path).startswith("nothing is up")
    assert deleted == [tmp_path]


@pytest.fixture
def kind_on_path(tmp_path, monkeypatch):
    """A program in kind's place that writes down what it is asked, and fails where the file `fails` is."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "kind"
    program.write_text(f'#!/bin/sh\necho "$1" >> {place}/asked\n[ ! -e {place}/fails ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")
    return place


def test_what_an_interrupted_up_by_kind_has_left_is_ended_by_down(tmp_path, kind_on_path):
    (tmp_path / "kind.yaml").write_text("")
    with pytest.raises(DevclusterError, match="down' ends"):
        kind.create(tmp_path, workers=1)
    assert "ended" in up.down(tmp_path)
    assert (kind_on_path / "asked").read_text().split() == ["delete"]
    assert up.down(tmp_path).startswith("nothing is up")


def test_a_cluster_that_kind_could_not_make_is_not_ours_to_delete(tmp_path, kind_on_path):
    (kind_on_path / "fails").touch()
    with pytest.raises(DevclusterError, match="failed"):
        kind.create(tmp_path, workers=1)
    assert up.down(tmp_path).startswith("nothing is up")


def test_down_leaves_a_given_cluster_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(kind, "delete", lambda _: pytest.fail("deleted"))
    (tmp_path / "up.json").write_text(json.dumps({"origin": "given", "why": "w", "kubeconfig": "k"}))
    assert "left as it is" in up.down(tmp_path)


def test_up_says_what_is_up_already(tmp_path, progress, said):
    (tmp_path / "up.json").write_text(json.dumps({"origin": "given", "why": "w", "kubeconfig": "k"}))
    assert up.up(tmp_path, given=None, nodes=2, progress=progress).kubeconfig == "k"
    assert any("up already" in line for line in said)


def test_another_cluster_that_is_given_takes_the_place_of_the_one_before(tmp_path, progress):
    (tmp_path / "up.json").write_text(json.dumps({"origin": "given", "why": "w", "kubeconfig": "k"}))
    with pytest.raises(DevclusterError, match="another-file is not there"):
        up.up(tmp_path, given=tmp_path / "another-file", nodes=2, progress=progress)


@pytest.mark.parametrize(
    ("kubeconfig", "counts"),
    [("state/admin.kubeconfig", False), ("elsewhere/config", True), ("state-of-mine/config", True)],
)
def test_a_kubeconfig_that_up_itself_had_told_to_export_is_not_a_given_one(tmp_path, kubeconfig, counts):
    environment = {"KUBECONFIG": str(tmp_path / kubeconfig), "PATH": "/bin"}
    left = up.without_our_own(environment, tmp_path / "state")
    assert ("KUBECONFIG" in left, left["PATH"]) == (counts, "/bin")
