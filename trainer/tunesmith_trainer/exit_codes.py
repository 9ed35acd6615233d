"""What the exit code of a training container means. The one table; `contract/v1/exit-codes.json` is written from it.

Codes 0 to 9 are left to the interpreter and to command lines (1: a failure that nobody classified, 2: wrong usage);
codes above 128 are signals, as a shell counts them, and are never chosen here.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ErrorClass(StrEnum):
    """Why an attempt ended. Each class has exactly one exit code."""

    SUCCESS = "Success"
    UNCLASSIFIED = "Unclassified"
    USAGE = "Usage"
    DATA = "UserErrorData"
    MODEL = "UserErrorModel"
    LIMITS = "UserErrorLimits"
    CREDENTIALS = "UserErrorCredentials"
    CONFIGURATION = "UserErrorConfiguration"
    DIVERGED = "Diverged"
    OUT_OF_MEMORY = "OutOfMemory"
    STALL = "Stall"
    NO_GPUS = "NoGPUs"
    INFRASTRUCTURE = "Infrastructure"
    PREEMPTED = "Preempted"
    SUPERSEDED = "Superseded"


class Retry(StrEnum):
    """What the owner of the job may do after such an end."""

    NEVER = "Never"
    UNCLASSIFIED = "CountedAsUnclassified"
    INFRASTRUCTURE = "CountedAsInfrastructure"
    UNCOUNTED = "NotCounted"


class ExitCode(IntEnum):
    """The exit codes by name."""

    SUCCESS = 0
    UNCLASSIFIED = 1
    USAGE = 2
    DATA = 10
    MODEL = 11
    LIMITS = 12
    CREDENTIALS = 13
    CONFIGURATION = 14
    DIVERGED = 15
    OUT_OF_MEMORY = 20
    STALL = 21
    NO_GPUS = 30
    INFRASTRUCTURE = 31
    PREEMPTED = 75
    SUPERSEDED = 76


@dataclass(frozen=True)
class Ending:
    """One row of the table."""

    code: ExitCode
    error_class: ErrorClass
    retry: Retry
    meaning: str


ENDINGS: tuple[Ending, ...] = (
    Ending(
        ExitCode.SUCCESS,
        ErrorClass.SUCCESS,
        Retry.NEVER,
        "The result is published and was read again. Success only together with a termination message whose step "
        "equals its totalSteps.",
    ),
    Ending(ExitCode.UNCLASSIFIED, ErrorClass.UNCLASSIFIED, Retry.UNCLASSIFIED, "A failure that no class names."),
    Ending(ExitCode.USAGE, ErrorClass.USAGE, Retry.NEVER, "The command line was wrong."),
    Ending(ExitCode.DATA, ErrorClass.DATA, Retry.NEVER, "The dataset is missing, broken, or has nothing to train on."),
    Ending(ExitCode.MODEL, ErrorClass.MODEL, Retry.NEVER, "The model's files are missing, or cannot be trained so."),
    Ending(ExitCode.LIMITS, ErrorClass.LIMITS, Retry.NEVER, "A value is beyond what the model or the world allows."),
    Ending(ExitCode.CREDENTIALS, ErrorClass.CREDENTIALS, Retry.NEVER, "A source refused the credentials given for it."),
    Ending(ExitCode.CONFIGURATION, ErrorClass.CONFIGURATION, Retry.NEVER, "The configuration file is not valid."),
    Ending(
        ExitCode.DIVERGED,
        ErrorClass.DIVERGED,
        Retry.NEVER,
        "The loss became NaN or infinite; the same again would too.",
    ),
    Ending(
        ExitCode.OUT_OF_MEMORY,
        ErrorClass.OUT_OF_MEMORY,
        Retry.UNCLASSIFIED,
        "Out of GPU or host memory: try again with half the micro batch and twice the accumulation.",
    ),
    Ending(
        ExitCode.STALL, ErrorClass.STALL, Retry.INFRASTRUCTURE, "Training sat still for too long; the stacks are told."
    ),
    Ending(
        ExitCode.NO_GPUS,
        ErrorClass.NO_GPUS,
        Retry.INFRASTRUCTURE,
        "The container was given GPUs and sees fewer, or one of them fails: the node or its driver is broken.",
    ),
    Ending(
        ExitCode.INFRASTRUCTURE,
        ErrorClass.INFRASTRUCTURE,
        Retry.INFRASTRUCTURE,
        "Storage, network or a peer process failed.",
    ),
    Ending(
        ExitCode.PREEMPTED,
        ErrorClass.PREEMPTED,
        Retry.UNCOUNTED,
        "Asked to stop by SIGTERM; what could be saved was saved; go on with the next attempt.",
    ),
    Ending(
        ExitCode.SUPERSEDED,
        ErrorClass.SUPERSEDED,
        Retry.NEVER,
        "A newer attempt of the same job exists on the storage; this one published nothing.",
    ),
)

BY_CLASS: dict[ErrorClass, Ending] = {ending.error_class: ending for ending in ENDINGS}
BY_CODE: dict[int, Ending] = {int(ending.code): ending for ending in ENDINGS}


class TrainerError(Exception):
    """An end of the attempt with a class, and a message that says what happened, why and what to do."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that belongs to the class."""
        return BY_CLASS[self.error_class].code

    def __reduce__(self) -> tuple[type["TrainerError"], tuple[ErrorClass, str]]:
        return TrainerError, (self.error_class, self.message)
