"""How an attempt ends for those outside: one termination message and one exit code, whatever happened inside.

`launch` gives each process a directory to leave its ending in, because torchrun turns every failure into exit code 1;
without that directory the ending goes straight to the container's termination message file.
"""

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from tunesmith_trainer.contract.messages import TerminationMessage
from tunesmith_trainer.exit_codes import BY_CLASS, ErrorClass, TrainerError

ENDINGS_DIRECTORY_VARIABLE = "TUNESMITH_ENDINGS"
TERMINATION_LOG_VARIABLE = "TUNESMITH_TERMINATION_LOG"
TERMINATION_LOG = "/dev/termination-log"

STORAGE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE, errno.EROFS, errno.ENOTCONN, errno.ETIMEDOUT}
)
# What the libraries that save weights make of such an error.
SAVE_FAILED = (
    "PytorchStreamWriter failed",
    "unexpected pos",
    "No space left on device",
    "File too large",
    "os error 5)",
)
NETWORK_ERROR_CLASSES = frozenset({"DistBackendError", "DistNetworkError", "DistStoreError", "DistQueueEmptyError"})
PEER_LOST = (
    "Connection closed by peer",
    "Connection reset by peer",
    "gloo",
    "NCCL",
    "Broken pipe",
    "Timed out waiting",
)
# CUDA's own words for errors that come of the node, not of the program.
GPU_BROKEN = (
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "no CUDA-capable device is detected",
    "CUDA-capable device(s) is/are busy or unavailable",
    "CUDA driver version is insufficient",
    "system not yet initialized",
    "hardware stack error",
)
MEMORY_REFUSED = ("can't allocate memory", "CUDA out of memory", "Cannot allocate memory")


class Left(BaseModel):
    """The ending that one process left for `launch`."""

    moment_seconds: float
    message: TerminationMessage


@dataclass(frozen=True)
class Where:
    """Where training was when it ended."""

    attempt: int | None = None
    step: int = 0
    total_steps: int | None = None


def classified(error: BaseException) -> TrainerError:
    """Any exception as one with a class. By names and numbers, so that torch need not be loaded."""
    if isinstance(error, TrainerError):
        return error
    names = {kind.__name__ for kind in type(error).__mro__}
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, RuntimeError) and _says(text, GPU_BROKEN):
        return TrainerError(ErrorClass.NO_GPUS, f"A GPU of this node, or its driver, is broken. {text}")
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names or _says(text, MEMORY_REFUSED):
        return TrainerError(ErrorClass.OUT_OF_MEMORY, f"Out of memory. Halve the micro batch. {text}")
    if (isinstance(error, OSError) and error.errno in STORAGE_ERRORS) or _says(text, SAVE_FAILED):
        return TrainerError(ErrorClass.INFRASTRUCTURE, f"The storage failed. {text}")
    if names & NETWORK_ERROR_CLASSES or (isinstance(error, RuntimeError) and _says(text, PEER_LOST)):
        return TrainerError(
            ErrorClass.INFRASTRUCTURE, f"A process of the group was lost; its own pod may say why. {text}"
        )
    return TrainerError(ErrorClass.UNCLASSIFIED, text)


def failure_message(error: TrainerError, where: Where) -> TerminationMessage:
    """The termination message of a failed attempt."""
    return TerminationMessage(
        attempt=where.attempt,
        error_class=error.error_class,
        step=where.step,
        total_steps=where.total_steps,
        message=error.message,
    )


def leave(message: TerminationMessage) -> int:
    """Leaves the ending where it is read from, and returns the exit code that belongs to it."""
    directory = os.environ.get(ENDINGS_DIRECTORY_VARIABLE)
    if directory is None:
        write_termination_log(message)
    else:
        left = Left(moment_seconds=time.monotonic(), message=message)
        path = Path(directory) / f"{os.environ.get('RANK', '0')}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(left.model_dump_json(by_alias=True), encoding="utf-8")
        partial.replace(path)  # a process that is killed here leaves nothing, and not half of it
    return int(BY_CLASS[message.error_class].code)


def first_left(directory: Path) -> TerminationMessage | None:
    """The ending that explains the others: of a failure the first, else the first rank's."""
    left = [Left.model_validate_json(path.read_text()) for path in sorted(directory.glob("*.json"))]
    failures = [entry for entry in left if entry.message.error_class is not ErrorClass.SUCCESS]
    if failures:
        return min(failures, key=lambda entry: entry.moment_seconds).message
    return next((entry.message for entry in left if entry.message.path), left[0].message if left else None)


def write_termination_log(message: TerminationMessage) -> None:
    """Writes the container's termination message; outside of a container there may be no such file."""
    path = Path(os.environ.get(TERMINATION_LOG_VARIABLE, TERMINATION_LOG))
    if TERMINATION_LOG_VARIABLE in os.environ or path.exists():
        path.write_text(message.fitted(), encoding="utf-8")


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)
