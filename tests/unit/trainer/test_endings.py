"""Endings: every exception gets a class, and of several processes the first failure explains the pod."""

import errno

import pytest

from tunesmith_trainer import endings
from tunesmith_trainer.contract import TerminationMessage
from tunesmith_trainer.endings import Left, classified, first_left, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError


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
