"""What the trainer refuses of a model on any GPUs, told from the model's shape: before anything is bought for it."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.catalog.shape import ModelShape
from tunesmith.planning.refusal import Refusal

# The trainer refuses the same, for the same reasons; a test holds the two against each other.
REFUSED_ARCHITECTURES: Mapping[str, str] = {
    "Llama4ForConditionalGeneration": "the loss of the training library does not find the text model inside it"
}


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
