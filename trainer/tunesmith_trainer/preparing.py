"""One preparation, without GPUs: every dataset file checked and made ready, before anybody pays for GPUs."""

import math
from pathlib import Path
from typing import Any

from tunesmith_trainer.contract import PrepareConfiguration, PreparedSaid, TerminationMessage
from tunesmith_trainer.contract.messages import DatasetFormats, DatasetHashes
from tunesmith_trainer.data.formats import read_rows
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.prepare import Prepared, prepare
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.model import load_tokenizer
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.storage import sha256_of


def run(configuration: PrepareConfiguration, reporter: Reporter) -> TerminationMessage:
    """Prepares as configured; returns how a successful preparation ends.

    Raises:
        TrainerError: for every end that has a class of its own.
    """
    model, data, training = configuration.model, configuration.data, configuration.training
    if configuration.fetch is not None or model is None or data.training is None:
        raise TrainerError(ErrorClass.CONFIGURATION, "This version of the trainer does not fetch. Take out `fetch`.")
    reporter.stage("Preparing")
    tokenizer = load_tokenizer(Path(model.path))
    rules = MaskingRules(training.context_length, data.train_on_inputs, data.on_unstable_template)

    def prepared(path: str) -> Prepared:
        cache = Path(configuration.storage.job_path) / "prepared"
        return prepare(Path(path), tokenizer, Path(model.path), rules, packing=training.packing, cache=cache)

    learnt = prepared(data.training.path)
    if data.validation is not None:
        prepared(data.validation.path)
    summary = learnt.summary
    steps = training.epochs * math.ceil(_rows(learnt) / training.global_batch)
    steps = min(steps, training.max_steps or steps)
    reporter.plan(step=0, total_steps=steps, dropped_rows=summary.dropped)
    held_out = data.validation.path if data.validation is not None else None
    said = PreparedSaid(
        model_path=model.path,
        training_path=data.training.path,
        validation_path=held_out,
        dataset_sha256=DatasetHashes(
            training=sha256_of(Path(data.training.path)), validation=sha256_of(Path(held_out)) if held_out else None
        ),
        rows=summary.rows,
        trained=summary.trained,
        tokens=summary.tokens,
        truncated=summary.truncated,
        dropped=summary.dropped,
        total_steps=steps,
        formats=DatasetFormats(
            training=_format(data.training.path), validation=_format(held_out) if held_out else None
        ),
    )
    return TerminationMessage(
        attempt=configuration.storage.attempt, error_class=ErrorClass.SUCCESS, total_steps=steps, prepared=said
    )


def _rows(prepared: Prepared) -> int:
    from datasets import Dataset

    rows: Any = Dataset.from_file(str(prepared.rows))
    return len(rows)


def _format(path: str) -> str:
    return type(next(iter(read_rows(Path(path))))).__name__
