"""What is trained, as the estimate sees it: the model's shape, the method, what of the model is tuned, the context."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tunesmith.catalog.shape import ModelShape
from tunesmith.resources.fine_tune_job_inputs import BaseQuantization, Method, MethodType, Tuning, TuningType


class Numbers(StrEnum):
    """The number formats of training, with FP32, which the CPU uses."""

    AMP = "AMP"
    BF16 = "BF16"
    FP32 = "FP32"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter. `targets` are names of modules; empty: all linear layers but the head."""

    rank: int = 8
    dropout: bool = False
    targets: frozenset[str] = frozenset()
    four_bit_base: bool = False


@dataclass(frozen=True)
class Work:
    """One training. `context` counts tokens; `adapter` None trains every weight.

    `pairs`: preference methods take two sequences for every row. `reference`: the method compares with the base model.
    `full_logits`: the head builds all logits at once, as older trainers do; ours never does.
    """

    shape: ModelShape
    context: int
    adapter: Adapter | None = Adapter()
    numbers: Numbers = Numbers.AMP
    pairs: bool = False
    reference: bool = False
    full_logits: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of one row in memory at once."""
        return self.context * (2 if self.pairs else 1)


def work_of(shape: ModelShape, context: int, *, method: Method, tuning: Tuning, numbers: Numbers) -> Work:
    """The work that a job's words describe."""
    dpo = method.dpo
    without_reference = dpo is not None and (dpo.reference_free or bool(dpo.simpo_gamma))
    pairs = method.type is MethodType.DPO
    return Work(
        shape=shape,
        context=context,
        adapter=adapter_of(tuning),
        numbers=numbers,
        pairs=pairs,
        reference=pairs and not without_reference,
    )


def adapter_of(tuning: Tuning) -> Adapter | None:
    """The adapter that a job's words describe; None where every weight is trained."""
    if tuning.type is not TuningType.LORA:
        return None
    lora = tuning.adapter
    return Adapter(
        rank=lora.rank,
        dropout=lora.dropout > 0,
        targets=frozenset(lora.target_modules) - {"all-linear"},
        four_bit_base=lora.base_quantization is BaseQuantization.NF4,
    )


def not_estimated(shape: ModelShape | None) -> str | None:
    """What of the shape is missing, by the name of its cell; None when all is there that the formula needs."""
    if shape is None:
        return "the catalogue has no shape of this model"
    if shape.latent_attention is not None or not shape.head_size:
        return "`headSize` is empty: its latent attention was not measured"
    if shape.experts is None and not shape.intermediate_size:
        return "`intermediateSize` is empty"
    return None
