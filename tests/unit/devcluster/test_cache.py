"""What is built once is found again, and nothing half done is ever found."""

import threading
from pathlib import Path

import pytest

from tunesmith_devcluster import cache


def nothing() -> None:
    """Nobody waits."""


def test_another_content_or_setting_gives_another_key(tmp_path: Path):
    file = tmp_path / "go.sum"
    file.write_text("a")
    first = cache.key_of([file], "-trimpath")
    assert cache.key_of([file], "-trimpath") == first
    assert cache.key_of([file], "-trimpath", "-race") != first
    file.write_text("b")
    assert cache.key_of([file], "-trimpath") != first


def test_what_was_made_is_not_made_again(tmp_path: Path):
    made = []

    def make(draft: Path) -> None:
        made.append(draft)
        (draft / "etcd").write_text("program")

    for _ in range(2):
        (program,) = cache.provide(tmp_path / "bin", ["etcd"], make, on_wait=nothing)
        assert program.read_text() == "program"
    assert len(made) == 1
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["etcd"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path):
    def make(draft: Path) -> None:
        (draft / "etcd").write_text("half a pro")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.provide(tmp_path / "bin", ["etcd"], make, on_wait=nothing)
    assert list((tmp_path / "bin").iterdir()) == []


def test_a_second_run_waits_for_the_first_and_takes_what_it_made(tmp_path: Path):
    waiting, made = threading.Event(), []

    def make(draft: Path) -> None:
        made.append(1)
        assert waiting.wait(30)
        (draft / "etcd").write_text("program")

    runs = [
        threading.Thread(target=cache.provide, args=(tmp_path / "bin", ["etcd"], make), kwargs={"on_wait": waiting.set})
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert made == [1]
    assert (tmp_path / "bin" / "etcd").read_text() == "program"
