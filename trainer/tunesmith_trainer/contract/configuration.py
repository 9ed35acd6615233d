"""The configuration file of one attempt. Every value is resolved by whoever writes it: the trainer does not guess.

Long because it is one document: whoever writes the file reads all of it here.
"""

import hashlib
import json
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

API_VERSION = "trainer.tunesmith.dev/v1"

# What decides the outcome of a training.
OUTCOME = frozenset({"model", "data", "method", "tuning", "continue_from", "training"})
# What of it an attempt may change without another outcome than rounding,
# such as a smaller micro batch after running out of memory.
CHANGES_BETWEEN_ATTEMPTS = frozenset({"microBatch", "gradientAccumulation", "activationCheckpointing"})

AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/.*[^/]$", max_length=4096)]


class Strict(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class Model(Strict):
    """The base model."""

    path: AbsolutePath = Field(description="Directory in the pod with config.json, safetensors and tokenizer.")


class DataFile(Strict):
    """One dataset file."""

    path: AbsolutePath = Field(
        description="JSONL, JSONL.gz or Parquet file in the pod, with rows that the method can learn from."
    )


class Data(Strict):
    """What is learnt, and what it is measured on."""

    training: DataFile
    validation: DataFile | None = Field(default=None, description="Held-out rows; absent: no evaluation loss.")
    train_on_inputs: Literal["Auto", "Always", "Never"] = Field(
        default="Auto",
        description="Auto: only answers are learnt from messages and from prompt and completion, all of text.",
    )
    on_unstable_template: Literal["Refuse", "TrainWhole"] = Field(
        default="Refuse",
        description="Rows whose chat template renders a beginning of the talk differently from the whole talk: "
        "drop and count them, or learn from all their tokens.",
    )


class Learning(Strict):
    """The numbers of learning from preferences. Which of the methods it is follows from those that are set."""

    beta: float = Field(
        default=0.1,
        gt=0,
        description="How closely the model stays to the reference; SimPO: how steeply the margin counts.",
    )
    normalize_logratios_by_length: bool = Field(
        default=False, description="LN-DPO: log-ratios are divided by the number of the answer's tokens."
    )
    rpo_alpha: float = Field(
        default=0.0, ge=0, description="DPO+NLL: weight of the loss on the preferred answer. 0: off."
    )
    simpo_gamma: float = Field(
        default=0.0, ge=0, description="SimPO: margin per token by which the preferred answer must win. 0: off."
    )
    reference_free: bool = Field(default=False, description="Compare with nothing in place of the model at its start.")

    @model_validator(mode="after")
    def nothing_contradicts_the_margin(self) -> Self:
        """SimPO has no reference model and divides by length; a loss of its own on the answer is another method."""
        if self.simpo_gamma and self.rpo_alpha:
            raise ValueError("simpoGamma and rpoAlpha are two methods (SimPO and DPO+NLL); give one of them")
        if self.simpo_gamma and not (self.reference_free and self.normalize_logratios_by_length):
            raise ValueError(
                "simpoGamma needs referenceFree and normalizeLogratiosByLength to be true: SimPO has no reference "
                "model and counts per token"
            )
        return self


class SFT(Strict):
    """Supervised fine-tuning: learns to say what the rows say."""

    type: Literal["SFT"]

    @property
    def title(self) -> str:
        """The method's name for people."""
        return "SFT"


class DPO(Strict):
    """Learns to prefer the better of two answers."""

    type: Literal["DPO"]
    dpo: Learning = Learning()

    @property
    def title(self) -> str:
        """The method's name for people."""
        if self.dpo.simpo_gamma:
            return "SimPO"
        name = "LN-DPO" if self.dpo.normalize_logratios_by_length else "DPO"
        named = f"{name}+NLL" if self.dpo.rpo_alpha else name
        return f"reference-free {named}" if self.dpo.reference_free else named


Method = Annotated[SFT | DPO, Field(discriminator="type", description="How it is learnt.")]


class LoRA(Strict):
    """An adapter beside frozen weights."""

    type: Literal["LoRA"]
    rank: int = Field(ge=1, le=1024)
    alpha: int = Field(ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        default=("all-linear",),
        min_length=1,
        description="Names of modules and the word attention, which stands for the linear layers of attention; or "
        "the one word all-linear: every linear layer of the text model but the output head, and all experts.",
    )
    base_quantization: Literal["None", "NF4"] = Field(
        default="None", description="NF4: the frozen linear layers lie in memory in four bits (QLoRA)."
    )

    @property
    def title(self) -> Literal["LoRA", "QLoRA"]:
        """The tuning's name for people."""
        return "LoRA" if self.base_quantization == "None" else "QLoRA"


class Full(Strict):
    """Every weight moves."""

    type: Literal["Full"]

    @property
    def title(self) -> Literal["Full"]:
        """The tuning's name for people."""
        return self.type


Tuning = Annotated[LoRA | Full, Field(discriminator="type", description="Which weights move.")]


class ContinueFrom(Strict):
    """What an earlier training came to, in place of a fresh start."""

    path: AbsolutePath = Field(
        description="Directory in the pod: a result, or a checkpoint, of the same base model and the same tuning."
    )


class Output(Strict):
    """What is published besides the weights that were trained."""

    merge_model: bool = Field(
        default=False, description="The model with its adapter merged in, in the directory 'merged' of the result."
    )


class Scheduler(Strict):
    """How the learning rate moves after the warm-up."""

    type: Literal["Cosine", "Linear", "Constant"] = "Cosine"
    min_ratio: float = Field(default=0.0, ge=0, le=1, description="Lowest learning rate as a part of the highest.")
    cycles: float = Field(default=0.5, gt=0, description="Cosine only: waves; 0.5 falls once.")


class Training(Strict):
    """The numbers of the optimisation."""

    epochs: int = Field(ge=1)
    max_steps: int | None = Field(default=None, ge=1, description="Ends earlier than the epochs would.")
    learning_rate: float = Field(gt=0)
    scheduler: Scheduler = Scheduler()
    warmup_ratio: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0, description="0: no clipping.")
    micro_batch: int = Field(ge=1, description="Sequences in one forward pass of one process.")
    gradient_accumulation: int = Field(ge=1, description="Forward passes of one process in one step.")
    global_batch: int = Field(ge=1, description="Sequences in one step of all processes; the same in every attempt.")
    context_length: int = Field(ge=8, description="Tokens; longer rows are cut.")
    packing: bool = True
    activation_checkpointing: bool = Field(default=True, description="Recompute activations: slower, less memory.")
    seed: int = Field(default=42, ge=0, lt=2**32)
    precision: Literal["AMP", "BF16", "FP32"] = Field(
        description="AMP: frozen weights bf16, trained ones fp32, under autocast; BF16: all bf16; FP32: all fp32."
    )


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
    keep: int = Field(default=2, ge=1, description="Newest complete checkpoints that stay, over all attempts.")
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
