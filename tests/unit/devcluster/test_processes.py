"""Exactly the processes that were started are ended, from wherever."""

import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tunesmith_devcluster import processes
from tunesmith_devcluster.errors import DevclusterError


def start(directory: Path, script: str, name: str = "it") -> processes.Process:
    return processes.start(
        ["/bin/sh", "-c", script],
        pid_file=directory / f"{name}.pid",
        log=directory / f"{name}.log",
        environment={"PATH": os.defpath},
    )


def test_a_started_process_lives_in_its_own_session_with_no_environment_but_the_given(tmp_path: Path):
    process = start(tmp_path, "env; exec sleep 600")
    try:
        assert os.getsid(process.pid) == process.pid
        assert processes.recorded(tmp_path / "it.pid") == process
        while "PATH" not in Path(process.log).read_text():
            time.sleep(0.01)
        assert "HOME" not in Path(process.log).read_text()
    finally:
        processes.end([tmp_path / "it.pid"], grace_seconds=5)
    assert not process.alive
    assert not (tmp_path / "it.pid").exists()


def test_one_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path):
    process = start(tmp_path, "trap '' TERM; sleep 600 & echo $!; while true; do sleep 1; done")
    while not (child := Path(process.log).read_text().strip()):
        time.sleep(0.01)
    processes.end([tmp_path / "it.pid"], grace_seconds=0.2)
    assert not process.alive
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_pid_that_belongs_to_somebody_else_now_is_left_alone(tmp_path: Path):
    bystander = start(tmp_path, "exec sleep 600", "bystander")
    stale = dataclasses.replace(bystander, started_ticks=bystander.started_ticks - 1)
    (tmp_path / "stale.pid").write_text(json.dumps(dataclasses.asdict(stale)))
    processes.end([tmp_path / "stale.pid"], grace_seconds=0)
    assert bystander.alive
    bystander.send(signal.SIGKILL)
    processes.end([tmp_path / "bystander.pid"], grace_seconds=0)


def test_one_whose_starter_was_killed_before_it_could_record_it_is_found_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def killed(pid: int) -> int:
        raise Killed

    with monkeypatch.context() as at_that_moment, pytest.raises(Killed):
        at_that_moment.setattr(processes, "_started_ticks", killed)
        start(tmp_path, f"sleep 600; : {tmp_path}")
    start(tmp_path, "sleep 600; : another", name="another")
    try:
        recorded = json.loads((tmp_path / "it.pid").read_text())
        assert recorded["pid"] == processes.NOT_KNOWN
        deadline = time.monotonic() + 30
        while (found := processes.recorded(tmp_path / "it.pid")) is None:
            assert time.monotonic() < deadline
        assert found.alive
        processes.end([tmp_path / "it.pid"], grace_seconds=5)
        assert not found.alive
        assert processes.recorded(tmp_path / "another.pid").alive
    finally:
        processes.end([tmp_path / "another.pid"], grace_seconds=5)


def test_what_was_about_to_be_started_and_never_was_is_nobody(tmp_path: Path):
    about = processes.Process(processes.NOT_KNOWN, processes.NOT_KNOWN, ("/bin/sh", str(tmp_path)), "")
    (tmp_path / "it.pid").write_text(json.dumps(dataclasses.asdict(about)))
    assert processes.recorded(tmp_path / "it.pid") is None
    processes.end([tmp_path / "it.pid"], grace_seconds=1)
    assert not (tmp_path / "it.pid").exists()


def test_an_unreadable_pid_file_speaks_of_nobody(tmp_path: Path):
    (tmp_path / "it.pid").write_text("not json")
    assert processes.recorded(tmp_path / "it.pid") is None
    processes.end([tmp_path / "it.pid", tmp_path / "missing.pid"], grace_seconds=0)
    assert not (tmp_path / "it.pid").exists()


def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DevclusterError, match="no-such-program' could not be started: No such file"):
        processes.start(["/no-such-program"], pid_file=tmp_path / "it.pid", log=tmp_path / "it.log", environment={})
    assert not (tmp_path / "it.pid").exists()


def test_the_last_words_of_a_dead_process_are_kept(tmp_path: Path):
    process = start(tmp_path, "echo first; echo last >&2; exit 1")
    while process.alive:
        time.sleep(0.01)
    assert process.log_tail() == "    first\n    last"
