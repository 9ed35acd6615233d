"""The end of a good attempt: the weights saved, checked, described and published by one rename.

A result directory is either whole and verified, or not there; its name carries the attempt.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.contract import Configuration, Result, TerminationMessage
from tunesmith_trainer.contract.messages import FileSaid
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.model import adapted_modules
from tunesmith_trainer.storage import (
    copy_whole,
    first_damage,
    make_readable,
    said_files,
    sha256_of,
    sync_directory,
    sync_tree,
    write_whole,
)
from tunesmith_trainer.weights import WEIGHTS, merge, numbers_of, settle_model

RESULT = "result.json"
UNPUBLISHED = ".tmp"
ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True)
class Published:
    """A result on the storage whose files were read again."""

    path: Path
    result: Result
    result_sha256: str
    size_bytes: int

    def message(self, attempt: int, text: str = "") -> TerminationMessage:
        """How the attempt that made or found it ends."""
        return TerminationMessage(
            attempt=attempt,
            error_class=ErrorClass.SUCCESS,
            step=self.result.steps,
            total_steps=self.result.total_steps,
            stopped_early_at_step=self.result.stopped_early_at_step,
            result_sha256=self.result_sha256,
            result_bytes=self.size_bytes,
            path=str(self.path),
            message=text,
        )


def publish(
    configuration: Configuration,
    attempt: Attempt,
    checkpoint: Path,
    *,
    model: Any,
    tokenizer: Any,
    describe: Callable[[dict[str, FileSaid], int], Result],
) -> Published:
    """Publishes the weights of a checkpoint with their tokenizer and result.json.

    The checkpoint's files are whole however the model is sharded. `describe` gets the files and adapted modules.

    Raises:
        TrainerError: superseded, when a newer attempt exists; infrastructure, when what was written reads differently.
    """
    path = Path(configuration.storage.output_path)
    partial = path.with_name(path.name + UNPUBLISHED)
    attempt.ensure_newest()
    forget_unpublished(configuration)
    partial.mkdir(parents=True)
    for file in sorted(checkpoint.iterdir()):
        if any(file.match(pattern) for pattern in WEIGHTS):
            copy_whole(file, partial / file.name)
    modules = adapted_modules(model)
    if configuration.tuning.type == "LoRA":
        _ensure_learnt(partial / ADAPTER, modules)
    else:
        settle_model(partial, configuration, numbers_of(model))
    tokenizer.save_pretrained(str(partial))
    if configuration.output.merge_model:
        merge(partial, configuration, tokenizer)
    write_whole(
        partial / RESULT, describe(said_files(partial), modules).model_dump_json(by_alias=True, indent=2) + "\n"
    )
    make_readable(partial)
    sync_tree(partial)
    attempt.ensure_newest()
    partial.rename(path)
    sync_directory(path.parent)
    published = opened(path)
    if isinstance(published, str):
        raise TrainerError(
            ErrorClass.INFRASTRUCTURE, f"The result in '{path}' was written and reads differently: {published}."
        )
    return published


def found(configuration: Configuration) -> tuple[Published | None, list[str]]:
    """The newest verified result that this job has published before, and what is wrong with others.

    It exists when an earlier attempt published, and its termination message was lost.
    """
    pattern, directory = configuration.storage.published_paths_pattern(), Path(configuration.storage.output_path).parent
    if not directory.is_dir():
        return None, []
    candidates = sorted(
        ((int(match[1]), path) for path in directory.iterdir() if (match := pattern.fullmatch(path.name))), reverse=True
    )
    damaged: list[str] = []
    for _, path in candidates:
        published = opened(path)
        if isinstance(published, Published) and published.result.config_hash == configuration.config_hash():
            return published, damaged
        why = published if isinstance(published, str) else "it was made under another configuration"
        damaged.append(f"The result in '{path}' does not count: {why}.")
    return None, damaged


def forget_unpublished(configuration: Configuration) -> None:
    """Removes what this attempt and earlier ones were putting together when they ended: whole models, perhaps.

    One that lives on all the same was superseded, and may not publish.
    """
    storage = configuration.storage
    pattern = storage.published_paths_pattern()
    for path in Path(storage.output_path).parent.glob(f"*{UNPUBLISHED}"):
        match = pattern.fullmatch(path.name.removesuffix(UNPUBLISHED))
        if match is not None and int(match[1]) <= storage.attempt:
            shutil.rmtree(path, ignore_errors=True)


def opened(path: Path) -> Published | str:
    """A result read again from the storage, or what is wrong with it."""
    if not (path / RESULT).is_file():
        return f"it has no {RESULT}"
    try:
        result = Result.model_validate_json((path / RESULT).read_bytes())
    except ValidationError:
        return f"its {RESULT} cannot be read"
    if damage := first_damage(path, result.files):
        return damage
    size = sum(file.size_bytes for file in result.files.values()) + (path / RESULT).stat().st_size
    return Published(path, result, sha256_of(path / RESULT), size)


def _ensure_learnt(adapter: Path, modules: int) -> None:
    """Opens the saved adapter: libraries were seen to save empty ones, and to exit with success."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(str(adapter)) if adapter.is_file() else {}
    if len(tensors) != 2 * modules:
        raise TrainerError(
            ErrorClass.UNCLASSIFIED, f"The saved adapter has {len(tensors)} tensors where {2 * modules} were trained."
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise TrainerError(ErrorClass.DIVERGED, "The adapter has values that are NaN or infinite. Lower learningRate.")
    if not any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name):
        raise TrainerError(
            ErrorClass.CONFIGURATION, "The adapter learnt nothing: all of lora_B is zero. Raise learningRate or steps."
        )
