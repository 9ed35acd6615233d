"""Whether a job can go on from an earlier adapter, model or checkpoint: looked at before anything is loaded.

By the preparation, while no GPU is held, and by each attempt again: storage can change in between.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith_trainer.checkpoints import DIRECTORY, MANIFEST, Manifest
from tunesmith_trainer.contract import Configuration, Result
from tunesmith_trainer.contract.outcome import LoRA, Tuning
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fingerprint import fingerprint
from tunesmith_trainer.storage import first_damage

ADAPTER_CONFIGURATION = "adapter_config.json"
MODEL_CONFIGURATION = "config.json"
RESULT = "result.json"
# What must be the same for weights of one model to be weights of the other.
SHAPE_KEYS = (
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "tie_word_embeddings", "num_experts", "num_local_experts",
)  # fmt: skip


def ensure_fits(configuration: Configuration) -> None:
    """Raises TrainerError of class model when what the job continues from is damaged or belongs to another base."""
    if configuration.continue_from is None:
        return
    path = Path(configuration.continue_from.path)
    ensure_whole(path)
    ensure_same_kind(path, configuration.tuning, Path(configuration.model.path))


def ensure_whole(path: Path) -> None:
    """Raises TrainerError of class model when the directory is not there, or not as it was written."""
    if not path.is_dir():
        raise _refused(path, "it is no directory on the job's storage. Name a result or a checkpoint")
    if damage := _damage(path):
        raise _refused(path, f"{damage}. Take another checkpoint, or the job's result")


def ensure_same_kind(path: Path, tuning: Tuning, base: Path) -> None:
    """Raises TrainerError of class model when the directory holds another kind of weights, or those of another base."""
    if tuning.type == "LoRA":
        _ensure_adapter_fits(path, tuning, base)
    else:
        _ensure_model_fits(path, base)


def _damage(path: Path) -> str | None:
    """What is wrong with a result or checkpoint of ours; others have no list of files to hold them against."""
    try:
        if (path / RESULT).is_file():
            return first_damage(path, Result.model_validate_json((path / RESULT).read_bytes()).files)
        if (path / MANIFEST).is_file():
            return first_damage(path, Manifest.model_validate_json((path / MANIFEST).read_bytes()).files)
    except ValidationError:
        return "its description cannot be read"
    return "the checkpoint was not finished" if DIRECTORY.fullmatch(path.name) else None


def _ensure_adapter_fits(path: Path, tuning: LoRA, base: Path) -> None:
    described = _described(path / ADAPTER_CONFIGURATION)
    if described is None:
        raise _refused(
            path,
            "it has no adapter, and this job trains one. To put an adapter on a whole model, name that as `model`",
        )
    for name, wanted in (("r", tuning.rank), ("lora_alpha", tuning.alpha)):
        if described.get(name) != wanted:
            raise _refused(path, f"its adapter has {name} {described.get(name)}, the job's has {wanted}. Set the same")
    for name in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save"):
        if described.get(name):
            raise _refused(path, f"its adapter was made with {name}, which is not trained here")
    origin = _origin(path, described)
    if origin is not None and origin != fingerprint(base):
        raise _refused(path, f"its adapter was trained on another base model than '{base}'. Use that base")


def _origin(path: Path, described: dict[str, Any]) -> str | None:
    """Fingerprint of the base that an adapter was trained on; None where nothing tells."""
    if (path / RESULT).is_file():
        return Result.model_validate_json((path / RESULT).read_bytes()).base_fingerprint
    base = Path(str(described.get("base_model_name_or_path") or ""))
    return fingerprint(base) if base.is_absolute() and (base / MODEL_CONFIGURATION).is_file() else None


def _ensure_model_fits(path: Path, base: Path) -> None:
    if (path / ADAPTER_CONFIGURATION).is_file():
        raise _refused(path, "it is an adapter, and this job trains all weights. Set `tuning.type` to 'LoRA'")
    described, wanted = _described(path / MODEL_CONFIGURATION), _described(base / MODEL_CONFIGURATION) or {}
    if described is None:
        raise _refused(path, f"it has no {MODEL_CONFIGURATION}. Name a result or a checkpoint")
    for key in SHAPE_KEYS:
        if described.get(key) != wanted.get(key):
            raise _refused(
                path, f"its model has {key} {described.get(key)}, the base model has {wanted.get(key)}. Use that base"
            )


def _described(path: Path) -> dict[str, Any] | None:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return described if isinstance(described, dict) else None


def _refused(path: Path, why: str) -> TrainerError:
    return TrainerError(ErrorClass.MODEL, f"The job cannot continue from '{path}': {why}.")
