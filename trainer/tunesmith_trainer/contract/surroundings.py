"""Where an attempt runs and what is kept of it: measures, checkpoints, storage, processes, trackers, patience.

None of it is in the hash of the configuration: an attempt may have other surroundings than the one before.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tunesmith_trainer.contract.strict import AbsolutePath, Strict


class EarlyStopping(Strict):
    """Ends training when the loss on held-out rows falls no more; the best checkpoint is the result."""

    patience: int = Field(ge=1, description="So many evaluations in a row without progress end the training.")
    min_delta: float = Field(default=0.0, ge=0, description="Progress is a loss lower than the lowest by more.")
    warmup_evaluations: int = Field(
        default=0, ge=0, description="So many first evaluations count neither as the best nor against the patience."
    )


class Evaluations(Strict):
    """When held-out rows are measured, besides before the first and after the last step."""

    count: int = Field(default=0, ge=0)
    early_stopping: EarlyStopping | None = None


class Mirror(Strict):
    """An S3-compatible bucket that gets copies. Its keys come by the environment, never by this file."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://.+$", max_length=2048)]
    bucket: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    prefix: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="Put before the keys, which begin with the job's uid."
    )


class Checkpoints(Strict):
    """When training is saved. Exactly one of everySteps and count."""

    every_steps: int | None = Field(default=None, ge=1)
    count: int | None = Field(default=None, ge=1, description="Spread evenly over the steps.")
    max_seconds_apart: float | None = Field(
        default=None,
        gt=0,
        description="Training is saved between them too when so long has passed since it last was; absent: it is not.",
    )
    keep: int = Field(
        default=2,
        ge=1,
        description="Of everySteps or count the newest that stay, over all attempts; of all others the newest two.",
    )
    mirror: Mirror | None = Field(default=None, description="Where copies go; absent: nowhere.")
    staging_path: AbsolutePath | None = Field(
        default=None, description="Fast disk of the pod's own; absent: the directory for temporary files."
    )
    grace_seconds: float | None = Field(
        default=None, ge=0, description="From SIGTERM to SIGKILL; absent: unknown, and a save is always tried."
    )

    @model_validator(mode="after")
    def exactly_one_rhythm(self) -> Self:
        """Two rhythms contradict each other, none would mean a lost run."""
        if (self.every_steps is None) == (self.count is None):
            raise ValueError("give exactly one of everySteps and count")
        return self


class Storage(Strict):
    """Where the job lives on the shared storage."""

    root: AbsolutePath = Field(description="Mount point of the storage in the pod.")
    job_path: AbsolutePath = Field(description="<root>/<job uid>; attempts/<n>/ lie below it.")
    attempt: int = Field(ge=1, description="Number of this attempt; higher ones supersede it.")
    output_path: AbsolutePath = Field(description="Directory of the result, <output.path>/<job uid>-a<attempt>.")

    @model_validator(mode="after")
    def laid_out_as_agreed(self) -> Self:
        """The finish check finds results of other attempts by the name, so the name is not free."""
        root = PurePosixPath(self.root)
        for path in (self.job_path, self.output_path):
            if root not in PurePosixPath(path).parents or ".." in PurePosixPath(path).parts:
                raise ValueError(f"'{path}' does not lie on the storage '{self.root}'")
        expected = f"{PurePosixPath(self.job_path).name}-a{self.attempt}"
        if PurePosixPath(self.output_path).name != expected:
            raise ValueError(f"outputPath must end in '{expected}', not in '{PurePosixPath(self.output_path).name}'")
        return self

    def published_paths_pattern(self) -> re.Pattern[str]:
        """Names of result directories of this job beside outputPath; group 1 is the attempt."""
        return re.compile(re.escape(PurePosixPath(self.job_path).name) + r"-a([0-9]+)")


class World(Strict):
    """The processes that train together."""

    pods: int = Field(ge=1)
    processes_per_pod: int = Field(ge=1, description="One for each GPU; on simulated GPUs and CPUs usually 1.")
    gpus_per_pod: int = Field(ge=0, alias="gpusPerPod", description="GPUs given to each pod; 0: train on the CPU.")
    master_port: int = Field(
        default=29400, ge=1024, le=65535, description="Pods that share an address need different ones."
    )
    collective_timeout_seconds: int = Field(default=600, ge=5, description="A peer that is silent longer is lost.")
    sharding: Literal["DDP", "FSDP2"] | None = Field(
        default=None, description="How several processes hold the model: each whole, or all together. Absent: DDP."
    )

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.pods * self.processes_per_pod


class Tracker(Strict):
    """One system that records the training. Its secret comes by environment: WANDB_API_KEY, MLFLOW_TRACKING_TOKEN."""

    type: Literal["WandB", "MLflow", "TensorBoard"]
    project: str | None = Field(default=None, min_length=1, description="Project or experiment there.")
    entity: str | None = Field(default=None, min_length=1, description="Team or user, for WandB.")
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = Field(
        default=None, description="Address of the server. Absent: WandB's own; an MLflow directory."
    )
    directory: AbsolutePath | None = Field(
        default=None, description="Where files go. Absent: TensorBoard writes below the job's directory."
    )

    @model_validator(mode="after")
    def somewhere_to_go(self) -> Self:
        """MLflow has no place of its own."""
        if self.type == "MLflow" and self.endpoint is None and self.directory is None:
            raise ValueError("MLflow needs an endpoint or a directory")
        return self


class Watchdog(Strict):
    """When training that sits still counts as hung, besides stallAfterSeconds."""

    step_multiple: float = Field(default=20, ge=1, description="Never before so many times the median step.")
    patient_seconds: float = Field(
        default=1800,
        gt=0,
        description="Never before so long in the first steps, which compile and connect, and in a save or the "
        "evaluation of one batch.",
    )


class Output(Strict):
    """What is published besides the weights that were trained."""

    merge_model: bool = Field(
        default=False, description="The model with its adapter merged in, in the directory 'merged' of the result."
    )
