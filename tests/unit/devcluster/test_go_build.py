"""How our own programs are built, as far as it can be seen without building them."""

from pathlib import Path

import pytest

from tunesmith_devcluster import go_build, go_toolchain
from tunesmith_devcluster.errors import DevclusterError


def test_the_server_will_say_the_version_that_is_pinned():
    version = go_build.KUBERNETES.pinned("k8s.io/kubernetes")
    flags = go_build.KUBERNETES.linker_flags()
    assert f"-X k8s.io/component-base/version.gitVersion={version}" in flags
    assert "version.gitMajor=1 " in flags


def test_the_cache_is_in_the_users_cache_directory_under_one_key(tmp_path: Path):
    directory = go_build.cache_directory()
    assert directory.parent == tmp_path / "cache" / "tunesmith" / "bin"
    assert directory == go_build.cache_directory()


def test_another_go_sum_gives_another_key(tmp_path, monkeypatch):
    before = go_build.cache_directory()
    for module in (go_build.KUBERNETES, go_build.ETCD, go_build.KWOK):
        copy = tmp_path / "go" / module.name
        copy.mkdir(parents=True)
        for name in ("go.mod", "go.sum"):
            (copy / name).write_bytes((module.directory / name).read_bytes())
    monkeypatch.setattr(go_build, "MODULES", tmp_path / "go")
    assert go_build.cache_directory() == before
    (tmp_path / "go" / "etcd" / "go.sum").write_text("changed")
    assert go_build.cache_directory() != before


def fake_go(directory: Path, script: str) -> Path:
    go = directory / "go"
    go.write_text(f"#!/bin/sh\n{script}\n")
    go.chmod(0o755)
    return go


def test_a_build_counts_the_packages_that_are_not_cached_yet(tmp_path, monkeypatch, progress, said):
    script = 'case "$1" in list) echo one; echo two;; build) echo one >&2; echo two >&2; touch "$7";; esac'
    monkeypatch.setattr(go_toolchain, "find", lambda _: fake_go(tmp_path, script))
    made = go_build.built(go_build.ETCD, progress)
    assert made["etcd"].exists()
    assert "building etcd: 2 steps" in said


def test_a_build_that_fails_says_what_go_said(tmp_path, monkeypatch, progress):
    script = '[ "$1" = list ] || { echo "main.go:1: everything is wrong" >&2; exit 1; }'
    monkeypatch.setattr(go_toolchain, "find", lambda _: fake_go(tmp_path, script))
    with pytest.raises(DevclusterError, match=r"(?s)Building etcd failed.*everything is wrong.*KUBEBUILDER_ASSETS"):
        go_build.built(go_build.ETCD, progress)
    assert not (go_build.cache_directory() / "etcd").exists()


@pytest.mark.parametrize(("version", "taken"), [("go1.26.8", True), ("go1.27", True), ("go1.25.9", False)])
def test_a_go_on_path_is_taken_if_it_is_new_enough(tmp_path, monkeypatch, said, version, taken):
    go = fake_go(tmp_path, f"echo {version}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    private = Path("/private")
    monkeypatch.setattr(go_toolchain.cache, "provide", lambda *_, **__: [private])
    assert go_toolchain.find(said.append) == (go if taken else private / "bin" / "go")
    assert bool(said) is not taken
