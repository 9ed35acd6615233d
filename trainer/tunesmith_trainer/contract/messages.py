"""What the trainer says: lines on stdout of rank 0, the termination message, and result.json.

Readers ignore keys that they do not know: a newer trainer may say more.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from tunesmith_trainer.exit_codes import ErrorClass

Stage = Literal["Starting", "Fetching", "Preparing", "LoadingModel", "Training", "Publishing", "Finished"]
SHA256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
TERMINATION_MESSAGE_BYTES = 4096


class Said(BaseModel):
    """A message of the trainer."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    def line(self) -> str:
        """One line of JSON; what is not known is left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class CheckpointSaid(Said):
    """A checkpoint that is complete on the storage."""

    step: int = Field(ge=0)
    path: str


class ProgressLine(Said):
    """Where training is. One JSON object a line, on stdout of rank 0; other lines there are not for machines."""

    tunesmith: Literal["progress/v1"] = "progress/v1"
    time: datetime
    attempt: int = Field(ge=1)
    stage: Stage
    step: int = Field(ge=0)
    total_steps: int | None = Field(default=None, ge=0)
    epoch: float | None = Field(default=None, ge=0)
    loss: float | None = None
    evaluation_loss: float | None = Field(default=None, description="The last one measured.")
    evaluation_step: int | None = Field(default=None, ge=0, description="The step after which that was measured.")
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = Field(
        default=None, ge=0, description="Of all processes together, while steps are made."
    )
    tokens_per_second_per_gpu: float | None = Field(
        default=None, ge=0, alias="tokensPerSecondPerGPU", description="Absent on CPUs."
    )
    model_flop_utilization: float | None = Field(
        default=None,
        ge=0,
        alias="modelFLOPUtilization",
        description="Part of the GPU's bf16 peak that the model's own arithmetic reaches; absent where the GPU or the "
        "model's shape is not known.",
    )
    memory_peak_bytes: int | None = Field(
        default=None, ge=0, description="The most that one process has held: on its GPU, or resident on a CPU."
    )
    data_wait_share: float | None = Field(
        default=None, ge=0, le=1, description="Part of the step time that rank 0 waited for rows."
    )
    eta_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Counted from the steps of this attempt, with the evaluations and saves still to come.",
    )
    checkpoint: CheckpointSaid | None = Field(default=None, description="The newest complete one.")
    dropped_rows: dict[str, int] | None = Field(default=None, description="Rows not trained on, by reason.")
    bytes_done: int | None = Field(default=None, ge=0, description="While fetching: bytes on the storage.")
    bytes_total: int | None = Field(default=None, ge=0, description="While fetching: bytes in all, as far as known.")
    bytes_per_second: float | None = Field(default=None, ge=0, description="While fetching: the rate of late.")
    message: str | None = Field(default=None, description="What a person should know, such as a damaged checkpoint.")


class Heartbeat(Said):
    """The process is alive. Said by a thread of its own, whatever training does."""

    tunesmith: Literal["heartbeat/v1"] = "heartbeat/v1"
    time: datetime
    attempt: int = Field(ge=1)
    stage: Stage
    last_step: int = Field(ge=0)
    seconds_since: float = Field(ge=0, description="Since the last step or change of stage.")
    stalled: bool = Field(default=False, description="No step for stallAfterSeconds while training.")


class DatasetHashes(Said):
    """SHA-256 of the dataset files as they lie on the storage."""

    training: SHA256
    validation: SHA256 | None = None


class DatasetFormats(Said):
    """Which format the rows of each file have."""

    training: str
    validation: str | None = None


class PreparedSaid(Said):
    """What a preparation came to: the resolved places and hashes, and what the training rows make."""

    model_path: str = Field(description="Directory of the base model.")
    model_revision: str | None = Field(default=None, description="Commit of the model; absent when it was not fetched.")
    training_path: str
    validation_path: str | None = None
    dataset_sha256: DatasetHashes = Field(alias="datasetSHA256")
    rows: int = Field(ge=0, description="Rows in the training file.")
    trained: int = Field(ge=0, description="Training rows that have something to learn from.")
    tokens: int = Field(ge=0, description="Tokens of the training rows kept.")
    truncated: int = Field(ge=0, description="Training rows cut at the context length.")
    dropped: dict[str, int] = Field(default_factory=dict, description="Training rows not trained on, by reason.")
    total_steps: int = Field(ge=1)
    formats: DatasetFormats
    model_facts: dict[str, int | bool | str] = Field(
        default_factory=dict,
        description="What the model's config.json says of its architecture, in its own names, to estimate memory by.",
    )


class TerminationMessage(Said):
    """The end of one container, at most 4096 bytes, in its termination message file."""

    tunesmith: Literal["termination/v1"] = "termination/v1"
    attempt: int | None = Field(default=None, ge=1)
    error_class: ErrorClass
    step: int = Field(default=0, ge=0)
    total_steps: int | None = Field(default=None, ge=0)
    stopped_early_at_step: int | None = Field(
        default=None, ge=1, description="The last step, where the held-out loss fell no more; then it equals step."
    )
    result_sha256: SHA256 | None = Field(default=None, alias="resultSHA256", description="Of the bytes of result.json.")
    result_bytes: int | None = Field(default=None, ge=0, description="Of all files of the published result together.")
    path: str | None = Field(default=None, description="Directory of the published result.")
    prepared: PreparedSaid | None = Field(default=None, description="Of a preparation that succeeded.")
    message: str = ""

    def fitted(self) -> str:
        """The line, with the message cut so that all of it fits Kubernetes' 4096 bytes."""
        message = self.message
        while (
            len((line := self.model_copy(update={"message": message}).line()).encode()) > TERMINATION_MESSAGE_BYTES
            and message != "..."
        ):
            surplus = len(line.encode()) - TERMINATION_MESSAGE_BYTES
            # A character may take six bytes as an escape: cutting by half of the surplus at least ends quickly.
            message = message[: max(0, len(message) - max(1, surplus // 2) - 3)].rstrip(".") + "..."
        return line


class FileSaid(Said):
    """One file of the result."""

    sha256: SHA256
    size_bytes: int = Field(ge=0)


class EvaluationLosses(Said):
    """Loss on the validation rows."""

    before: float
    after: float


class DatasetSaid(Said):
    """What became of the rows of one file."""

    format: str | None = Field(default=None, description="How the rows are written, in words.")
    sha256: SHA256 | None = Field(default=None, description="Of the file's bytes.")
    rows: int = Field(ge=0, description="Rows in the file.")
    trained: int = Field(ge=0, description="Rows that have something to learn from.")
    truncated: int = Field(default=0, ge=0, description="Rows cut at the context length.")
    tokens: int = Field(ge=0, description="Tokens of the rows kept.")
    dropped: dict[str, int] = Field(default_factory=dict, description="Rows not trained on, by reason.")


class Result(Said):
    """result.json beside the adapter: what was trained, and how it went."""

    api_version: Literal["trainer.tunesmith.dev/v1"] = "trainer.tunesmith.dev/v1"
    attempt: int = Field(ge=1)
    config_hash: SHA256
    steps: int = Field(ge=1)
    total_steps: int = Field(ge=1)
    epochs: float = Field(ge=0)
    first_loss: float
    final_loss: float
    evaluation_loss: EvaluationLosses | None = None
    tokens: int = Field(ge=0, description="Tokens trained on, over all attempts that the result was resumed from.")
    training: DatasetSaid
    validation: DatasetSaid | None = None
    best_step: int | None = Field(
        default=None, ge=1, description="With early stopping: the step whose weights these are."
    )
    stopped_early_at_step: int | None = Field(default=None, ge=1, description="Where the patience was at its end.")
    resumed_from_step: int = Field(default=0, ge=0)
    world_size: int = Field(ge=1)
    micro_batch: int | None = Field(default=None, ge=1, description="Of the last attempt.")
    micro_batch_before: int | None = Field(
        default=None, ge=1, description="What it was before memory ran out; absent: it never did."
    )
    gradient_accumulation: int | None = Field(default=None, ge=1, description="Of the last attempt.")
    device: Literal["CPU", "CUDA"]
    simulated_gpus: bool = Field(default=False, alias="simulatedGPUs")
    method: str = Field(default="SFT", description="The method's name for people, such as DPO+NLL.")
    tuning: Literal["LoRA", "QLoRA", "Full"] = "LoRA"
    trained_parameters: int = Field(default=0, ge=0, description="Numbers that moved.")
    adapted_modules: int = Field(ge=0, description="Modules with an adapter; 0: the result is a whole model.")
    serving_caveats: tuple[str, ...] = Field(
        default=(), description="Where servers of adapters may not take this one, and what to do."
    )
    merged_model: str | None = Field(default=None, description="Directory below with the adapter merged in.")
    base_fingerprint: SHA256 | None = Field(
        default=None, description="Of samples of the base's weights: what an adapter can be continued on."
    )
    files: dict[str, FileSaid] = Field(description="Every other file of the directory, by name.")
    versions: dict[str, str]
    seconds: dict[str, float] = Field(description="Wall time of this attempt by stage.")
    finished_at: datetime
