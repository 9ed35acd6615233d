"""Architectures of the catalogue that do not train here, each with its reason; refused before weights are read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

REFUSED: Mapping[str, str] = {
    "Llama4ForConditionalGeneration": "the loss of the training library does not find the text model inside it"
}


def ensure_trainable(path: Path) -> None:
    """Raises TrainerError of class model for a model directory whose architecture is known not to train."""
    ensure_described_trains(json.loads((path / "config.json").read_text(encoding="utf-8")))


def ensure_described_trains(described: Mapping[str, Any]) -> None:
    """The same of what stands in a model's `config.json`."""
    for name in described.get("architectures") or ():
        if name in REFUSED:
            raise TrainerError(
                ErrorClass.MODEL,
                f"Models of the architecture {name} cannot be trained: {REFUSED[name]}. Choose another model; the "
                "guide's page about models lists those that train.",
            )
