"""The saved weights of a result: in the base's precision, merged on wish, and read again before they are believed.

Libraries were seen to save empty adapters, and to exit with success.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.stored_numbers import make_plain, reading_options

MERGED = "merged"
# The files of a checkpoint that are the result, of an adapter or of a whole model.
WEIGHTS = (
    "adapter_model.safetensors", "adapter_config.json",
    "model*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json",
)  # fmt: skip
MODEL_CONFIGURATION = "config.json"
USE_KEYS = ("use_cache", "output_router_logits", "router_aux_loss_coef")
INDEX = "model.safetensors.index.json"


def numbers_of(model: Any) -> int:
    """How many numbers a model's files hold: parameters once each, and the buffers that are saved."""
    buffers = {name for name, _ in model.named_buffers()} & model.state_dict().keys()
    return sum(int(parameter.numel()) for parameter in model.parameters()) + sum(
        int(model.get_buffer(name).numel()) for name in buffers
    )


def settle_model(directory: Path, configuration: Configuration, numbers: int) -> None:
    """Casts a saved whole model to the base's precision, and reads it again.

    Args:
        numbers: how many the model has, see `numbers_of`.

    Raises:
        TrainerError: of class diverged or unclassified, when the files are not a whole trained model.
    """
    base = Path(configuration.model.path)
    dtype = stored_dtype(base)
    if dtype is not None:
        _cast(directory, dtype)
    _restore_use(directory / MODEL_CONFIGURATION, base / MODEL_CONFIGURATION)
    ensure_whole(directory, numbers, base)


def merge(adapter: Path, configuration: Configuration, tokenizer: Any) -> None:
    """Writes the base with the adapter merged in to the directory 'merged' below the adapter's, and checks it.

    The base is read again, in its own precision and unquantised, on the CPU.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    path, target = Path(configuration.model.path), adapter / MERGED
    dtype = stored_dtype(path) or torch.float32
    base: Any = AutoModelForCausalLM.from_pretrained(
        str(path),
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        **reading_options(path),
    )
    make_plain(base, dtype)
    numbers = numbers_of(base)
    adapted: Any = PeftModel.from_pretrained(base, str(adapter))
    whole: Any = adapted.merge_and_unload(safe_merge=True)
    whole.save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))
    ensure_whole(target, numbers, path)


def stored_dtype(model: Path) -> torch.dtype | None:
    """The precision that a model directory says its weights have."""
    described = json.loads((model / MODEL_CONFIGURATION).read_text(encoding="utf-8"))
    dtype = getattr(torch, str(described.get("dtype") or described.get("torch_dtype")), None)
    return dtype if isinstance(dtype, torch.dtype) else None


def ensure_whole(directory: Path, numbers: int, base: Path) -> None:
    """Opens a saved model: as many numbers as it has, all finite, and not the base again."""
    found, moved = 0, False
    shards = _shards_by_name(base)
    for name, tensor in _tensors(directory):
        found += tensor.numel()
        if not bool(torch.isfinite(tensor).all()):
            raise TrainerError(
                ErrorClass.DIVERGED, f"'{name}' of the model has values that are NaN or infinite. Lower learningRate."
            )
        if not moved and name in shards:
            with safe_open(str(shards[name]), framework="pt") as file:
                before = file.get_tensor(name)
            moved = before.shape != tensor.shape or not torch.equal(before.to(tensor.dtype), tensor)
    if found != numbers:
        raise TrainerError(
            ErrorClass.UNCLASSIFIED, f"The saved model has {found} numbers where {numbers} were trained."
        )
    if shards and not moved:
        raise TrainerError(
            ErrorClass.CONFIGURATION,
            "The model learnt nothing: in the precision of its files it is the base. Raise learningRate or steps.",
        )


def _tensors(directory: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)


def _shards_by_name(directory: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            found.update(dict.fromkeys(file.keys(), path))
    return found


def _cast(directory: Path, dtype: torch.dtype) -> None:
    """Rewrites each file with its floating numbers in `dtype`, and what is said about them."""
    total_bytes = 0
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        tensors = {name: one.to(dtype) if one.is_floating_point() else one for name, one in tensors.items()}
        total_bytes += sum(one.numel() * one.element_size() for one in tensors.values())
        partial = path.with_name(path.name + ".partial")
        save_file(tensors, str(partial), metadata={"format": "pt"})
        partial.replace(path)
    _rewrite(directory / MODEL_CONFIGURATION, {"dtype": str(dtype).removeprefix("torch.")})
    if (directory / INDEX).is_file():
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        _rewrite(directory / INDEX, {"metadata": {**index.get("metadata", {}), "total_size": total_bytes}})


def _restore_use(path: Path, base: Path) -> None:
    """Says of the result's use what the base says: training turns the cache off, and the experts' balancing on."""
    described, wanted = (json.loads(one.read_text(encoding="utf-8")) for one in (path, base))
    for part, part_wanted in ((described, wanted), *_text_parts(described, wanted)):
        for key in USE_KEYS:
            part.pop(key, None)
            if key in part_wanted:
                part[key] = part_wanted[key]
    _rewrite(path, described)


def _text_parts(described: dict[str, Any], wanted: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    part = described.get("text_config")
    return [(part, wanted.get("text_config") or {})] if isinstance(part, dict) else []


def _rewrite(path: Path, changes: dict[str, Any]) -> None:
    described = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")
