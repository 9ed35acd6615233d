"""The rows that a job learns from and is measured on, made ready, and the steps that they make."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.contract import Configuration, PrepareConfiguration
from tunesmith_trainer.data.cache import SOURCE_COLUMN
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.prepare import OnBytes, Prepared, prepare
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError


@dataclass(frozen=True)
class Datasets:
    """The prepared rows, and how many steps they make."""

    training: Prepared
    validation: Prepared | None
    rows: int
    total_steps: int


def rows_of_job(configuration: Configuration, tokenizer: Any) -> Datasets:
    """The rows of an attempt's configuration, see `prepared_rows`."""
    data = configuration.data
    return prepared_rows(
        configuration,
        tokenizer,
        model_path=Path(configuration.model.path),
        training=Path(data.training.path),
        validation=Path(data.validation.path) if data.validation else None,
    )


def prepared_rows(
    configuration: Configuration | PrepareConfiguration,
    tokenizer: Any,
    *,
    model_path: Path,
    training: Path,
    validation: Path | None,
    on_bytes: OnBytes | None = None,
) -> Datasets:
    """The rows of both files made ready, or found so on the storage, and the steps they make. In a preparation of its
    own or at the beginning of an attempt: both find what the other made.

    Raises:
        TrainerError: see `prepare`.
    """
    numbers, data = configuration.training, configuration.data
    rules = MaskingRules(
        numbers.context_length, data.train_on_inputs, data.on_unstable_template, configuration.method.type
    )

    def prepared(path: Path) -> Prepared:
        return prepare(
            path,
            tokenizer,
            model_path,
            rules,
            packing=numbers.packing,
            cache=Path(configuration.storage.root) / "prepared",
            on_bytes=on_bytes,
        )

    learnt = prepared(training)
    held_out = prepared(validation) if validation else None
    rows = len(with_sources(learnt))
    steps = numbers.epochs * math.ceil(rows / numbers.global_batch)
    return Datasets(learnt, held_out, rows, min(steps, numbers.max_steps or steps))


def ensure_the_same(before: Memory, now: Datasets, path: str) -> None:
    """Raises TrainerError of class data when the rows are others than those that the job has begun to learn.

    Half of one dataset and half of another, told as one training, would be a lie.
    """
    known, found = before.dataset_sha256, now.training.summary.sha256
    if known is None or known == found:
        return
    raise TrainerError(
        ErrorClass.DATA,
        f"The dataset '{path}' is another file than when this job began (SHA-256 {known[:12]} then, "
        f"{(found or 'unknown')[:12]} now), so its training cannot go on. Put the first file back and make a job that "
        "continues from the last checkpoint, or make a new job for the new file.",
    )


def with_sources(prepared: Prepared) -> Any:
    """The rows with the lines of the file that they were made from."""
    from datasets import Dataset

    return Dataset.from_file(str(prepared.rows))


def learnt(prepared: Prepared) -> Any:
    """The rows as the loop takes them, without where they came from."""
    return with_sources(prepared).remove_columns(SOURCE_COLUMN)
