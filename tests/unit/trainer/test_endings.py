"""Endings: every exception gets a class, and of several processes the first failure explains the pod."""

import errno

import pytest

from tunesmith_trainer import endings
from tunesmith_trainer.contract import TerminationMessage
from tunesmith_trainer.endings import Left, classified, first_left, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.launch import explained, memory_kills


class OutOfMemoryError(RuntimeError):
    """By name like torch's."""


class DistBackendError(RuntimeError):
    """By name like torch's."""


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TrainerError(ErrorClass.DATA, "x"), ErrorClass.DATA),
        (MemoryError(), ErrorClass.OUT_OF_MEMORY),
        (OutOfMemoryError("CUDA"), ErrorClass.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), ErrorClass.INFRASTRUCTURE),
        (DistBackendError("lost"), ErrorClass.INFRASTRUCTURE),
        (RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1"), ErrorClass.INFRASTRUCTURE),
        (OSError(errno.EFBIG, "File too large"), ErrorClass.INFRASTRUCTURE),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/3"), ErrorClass.INFRASTRUCTURE),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ErrorClass.INFRASTRUCTURE),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), ErrorClass.NO_GPUS),
        (DistBackendError("NCCL error: CUDA error: system not yet initialized"), ErrorClass.NO_GPUS),
        (KeyError("gloo"), ErrorClass.UNCLASSIFIED),
        (FileNotFoundError(errno.ENOENT, "no"), ErrorClass.UNCLASSIFIED),
    ],
)
def test_every_exception_has_a_class(error, wanted):
    assert classified(error).error_class is wanted


def left(directory, rank, moment, error_class, **more):
    message = TerminationMessage(error_class=error_class, **more)
    (directory / f"{rank}.json").write_text(Left(moment_seconds=moment, message=message).model_dump_json(by_alias=True))


def test_the_first_failure_explains_the_pod(tmp_path):
    left(tmp_path, 0, 9.0, ErrorClass.INFRASTRUCTURE)
    left(tmp_path, 1, 8.0, ErrorClass.DATA)
    assert first_left(tmp_path).error_class is ErrorClass.DATA


def test_without_a_failure_the_published_path_is_told(tmp_path):
    left(tmp_path, 0, 2.0, ErrorClass.SUCCESS, path="/out", step=4)
    left(tmp_path, 1, 1.0, ErrorClass.SUCCESS, path="/out", step=4)
    assert first_left(tmp_path).path == "/out"


def test_nothing_left_is_nothing_known(tmp_path):
    assert first_left(tmp_path) is None


def test_alone_the_ending_goes_to_the_termination_message_file(tmp_path, monkeypatch):
    monkeypatch.delenv(endings.ENDINGS_DIRECTORY_VARIABLE, raising=False)
    monkeypatch.setenv(endings.TERMINATION_LOG_VARIABLE, str(tmp_path / "log"))
    assert leave(TerminationMessage(error_class=ErrorClass.PREEMPTED, step=7)) == 75
    assert TerminationMessage.model_validate_json((tmp_path / "log").read_bytes()).step == 7


def test_under_launch_it_is_left_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv(endings.ENDINGS_DIRECTORY_VARIABLE, str(tmp_path))
    monkeypatch.setenv(endings.TERMINATION_LOG_VARIABLE, str(tmp_path / "log"))
    monkeypatch.setenv("RANK", "3")
    assert leave(TerminationMessage(error_class=ErrorClass.STALL)) == 21
    assert not (tmp_path / "log").exists()
    assert first_left(tmp_path).error_class is ErrorClass.STALL


LOST = TerminationMessage(attempt=1, error_class=ErrorClass.INFRASTRUCTURE, step=7, message="A process was lost.")
SAID = TerminationMessage(attempt=1, error_class=ErrorClass.DATA, message="line 3")
DONE = TerminationMessage(attempt=1, error_class=ErrorClass.SUCCESS)


@pytest.mark.parametrize(
    ("left", "code", "killed", "ends"),
    [
        (None, 1, True, ErrorClass.OUT_OF_MEMORY),
        (LOST, 1, True, ErrorClass.OUT_OF_MEMORY),  # what its peers say of it is the consequence
        (SAID, 1, True, ErrorClass.DATA),  # a class of its own explains more than somebody's memory
        (LOST, 1, False, ErrorClass.INFRASTRUCTURE),
        (None, 1, False, ErrorClass.UNCLASSIFIED),
        (DONE, 1, False, ErrorClass.UNCLASSIFIED),
        (DONE, 0, False, ErrorClass.SUCCESS),
    ],
)
def test_a_pod_whose_process_the_kernel_killed_for_memory_says_so(left, code, killed, ends):
    assert explained(left, code, 1, killed_for_memory=killed).error_class is ends


@pytest.mark.parametrize(
    ("left", "ends"),
    [
        (None, ErrorClass.PREEMPTED),
        (LOST, ErrorClass.PREEMPTED),  # the peers that it lost were asked to stop as well
        (SAID, ErrorClass.DATA),
        (TerminationMessage(error_class=ErrorClass.PREEMPTED, message="Saved."), ErrorClass.PREEMPTED),
    ],
)
def test_a_pod_that_was_asked_to_stop_and_whose_processes_could_not_say_so_does_not_count_as_failed(left, ends):
    assert explained(left, 1, 1, killed_for_memory=False, asked_to_stop=True).error_class is ends


def test_the_kernels_count_of_kills_is_read_where_there_is_one(tmp_path):
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert memory_kills(tmp_path / "memory.events") == 2
    assert memory_kills(tmp_path / "missing") == 0
