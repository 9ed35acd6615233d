"""Which helm and kubectl are taken, and whether a Docker engine answers."""

from pathlib import Path

import pytest

from tunesmith_devcluster import kind, packages, tools
from tunesmith_devcluster.versions import Version

SERVER = Version(1, 37, 2)


def program(directory: Path, name: str, script: str) -> Path:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds what a test puts there."""
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture(autouse=True)
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The package is not installed by these tests."""
    both = {"helm": tmp_path / "carried" / "helm", "kubectl": tmp_path / "carried" / "kubectl"}
    monkeypatch.setattr(tools, "_carried", lambda _: both)
    return both


def test_what_is_on_path_is_taken_if_it_is_new_enough(path, progress):
    helm = program(path, "helm", "echo v3.18.1+gabc")
    kubectl = program(path, "kubectl", 'echo \'{"clientVersion": {"major": "1", "gitVersion": "v1.36.3"}}\'')
    assert tools.ensure(progress, SERVER) == tools.Tools(helm, kubectl)


def test_what_is_too_old_is_not(path, progress, carried):
    program(path, "helm", "echo v3.11.0+gabc")
    program(path, "kubectl", 'echo \'{"clientVersion": {"gitVersion": "v1.32.4"}}\'')
    assert tools.ensure(progress, SERVER) == tools.Tools(**carried)


def test_what_is_missing_comes_from_the_package(progress, carried):
    assert tools.ensure(progress, SERVER) == tools.Tools(**carried)


def test_the_server_is_the_pinned_one_unless_told_otherwise(path, progress, carried):
    program(path, "kubectl", "echo v1.32.4")
    assert tools.ensure(progress).kubectl == carried["kubectl"]
    assert tools.ensure(progress, Version(1, 33)).kubectl == path / "kubectl"


@pytest.mark.parametrize(("script", "answers"), [("exit 0", True), ("echo 'Cannot connect' >&2; exit 1", False)])
def test_a_docker_client_without_an_engine_does_not_count(path, script, answers):
    assert kind.docker_answers() is False
    program(path, "docker", script)
    assert kind.docker_answers() is answers


def test_the_locks_pin_by_hash_and_name_no_host():
    for name in ("go.lock", "tools.lock"):
        text = (packages.REQUIREMENTS / name).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
