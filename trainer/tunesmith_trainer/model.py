"""The base model, its tokenizer, and what of it moves: an adapter put on it, or all."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tunesmith_trainer.contract.configuration import Configuration
from tunesmith_trainer.contract.outcome import LoRA
from tunesmith_trainer.devices import wants_gpus
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.refused_architectures import ensure_trainable
from tunesmith_trainer.stored_numbers import make_plain, quantises, reading_options
from tunesmith_trainer.targets import freeze_other_senses, targets_of


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a model directory.

    Raises:
        TrainerError: of class model, when the directory or the tokenizer is missing or unreadable.
    """
    from transformers import AutoTokenizer

    _ensure_model_directory(path)
    try:
        return AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise TrainerError(ErrorClass.MODEL, f"The tokenizer in '{path}' cannot be loaded: {error}") from error


@dataclass(frozen=True)
class Loaded:
    """What a loop trains, and what it compares with.

    Attributes:
        reference: a second, frozen model; only for full preference training with a reference.
        adapter_at_start: tensors of the adapter that the job continues from.
    """

    model: Any
    reference: Any = None
    adapter_at_start: dict[str, Any] | None = None


def load_base(configuration: Configuration, resumed: Path | None = None) -> Any:
    """The model whose weights move or lie under the adapter, on the CPU; the training library moves it.

    A quantised one is put where it is trained at once: quantising happens on the way there. A whole model is read from
    the checkpoint `resumed` in the base's place: its files call and cut the weights otherwise than the model in memory,
    which only the library's own reading undoes.

    Raises:
        TrainerError: of class model, when the weights are missing, unreadable, or need code of their own.
    """
    tuning = configuration.tuning
    if tuning.type == "Full":
        frozen = False
        path = resumed or start_of(configuration)
    else:
        frozen = True
        path = Path(configuration.model.path)
    return _from(path, _dtype(configuration, frozen=frozen), **(_nf4(configuration) if quantises(tuning) else {}))


def start_of(configuration: Configuration) -> Path:
    """Where full tuning starts: at the base, or at what the job continues from."""
    continued = configuration.continue_from
    return Path(continued.path if continued is not None else configuration.model.path)


def tuned(base: Any, configuration: Configuration) -> Loaded:
    """The base with what moves: fresh or continued LoRA adapters on its target modules, or all of its text model.

    Raises:
        TrainerError: of class limits, when a target module does not exist or cannot be adapted; of class model, when
            the adapter to continue from does not fit.
    """
    if configuration.tuning.type == "LoRA":
        # Under AMP the adapter stays in fp32 above bf16 weights; under BF16 all is bf16.
        in_full = configuration.training.precision != "BF16"
        model = _with_adapter(base, configuration.tuning, in_full=in_full)
        if configuration.continue_from is None:
            return Loaded(model)
        tensors = read_adapter(Path(configuration.continue_from.path))
        put_adapter(model, tensors, configuration.continue_from.path)
        return Loaded(model, adapter_at_start=tensors)
    freeze_other_senses(base)
    method = configuration.method
    if method.type == "SFT" or method.dpo.reference_free:
        return Loaded(base)
    return Loaded(base, reference=_from(start_of(configuration), _dtype(configuration, frozen=True)))


def ensure_adaptable(path: Path, tuning: LoRA) -> None:
    """Puts the adapter on an outline of the model, which has its layers and no numbers: it takes seconds and few bytes.

    Raises:
        TrainerError: of class limits, as `tuned`; of class model, for a configuration that makes no model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    models: Any = AutoModelForCausalLM  # without types of its own
    with torch.device("meta"):
        try:
            described = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
            outline = models.from_config(described, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise TrainerError(ErrorClass.MODEL, f"The model in '{path}' cannot be loaded: {error}") from error
        _with_adapter(outline, tuning, in_full=True)


def _from(path: Path, dtype: Any, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    _ensure_model_directory(path)
    ensure_trainable(path)
    options = reading_options(path, quantise_again="quantization_config" in options) | options
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(path), dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainerError(ErrorClass.MODEL, f"The model in '{path}' cannot be loaded: {error}") from error
    make_plain(model, dtype)
    return model


def _dtype(configuration: Configuration, *, frozen: bool) -> Any:
    """AMP: what moves is kept in fp32, what is frozen in bf16."""
    import torch

    precision = configuration.training.precision
    return torch.float32 if precision == "FP32" or (precision == "AMP" and not frozen) else torch.bfloat16


def _nf4(configuration: Configuration) -> dict[str, Any]:
    """Four-bit linear layers, their block constants quantised once more, as the QLoRA paper has it.

    Not `peft.prepare_model_for_kbit_training`: it would hold norms, embeddings and the output head in fp32.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise TrainerError(
            ErrorClass.MODEL,
            "baseQuantization NF4 needs the package bitsandbytes, which this image lacks. Install the trainer with its "
            "extra 'qlora', or train without quantisation.",
        )
    device = torch.device("cuda", torch.cuda.current_device()) if wants_gpus(configuration) else torch.device("cpu")
    quantization: Any = BitsAndBytesConfig  # without types of its own
    return {
        "quantization_config": quantization(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=_dtype(configuration, frozen=True),
        ),
        "device_map": {"": device},
    }


def _with_adapter(base: Any, tuning: LoRA, *, in_full: bool) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = targets_of(base, tuning)
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=targets.modules,
        target_parameters=targets.parameters,
    )
    try:
        return get_peft_model(base, adapter, autocast_adapter_dtype=in_full)
    except ValueError as error:
        raise TrainerError(
            ErrorClass.LIMITS, f"The target modules {list(tuning.target_modules)} do not fit this model: {error}"
        ) from error


def trained_parameters(model: Any) -> int:
    """How many numbers move."""
    return sum(int(parameter.numel()) for parameter in model.parameters() if parameter.requires_grad)


def read_adapter(directory: Path) -> dict[str, Any]:
    """The tensors of a saved adapter, by name."""
    from safetensors.torch import load_file

    return dict(load_file(str(directory / "adapter_model.safetensors")))


def put_adapter(model: Any, tensors: dict[str, Any], source: str) -> None:
    """Puts the tensors of an adapter into the model's, which must have the same names and shapes.

    Raises:
        TrainerError: of class model, with the first difference.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    own = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(model).items()}
    other = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(own.keys() | other.keys()):
        if own.get(name) != other.get(name):
            raise TrainerError(
                ErrorClass.MODEL,
                f"The adapter in '{source}' does not fit this job: '{name}' is {other.get(name, 'missing')} there and "
                f"{own.get(name, 'missing')} here. Base model, rank and target modules must be the same.",
            )
    set_peft_model_state_dict(model, tensors)


def adapted_modules(model: Any) -> int:
    """How many modules carry an adapter; each has the two tensors lora_A and lora_B."""
    from peft.tuners.lora import LoraLayer

    return sum(isinstance(module, LoraLayer) for module in model.modules())


def load_trained(model: Any, directory: Path) -> None:
    """Puts the adapter of a checkpoint into the model; a whole model was read from there at once, see `load_base`."""
    from peft import PeftModel, set_peft_model_state_dict

    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, read_adapter(directory))


def _ensure_model_directory(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise TrainerError(
            ErrorClass.MODEL,
            f"There is no model in '{path}': it has no config.json. Check the weights' path on the job's storage.",
        )
