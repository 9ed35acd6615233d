"""What decides the outcome of a training: model, data, method, tuning, and the numbers of the optimisation.

A checkpoint is resumed only where all of it is the same; see `Configuration.config_hash`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tunesmith_trainer.contract.strict import AbsolutePath, Strict

OUTCOME = frozenset({"model", "data", "method", "tuning", "continue_from", "training"})
"""The parts of the configuration that are spoken of here."""
CHANGES_BETWEEN_ATTEMPTS = frozenset(
    {"microBatch", "gradientAccumulation", "microBatchBefore", "activationCheckpointing"}
)
"""What of it an attempt may change without another outcome than rounding, as a smaller micro batch when memory ran out.
"""


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
    micro_batch_before: int | None = Field(
        default=None, ge=1, description="What it was before memory ran out; absent: it never did."
    )
    gradient_accumulation: int = Field(ge=1, description="Forward passes of one process in one step.")
    global_batch: int = Field(ge=1, description="Sequences in one step of all processes; the same in every attempt.")
    context_length: int = Field(ge=8, description="Tokens; longer rows are cut.")
    packing: bool = True
    activation_checkpointing: bool = Field(default=True, description="Recompute activations: slower, less memory.")
    seed: int = Field(default=42, ge=0, lt=2**32)
    precision: Literal["AMP", "BF16", "FP32"] = Field(
        description="AMP: frozen weights bf16, trained ones fp32, under autocast; BF16: all bf16; FP32: all fp32."
    )
