"""What the trainer refuses of a model on any GPUs, told from the model's shape: before anything is bought for it."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.catalog.shape import ModelShape
from tunesmith.planning.memory.work import Adapter
from tunesmith.planning.refusal import Refusal

# The trainer refuses the same, for the same reasons; a test holds the two against each other.
REFUSED_ARCHITECTURES: Mapping[str, str] = {
    "Llama4ForConditionalGeneration": "the loss of the training library does not find the text model inside it"
}

DEQUANTISED = ("fp8", "mxfp4")  # what the trainer reads as bf16; the name of the format may say more


def untrainable(shape: ModelShape) -> Refusal | None:
    """Why a model of this shape trains in no way; None when it may."""
    why = REFUSED_ARCHITECTURES.get(shape.architecture)
    if why is None:
        return None
    return Refusal(
        "ArchitectureNotTrained",
        f"Models of the architecture {shape.architecture} cannot be trained here: {why}. Choose another model; the "
        "guide's page about models lists those that train.",
    )


def untunable(shape: ModelShape, adapter: Adapter | None) -> Refusal | None:
    """Why a model of this shape cannot be tuned so; None when it may. `adapter` None trains every weight."""
    if adapter is None:
        return None
    # Modules that are named may avoid the experts; whether they do, the preparation sees in the model itself.
    if shape.experts is not None and adapter.dropout and not adapter.targets:
        return Refusal(
            "DropoutOnExperts",
            "The experts of this model cannot be adapted with a dropout. Set `spec.tuning.lora.dropout` to '0', or "
            "adapt its attention only with `targetModules: [attention]`.",
        )
    if adapter.four_bit_base and is_quantised(shape):
        return Refusal(
            "BaseIsQuantized",
            f"`spec.tuning.lora.baseQuantization` NF4 cannot be put on weights that are quantised already (this model "
            f"is published in {shape.native_precision}). Set it to 'None', or use the model's unquantised weights.",
        )
    return None


def is_quantised(shape: ModelShape) -> bool:
    """Whether the weights are known to lie in eight or four bits, so that they cannot be put into four again."""
    return (shape.native_precision or "").lower().startswith(DEQUANTISED)
