"""The operator's side of the contract with the trainer: the configuration it writes, the messages it reads.

The agreement itself is `contract/v1/`; this module is held against those schemas by tests and imports nothing of the
trainer. Readers ignore keys that they do not know: a newer trainer may say more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

API_VERSION = "trainer.tunesmith.dev/v1"
LINE_MARKER = '"tunesmith"'


class Retry(StrEnum):
    """What may follow an attempt that ended so."""

    NEVER = "Never"
    UNCLASSIFIED = "CountedAsUnclassified"
    INFRASTRUCTURE = "CountedAsInfrastructure"
    UNCOUNTED = "NotCounted"


class Ending(BaseModel):
    """One row of the table of exit codes."""

    model_config = ConfigDict(frozen=True)

    error_class: str
    retry: Retry


SUCCESS = 0
UNCLASSIFIED = Ending(error_class="Unclassified", retry=Retry.UNCLASSIFIED)
ENDINGS: Mapping[int, Ending] = {
    SUCCESS: Ending(error_class="Success", retry=Retry.NEVER),
    1: UNCLASSIFIED,
    2: Ending(error_class="Usage", retry=Retry.NEVER),
    10: Ending(error_class="UserErrorData", retry=Retry.NEVER),
    11: Ending(error_class="UserErrorModel", retry=Retry.NEVER),
    12: Ending(error_class="UserErrorLimits", retry=Retry.NEVER),
    13: Ending(error_class="UserErrorCredentials", retry=Retry.NEVER),
    14: Ending(error_class="UserErrorConfiguration", retry=Retry.NEVER),
    15: Ending(error_class="Diverged", retry=Retry.NEVER),
    20: Ending(error_class="OutOfMemory", retry=Retry.UNCLASSIFIED),
    21: Ending(error_class="Stall", retry=Retry.INFRASTRUCTURE),
    30: Ending(error_class="NoGPUs", retry=Retry.INFRASTRUCTURE),
    31: Ending(error_class="Infrastructure", retry=Retry.INFRASTRUCTURE),
    75: Ending(error_class="Preempted", retry=Retry.UNCOUNTED),
    76: Ending(error_class="Superseded", retry=Retry.NEVER),
}
OUT_OF_MEMORY = 20
SUPERSEDED = 76


def ending_of(exit_code: int) -> Ending:
    """What an exit code means; codes outside the table (signals among them) are unclassified."""
    return ENDINGS.get(exit_code, UNCLASSIFIED)


class Said(BaseModel):
    """A message of the trainer, read."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class CheckpointSaid(Said):
    """A checkpoint that is complete on the storage."""

    step: int = Field(ge=0)
    path: str


class Progress(Said):
    """Where training is, as rank 0 reports it."""

    tunesmith: Literal["progress/v1"] = "progress/v1"
    time: datetime
    attempt: int
    stage: str
    step: int = Field(ge=0)
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    evaluation_loss: float | None = None
    evaluation_step: int | None = Field(default=None, ge=0)
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    tokens_per_second_per_gpu: float | None = Field(default=None, alias="tokensPerSecondPerGPU")
    model_flop_utilization: float | None = Field(default=None, alias="modelFLOPUtilization")
    memory_peak_bytes: int | None = None
    data_wait_share: float | None = None
    eta_seconds: float | None = None
    checkpoint: CheckpointSaid | None = None
    dropped_rows: dict[str, int] | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    message: str | None = None


class Heartbeat(Said):
    """The trainer is alive; whether it also gets on is `stalled`."""

    tunesmith: Literal["heartbeat/v1"] = "heartbeat/v1"
    time: datetime
    attempt: int
    stage: str
    last_step: int = 0
    seconds_since: float = 0
    stalled: bool = False


class DatasetHashes(Said):
    """SHA-256 of the dataset files, as they lie on the storage."""

    training: str
    validation: str | None = None


class Prepared(Said):
    """What a preparation came to: resolved places and hashes, and what became of the training rows."""

    model_path: str
    model_revision: str | None = None
    training_path: str
    validation_path: str | None = None
    dataset_sha256: DatasetHashes = Field(alias="datasetSHA256")
    rows: int = Field(ge=0)
    trained: int = Field(ge=0)
    tokens: int = Field(ge=0)
    truncated: int = Field(default=0, ge=0)
    dropped: dict[str, int] = Field(default_factory=dict)
    total_steps: int = Field(ge=1)
    model_facts: dict[str, int | bool | str] = Field(default_factory=dict)


class TerminationMessage(Said):
    """The end of one container."""

    tunesmith: Literal["termination/v1"] = "termination/v1"
    attempt: int | None = None
    error_class: str
    step: int = 0
    total_steps: int | None = None
    stopped_early_at_step: int | None = None
    result_sha256: str | None = Field(default=None, alias="resultSHA256")
    result_bytes: int | None = Field(default=None, ge=0)
    path: str | None = None
    prepared: Prepared | None = None
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """The trainer's own word that it did what its command is for."""
        return self.error_class == "Success"

    @property
    def reached_the_end(self) -> bool:
        """Success is a step that equals the total, or the one where it stopped early, and a published result.

        Exit 0 alone is not.
        """
        return (
            self.succeeded
            and self.total_steps is not None
            and self.step == (self.stopped_early_at_step or self.total_steps)
            and self.result_sha256 is not None
            and self.path is not None
        )


_LINE: TypeAdapter[Progress | Heartbeat] = TypeAdapter(Progress | Heartbeat)


def read_line(line: str) -> Progress | Heartbeat | None:
    """A line of rank 0's log, if it is meant for machines and of a version that we read."""
    text = line.strip()
    if not text.startswith("{") or LINE_MARKER not in text:
        return None
    try:
        return _LINE.validate_json(text)
    except ValidationError:
        return None


def read_termination(message: str) -> TerminationMessage | None:
    """The termination message, or None when it is absent, cut or not the trainer's own."""
    text = message.strip()
    if not text.startswith("{") or LINE_MARKER not in text:
        return None
    try:
        return TerminationMessage.model_validate_json(text)
    except ValidationError:
        return None


def exit_code_table() -> list[dict[str, Any]]:
    """Our reading of the table, in the shape of `exit-codes.json` without its prose."""
    return [
        {"code": code, "errorClass": ending.error_class, "retry": ending.retry.value}
        for code, ending in ENDINGS.items()
    ]
