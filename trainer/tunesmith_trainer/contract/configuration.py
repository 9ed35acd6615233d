"""The configuration file of one attempt. Every value is resolved by whoever writes it: the trainer does not guess."""

import hashlib
import json
from typing import Literal, Self

from pydantic import Field, model_validator

from tunesmith_trainer.contract.outcome import (
    CHANGES_BETWEEN_ATTEMPTS,
    OUTCOME,
    SFT,
    ContinueFrom,
    Data,
    Method,
    Model,
    Training,
    Tuning,
)
from tunesmith_trainer.contract.strict import Strict
from tunesmith_trainer.contract.surroundings import (
    Checkpoints,
    Evaluations,
    Output,
    Storage,
    Tracker,
    Watchdog,
    World,
)

API_VERSION = "trainer.tunesmith.dev/v1"


class Configuration(Strict):
    """One attempt of one job, whole."""

    api_version: Literal["trainer.tunesmith.dev/v1"]
    model: Model
    data: Data
    method: Method = SFT(type="SFT")
    tuning: Tuning
    continue_from: ContinueFrom | None = None
    training: Training
    evaluations: Evaluations = Evaluations()
    checkpoints: Checkpoints
    output: Output = Output()
    storage: Storage
    world: World
    simulated_gpus: bool = Field(
        default=False, alias="simulatedGPUs", description="The nodes only pretend to have GPUs: train on the CPU."
    )
    heartbeat_seconds: float = Field(default=30, gt=0)
    stall_after_seconds: float = Field(
        default=1800, gt=0, description="No step for so long while training: exit Stall."
    )
    watchdog: Watchdog = Watchdog()
    tracking: tuple[Tracker, ...] = Field(default=(), max_length=3, description="One of each type at most.")

    @model_validator(mode="after")
    def the_world_divides_the_batch(self) -> Self:
        """The global batch is the same for every world size, or the outcome would depend on the hardware."""
        training, size = self.training, self.world.size
        if training.micro_batch * training.gradient_accumulation * size == training.global_batch:
            return self
        share, rest = divmod(training.global_batch, training.micro_batch)
        divides = [n for n in range(1, share + 1) if share % n == 0] if rest == 0 else []
        fits = (
            f"with microBatch {training.micro_batch} it divides by {', '.join(map(str, divides))} processes"
            if divides
            else f"microBatch {training.micro_batch} does not divide it for any number of processes"
        )
        raise ValueError(
            f"globalBatch {training.global_batch} is not microBatch {training.micro_batch} x gradientAccumulation "
            f"{training.gradient_accumulation} x {size} processes; {fits}"
        )

    @model_validator(mode="after")
    def the_settings_belong_to_the_method(self) -> Self:
        """A setting that the method has no use for would be passed over in silence."""
        if self.method.type == "DPO" and self.data.train_on_inputs != "Auto":
            raise ValueError("data.trainOnInputs is for SFT: preference training compares answers, never prompts")
        if self.method.type == "DPO" and self.training.packing:
            raise ValueError("training.packing is for SFT: pairs are not packed; set it to false")
        if self.tuning.type == "Full" and self.output.merge_model:
            raise ValueError("output.mergeModel needs an adapter to merge: full tuning makes a whole model anyway")
        if self.tuning.title == "QLoRA" and self.world.sharding == "FSDP2" and self.world.size > 1:
            raise ValueError(
                "tuning.baseQuantization NF4 cannot be sharded: a layer's four-bit blocks are one piece. Let every "
                "process hold the model whole (sharding DDP), or train without quantisation"
            )
        return self

    @model_validator(mode="after")
    def stopping_early_needs_something_to_measure(self) -> Self:
        """Without held-out rows the loss that it waits for is never measured."""
        if self.evaluations.early_stopping is not None and (self.data.validation is None or not self.evaluations.count):
            raise ValueError("earlyStopping needs data.validation and an evaluations.count above 0")
        return self

    @model_validator(mode="after")
    def one_process_per_real_gpu(self) -> Self:
        """Two processes on one GPU would share its memory; a GPU without a process would be paid for nothing."""
        world = self.world
        if world.gpus_per_pod and not self.simulated_gpus and world.processes_per_pod != world.gpus_per_pod:
            raise ValueError(
                f"processesPerPod is {world.processes_per_pod} but each pod has {world.gpus_per_pod} GPUs; "
                "give one process to each GPU"
            )
        return self

    @model_validator(mode="after")
    def one_tracker_of_a_type(self) -> Self:
        """Their secrets come under one name for each type."""
        types = [tracker.type for tracker in self.tracking]
        if len(set(types)) < len(types):
            raise ValueError("tracking names a type twice")
        return self

    def config_hash(self) -> str:
        """SHA-256 over what decides the outcome: a checkpoint is resumed only under the same hash.

        Micro batch, accumulation, world, storage and rhythms are left out: an attempt may change them.
        """
        outcome = self.model_dump(mode="json", by_alias=True, include=set(OUTCOME))
        outcome["training"] = {
            key: value for key, value in outcome["training"].items() if key not in CHANGES_BETWEEN_ATTEMPTS
        }
        return hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()
