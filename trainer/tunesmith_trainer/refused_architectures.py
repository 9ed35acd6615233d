"""Architectures of the catalogue that do not train here, each with its reason; refused before weights are read."""

import json
from collections.abc import Mapping
from pathlib import Path

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

REFUSED: Mapping[str, str] = {
    "Llama4ForConditionalGeneration": "the loss of the training library does not find the text model inside it"
}


def ensure_trainable(path: Path) -> None:
    """Raises TrainerError of class model for a model directory whose architecture is known not to train."""
    described = json.loads((path / "config.json").read_text(encoding="utf-8"))
    for name in described.get("architectures") or ():
        if name in REFUSED:
            raise TrainerError(
                ErrorClass.MODEL,
                f"Models of the architecture {name} cannot be trained: {REFUSED[name]}. Choose another model; the "
                "guide's page about models lists those that train.",
            )
