"""Bases whose files hold quantised weights: brought back to bf16 while they are read, or refused before that."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith_trainer.contract.outcome import Tuning
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

_DEQUANTISED = ("fp8", "mxfp4")
_SCALE = "_scale_inv"


def reading_options(path: Path, *, quantise_again: bool = False) -> dict[str, Any]:
    """What the library must be told to read the model as plain numbers; nothing for a model that is not quantised.

    Args:
        quantise_again: the job wants the base in four bits.

    Raises:
        TrainerError: of class model, for weights that cannot be brought back to plain numbers; of class limits, when
            the job wants to quantise what is quantised already.
    """
    described = json.loads((path / "config.json").read_text(encoding="utf-8"))
    ensure_readable(described, f"'{path}'", quantise_again=quantise_again)
    stored = _stored(described)
    if not stored:
        return {}
    way = _way(stored)
    if way == "fp8" and stored.get("weight_block_size"):
        _ensure_whole_blocks(path, tuple(stored["weight_block_size"]))
    from transformers.utils.quantization_config import FineGrainedFP8Config, Mxfp4Config

    plain: Any = FineGrainedFP8Config if way == "fp8" else Mxfp4Config  # without types of their own
    # What is given here takes the place of what the file says: the list of unquantised modules must come along.
    kept = stored.get("modules_to_not_convert")
    return {"quantization_config": plain(dequantize=True, modules_to_not_convert=kept)}


def quantises(tuning: Tuning | None) -> bool:
    """Whether a job wants its base in four bits."""
    return tuning is not None and tuning.type == "LoRA" and tuning.base_quantization == "NF4"


def ensure_readable(described: Mapping[str, Any], place: str, *, quantise_again: bool) -> None:
    """What a model's `config.json` alone tells: enough to refuse most, before a weight is there.

    Args:
        described: the content of the file.
        place: where the weights are, for people.
        quantise_again: the job wants the base in four bits.

    Raises:
        TrainerError: as `reading_options`.
    """
    stored = _stored(described)
    if not stored:
        return
    way = _way(stored)
    if way not in _DEQUANTISED:
        raise TrainerError(
            ErrorClass.MODEL,
            f"The weights in {place} are quantised with '{way}', which cannot be trained on: of quantised weights "
            "fp8 and mxfp4 are dequantised to bf16. Use the model's unquantised weights, and `baseQuantization: NF4` "
            "where memory is short.",
        )
    if quantise_again:
        raise TrainerError(
            ErrorClass.LIMITS,
            f"baseQuantization NF4 cannot be put on weights that are quantised already ('{way}' in {place}). Use the "
            "model's unquantised weights, or train without baseQuantization.",
        )


def make_plain(model: Any, dtype: Any) -> None:
    """Lets a model that was dequantised be as if its files had held plain numbers; others stay as they are.

    The library brings to `dtype` what it dequantises, and leaves the weights beside it in the precision of the file.
    And what it does on reading it undoes on saving: the files would be quantised again, more coarsely and without a
    word of it in `config.json`.
    """
    if not _dequantised(model):
        return
    kept_apart = model._get_dtype_plan(dtype)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not any(part in name for part in kept_apart):
            parameter.data = parameter.data.to(dtype)
    model._weight_conversions = None


def _dequantised(model: Any) -> bool:
    return any(
        type(operation).__name__.endswith("Dequantize")
        for conversion in getattr(model, "_weight_conversions", None) or ()
        for operation in getattr(conversion, "operations", ())
    )


def _way(stored: Mapping[str, Any]) -> str:
    return str(stored.get("quant_method") or "unnamed").lower()


def _stored(described: Mapping[str, Any]) -> Mapping[str, Any]:
    text = described.get("text_config") or {}
    found: Mapping[str, Any] = described.get("quantization_config") or text.get("quantization_config") or {}
    return found


def _ensure_whole_blocks(path: Path, block: tuple[int, ...]) -> None:
    """Refuses weights whose last block is cut short.

    transformers takes the size of a block for the weight's divided by the number of its scales, which is another size
    where the last block is shorter: it fails, or scales wrongly without a word.
    """
    from safetensors import safe_open

    for file in sorted(path.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as tensors:
            names = set(tensors.keys())
            for name in sorted(names):
                if name + _SCALE not in names:
                    continue
                shape = tensors.get_slice(name).get_shape()[-2:]
                if any(size % per_block for size, per_block in zip(shape, block[-2:], strict=True)):
                    raise TrainerError(
                        ErrorClass.MODEL,
                        f"'{name}' in '{path}' is quantised in FP8 with blocks of {'x'.join(map(str, block))} that "
                        f"do not divide its {'x'.join(map(str, shape))} numbers; such weights are not dequantised "
                        "rightly. Use the model's weights in bf16.",
                    )
