"""What a model allows, in the words of the provider's limits endpoint, from what stands in its CatalogModel.

Only what this installation trains: a row that the operator would refuse has no limits here either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.catalog.limits import MethodLimits, limits_for
from tunesmith.catalog.loader import known_shape
from tunesmith.planning.memory.batch import ACCUMULATION_OF_BATCH_ONE
from tunesmith.planning.memory.objections import CONTEXT_PARALLELISM, needs_context_parallelism
from tunesmith.planning.memory.untrainable import untrainable
from tunesmith.resources.catalog_model import CatalogModel, CatalogSource, ModelTask
from tunesmith.resources.fine_tune_job_inputs import LoRA, MethodType
from tunesmith.resources.not_implemented import FIELDS
from tunesmith.resources.parsing import parse

Raw = Mapping[str, Any]
# The bounds of a FineTuneJob's own fields hold where a row sets none.
LARGEST_COUNT = 1000
LARGEST_BATCH = 65536
LONGEST_CONTEXT = 2097152
SHORTEST_CONTEXT = 8
HIGHEST_RANK = 512
HIGHEST_LEARNING_RATE = 1.0
LOWEST_LEARNING_RATE = 1e-9


def limits_answer(models: Iterable[Raw], name: str) -> tuple[dict[str, Any] | None, str]:
    """The limits of the model of that id or object name; or None, and why there are none."""
    for raw in models:
        if name not in {(raw.get("spec") or {}).get("id"), (raw.get("metadata") or {}).get("name")}:
            continue
        model = parse(raw)
        if not isinstance(model, CatalogModel):
            return None, f"The CatalogModel of '{name}' cannot be read: `{getattr(model, 'path', 'kind')}`."
        refusal = _not_trained(model)
        return (None, refusal) if refusal else (_limits(model), "")
    return None, f"No model '{name}' can be fine-tuned here. /v1/fine-tunes/models/supported names those that can."


def supported_answer(models: Iterable[Raw]) -> dict[str, Any]:
    """The ids of all models that can be trained here."""
    parsed = [parse(raw) for raw in models]
    trained = {model.spec.id for model in parsed if isinstance(model, CatalogModel) and not _not_trained(model)}
    return {"models": sorted(trained)}


def _not_trained(model: CatalogModel) -> str:
    spec = model.spec
    if ModelTask.FINE_TUNE not in spec.tasks:
        return f"'{spec.id}' is not fine-tuned here."
    if spec.source is not CatalogSource.USER and needs_context_parallelism(limits_for(spec, MethodType.SFT)):
        return CONTEXT_PARALLELISM
    shape = known_shape(spec)
    refusal = untrainable(shape) if shape is not None else None
    return "" if refusal is None else refusal.message


def _limits(model: CatalogModel) -> dict[str, Any]:
    sft, dpo = limits_for(model.spec, MethodType.SFT), limits_for(model.spec, MethodType.DPO)
    whole = "spec.tuning.type" not in FIELDS["FineTuneJob"]
    batches = _batches(sft, dpo)
    targets = model.spec.limits.target_modules if model.spec.limits is not None else ()
    return {
        "model_name": model.spec.id,
        "max_num_epochs": LARGEST_COUNT,
        "max_num_evals": LARGEST_COUNT,
        "max_num_checkpoints": LARGEST_COUNT,
        "min_learning_rate": LOWEST_LEARNING_RATE,
        "max_learning_rate": HIGHEST_LEARNING_RATE,
        "min_max_seq_length": SHORTEST_CONTEXT,
        "max_seq_length_sft": sft.context_length or LONGEST_CONTEXT,
        "max_seq_length_dpo": dpo.context_length or LONGEST_CONTEXT,
        "default_gradient_accumulation_steps": ACCUMULATION_OF_BATCH_ONE if sft.max_batch_size == 1 else 1,
        "merge_output_lora": False,
        # The catalogue tells neither; what is not known is not promised.
        "supports_vision": False,
        "supports_tools": False,
        "supports_reasoning": False,
        "supports_full_training": whole,
        "lora_training": {
            "default_rank": min(LoRA().rank, sft.max_lora_rank or HIGHEST_RANK),
            "max_rank": sft.max_lora_rank or HIGHEST_RANK,
            "target_modules": list(targets) or ["all-linear"],
            **batches,
        },
        "full_training": batches if whole else dict.fromkeys(batches, 0),
    }


def _batches(sft: MethodLimits, dpo: MethodLimits) -> dict[str, int]:
    return {
        "min_batch_size": sft.min_batch_size or 1,
        "max_batch_size": sft.max_batch_size or LARGEST_BATCH,
        "max_batch_size_dpo": dpo.max_batch_size or LARGEST_BATCH,
    }
