"""The base model, its tokenizer, and the adapter put on it."""

from pathlib import Path
from typing import Any

from tunesmith_trainer.contract.configuration import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError


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


def load_base(configuration: Configuration) -> Any:
    """The base model with its frozen weights' precision, on the CPU; the training library moves it.

    Raises:
        TrainerError: of class model, when the weights are missing, unreadable, or need code of their own.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = Path(configuration.model.path)
    _ensure_model_directory(path)
    dtype = torch.float32 if configuration.training.precision == "FP32" else torch.bfloat16
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(path), dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainerError(ErrorClass.MODEL, f"The model in '{path}' cannot be loaded: {error}") from error


def with_adapter(base: Any, configuration: Configuration) -> Any:
    """The base with fresh LoRA adapters on its target modules; only they move.

    Raises:
        TrainerError: of class limits, when a target module does not exist or cannot be adapted.
    """
    from peft import LoraConfig, get_peft_model

    tuning = configuration.tuning
    targets = "all-linear" if tuning.target_modules == ("all-linear",) else list(tuning.target_modules)
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=targets,
    )
    try:
        # Under AMP the adapter stays in fp32 above bf16 weights; under BF16 all is bf16.
        return get_peft_model(base, adapter, autocast_adapter_dtype=configuration.training.precision != "BF16")
    except ValueError as error:
        raise TrainerError(
            ErrorClass.LIMITS, f"The target modules {list(tuning.target_modules)} do not fit this model: {error}"
        ) from error


def adapted_modules(model: Any) -> int:
    """How many modules carry an adapter; each has the two tensors lora_A and lora_B."""
    from peft.tuners.lora import LoraLayer

    return sum(isinstance(module, LoraLayer) for module in model.modules())


def load_adapter(model: Any, directory: Path) -> None:
    """Puts the adapter of a checkpoint into the model."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(str(directory / "adapter_model.safetensors")))


def _ensure_model_directory(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise TrainerError(
            ErrorClass.MODEL,
            f"There is no model in '{path}': it has no config.json. Check the weights' path on the job's storage.",
        )
