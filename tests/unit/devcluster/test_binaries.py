"""Which control-plane programs are taken: those given if new enough, else our own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith_devcluster import binaries, go_build
from tunesmith_devcluster.progress import Lines


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Nothing is on PATH but a shell, and building is only noted."""
    modules: list[str] = []

    def note(module: go_build.Module, _: Lines) -> dict[str, Path]:
        modules.append(module.name)
        return {name: Path("/built") / name for name in module.programs}

    monkeypatch.setattr(go_build, "built", note)
    monkeypatch.setenv("PATH", "/nowhere")
    return modules


def programs(directory: Path, **says: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in says.items():
        program = directory / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)
    return directory


KUBERNETES = ("kube_apiserver", "kube_controller_manager", "kube_scheduler")


def test_the_programs_of_kubebuilder_assets_are_taken(tmp_path, monkeypatch, progress, said, built):
    assets = programs(
        tmp_path / "assets", etcd="etcd Version: 3.6.0", **dict.fromkeys(KUBERNETES, "Kubernetes v1.34.1")
    )
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert binaries.ensure(progress).scheduler == assets / "kube-scheduler"
    assert built == []
    assert any("1.34.1 of KUBEBUILDER_ASSETS" in line for line in said)


def test_too_old_ones_are_not_and_it_is_said(tmp_path, monkeypatch, progress, said, built):
    assets = programs(tmp_path / "assets", **dict.fromkeys(KUBERNETES, "Kubernetes v1.29.0"))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert binaries.ensure(progress).apiserver == Path("/built/kube-apiserver")
    assert built == ["kubernetes", "etcd"]
    assert any("1.29.0; 1.33.0 or newer is needed" in line for line in said)


def test_programs_of_kubernetes_are_never_of_two_origins(tmp_path, monkeypatch, progress, built):
    # What setup-envtest downloads: an API server and etcd, but no controllers.
    assets = programs(tmp_path / "assets", kube_apiserver="Kubernetes v1.36.0", etcd="etcd Version: 3.6.0")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    chosen = binaries.ensure(progress)
    assert chosen.apiserver == Path("/built/kube-apiserver")
    assert chosen.etcd == assets / "etcd"
    assert built == ["kubernetes"]


def test_programs_on_path_are_taken(tmp_path, monkeypatch, progress, built):
    place = programs(tmp_path / "path", kwok="kwok version v0.8.0 go1.26")
    monkeypatch.setenv("PATH", str(place), prepend=None)
    assert binaries.ensure_kwok(progress) == place / "kwok"
    assert built == []


def test_building_needs_nothing_that_must_be_installed_first():
    tree = Path(binaries.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-S", "-c", "import tunesmith_devcluster.binaries"], env={"PYTHONPATH": str(tree)}, check=True
    )
