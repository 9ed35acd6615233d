"""What of a model an adapter is put on: its linear layers, its experts, or its attention only.

Found by looking at the model. In transformers 5 the experts of a layer lie together in three-dimensional parameters,
which "every linear layer" of the adapter's library does not reach in all architectures.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from tunesmith_trainer.contract.outcome import LoRA
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

ALL_LINEAR = "all-linear"
ATTENTION = "attention"
EXPERTS_CAVEAT = (
    "The adapter changes the experts of the model, which not every server of adapters takes. Publish a merged model "
    "(`mergeModel`), or train with `targetModules: [attention]`."
)
# Parts of models for pictures and sound; text alone is trained, and they do not move.
_OTHER_SENSES = ("vision", "visual", "multi_modal", "audio", "image")


@dataclass(frozen=True)
class Targets:
    """The library's two arguments: modules by name, and parameters by name."""

    modules: str | list[str]
    parameters: list[str] | None = None


def targets_of(model: Any, tuning: LoRA) -> Targets:
    """What the words of the configuration mean in this model.

    Raises:
        TrainerError: of class limits, when the model lacks one of the parts, or when its experts cannot be adapted so.
    """
    if tuning.target_modules == (ALL_LINEAR,):
        return _all_linear(model, tuning)
    meant = {word: _meant(model, word) for word in tuning.target_modules}
    _ensure_found(model, [word for word, found in meant.items() if not found.modules and not found.parameters])
    parameters = [name for found in meant.values() for name in found.parameters or ()]
    return Targets([name for found in meant.values() for name in found.modules], parameters or None)


def attention_projections(model: Any) -> list[str]:
    """Names of the linear layers of attention in the text model, in its order."""
    inside = [name + "." for name, module in model.named_modules() if type(module).__name__.endswith("Attention")]
    return [name for name, _ in _linear_layers(model) if name.startswith(tuple(inside))] if inside else []


def expert_parameters(model: Any) -> list[str]:
    """Names of the parameters that hold the weights of all experts of a layer, in the model's order."""
    return [name for name, parameter in model.named_parameters() if parameter.dim() == 3 and ".experts." in f".{name}"]


def experts_adapted(model: Any) -> bool:
    """Whether the adapter on the model changes experts."""
    return any(
        parameter.requires_grad and ".experts." in name and "lora_" in name
        for name, parameter in model.named_parameters()
    )


def freeze_other_senses(model: Any) -> None:
    """Holds still what no text moves.

    Its parameters get no gradient: processes that train together refuse those among what moves, and an optimizer that
    is to be resumed has no state for them.
    """
    for name, parameter in model.named_parameters():
        if _is_of_another_sense(name):
            parameter.requires_grad = False


def _meant(model: Any, word: str) -> Targets:
    """What stands for a word of the configuration before the adapter's library; nothing when the model lacks it."""
    if word == ATTENTION:
        return Targets(attention_projections(model))
    if word.rpartition(".")[2] in _former_names(model):
        return _meant_formerly(model, word)
    names = [
        name for name, _ in model.named_modules() if f".{name}".endswith(f".{word}") and not _is_of_another_sense(name)
    ]
    # The library takes a word at the end of any name, and layers that see are often called like those that read.
    return Targets(names if _has_other_senses(model) else [word] * bool(names))


def _meant_formerly(model: Any, word: str) -> Targets:
    """The same of a word that ends as layers of the experts were called before they lay together.

    The library takes such a word for the experts', whatever stands before it, and passes over dense layers and shared
    experts of the same name. Named as parameters they are adapted like the rest.
    """
    last = word.rpartition(".")[2]
    dense = [f"{name}.weight" for name, _ in _linear_layers(model) if f".{name}".endswith(f".{word}")]
    choosing = [name for name, module in model.named_modules() if _chooses_experts(module)]
    formerly = [f"{name.rpartition('.')[0]}.{last}" for name in expert_parameters(model)]
    return Targets([last] * any(f".{name}".endswith(f".{word}") for name in (*choosing, *formerly)), dense)


def _former_names(model: Any) -> Collection[str]:
    """Layers that lie together in the experts' parameters now, and are still called as before in adapters."""
    from peft.utils import transformers_weight_conversion

    conversion: Any = transformers_weight_conversion  # its own copy of the families, with one that it adds
    family = conversion._MODEL_TO_CONVERSION_PATTERN.get(model.config.model_type, "")
    names: Collection[str] = conversion._MOE_TARGET_MODULE_MAPPING.get(family, {}).keys()
    return names


def _ensure_found(model: Any, missing: list[str]) -> None:
    if not missing:
        return
    if ATTENTION in missing:
        raise TrainerError(
            ErrorClass.LIMITS, "targetModules 'attention': this model has no attention that is known. Name its modules."
        )
    experts = "; experts are adapted where `targetModules` is left out" if expert_parameters(model) else ""
    known = sorted({name.rpartition(".")[2] for name, _ in _linear_layers(model)})
    raise TrainerError(
        ErrorClass.LIMITS,
        f"targetModules: the model has no module {' and no '.join(repr(word) for word in missing)}, so it would not be "
        f"trained. Correct the name or leave it out; linear layers are called {', '.join(known)} here{experts}.",
    )


def _all_linear(model: Any, tuning: LoRA) -> Targets:
    experts, layers = expert_parameters(model), [name for name, _ in _linear_layers(model)]
    if not experts:
        return Targets(layers if _has_other_senses(model) else ALL_LINEAR)
    if tuning.dropout > 0:
        raise TrainerError(
            ErrorClass.LIMITS,
            "The experts of this model cannot be adapted with a dropout. Set `dropout` to 0, or adapt its attention "
            "only with `targetModules: [attention]`.",
        )
    attention = set(attention_projections(model))
    # PEFT takes a `gate_proj` among the modules for that of the experts, and passes over dense layers and shared
    # experts of the same name. Named as parameters they are adapted like the rest.
    others = [f"{name}.weight" for name in layers if name not in attention]
    return Targets([name for name in layers if name in attention], [*experts, *others])


def _linear_layers(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Linear layers of the text model by name, without the output head and what chooses the experts."""
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head and not _apart(name, module):
            yield name, module


def _apart(name: str, module: nn.Module) -> bool:
    return _chooses_experts(module) or _is_of_another_sense(name)


def _chooses_experts(module: nn.Module) -> bool:
    return "Router" in type(module).__name__


def _is_of_another_sense(name: str) -> bool:
    return any(sense in name for sense in _OTHER_SENSES)


def _has_other_senses(model: Any) -> bool:
    return any(_is_of_another_sense(name) for name, _ in model.named_modules())
