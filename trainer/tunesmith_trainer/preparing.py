"""A preparation from its beginning to its end: fetch what is to be fetched, then make the rows ready. Without GPUs.

What it finds done it leaves alone, so that a preparation that was lost can simply be made again.
"""

from collections.abc import Callable
from pathlib import Path

from tunesmith_trainer.architecture_facts import facts_of
from tunesmith_trainer.clean_up import clean_up
from tunesmith_trainer.continuing import ensure_same_kind, ensure_whole
from tunesmith_trainer.contract import PrepareConfiguration, PreparedSaid, TerminationMessage
from tunesmith_trainer.contract.messages import DatasetFormats, DatasetHashes
from tunesmith_trainer.data.prepare import OnBytes
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch import stage as fetching
from tunesmith_trainer.fetch.secrets import Secrets
from tunesmith_trainer.fetch.stage import FetchedPart, FetchedParts
from tunesmith_trainer.preparation_teller import Teller
from tunesmith_trainer.refused_architectures import ensure_trainable
from tunesmith_trainer.storage import sha256_of
from tunesmith_trainer.stored_numbers import quantises, reading_options


def prepare(
    configuration: PrepareConfiguration, secrets: Secrets, teller: Teller, stop_wanted: Callable[[], bool]
) -> TerminationMessage:
    """Fetches and prepares; the message carries every place, hash and count that the training needs to know.

    Raises:
        TrainerError: with a class that tells whose fault it is.
    """
    if configuration.continue_from is not None:
        ensure_whole(Path(configuration.continue_from.path))  # before gigabytes are fetched for it
    fetched = fetch(configuration, secrets, teller, stop_wanted)
    teller.stage("Preparing")

    def on_bytes(done: int, total: int) -> None:
        if stop_wanted():
            raise TrainerError(ErrorClass.PREEMPTED, "Asked to stop while preparing rows; what was fetched stays.")
        teller.bytes(done, total, None)

    prepared = _prepared(configuration, fetched, on_bytes)
    clean_up(Path(configuration.storage.root), teller.tell, stop_wanted)
    teller.stage("Finished")
    return TerminationMessage(attempt=configuration.storage.attempt, error_class=ErrorClass.SUCCESS, prepared=prepared)


def fetch(
    configuration: PrepareConfiguration, secrets: Secrets, teller: Teller, stop_wanted: Callable[[], bool]
) -> FetchedParts:
    """Only the first half: everything under `fetch` lies on the storage afterwards."""
    if configuration.fetch is None:
        return FetchedParts(None, {})
    teller.stage("Fetching")
    return fetching.fetch(configuration, secrets, fetching.Said(teller.bytes, teller.tell), stop_wanted)


def fetched_message(configuration: PrepareConfiguration, fetched: FetchedParts) -> TerminationMessage:
    """The end of a preparation that only fetched."""
    parts = ([("model", fetched.model)] if fetched.model else []) + list(fetched.datasets.items())
    where = "; ".join(f"{name}: {part.path}" for name, part in parts) or "nothing was to be fetched"
    return TerminationMessage(
        attempt=configuration.storage.attempt, error_class=ErrorClass.SUCCESS, message=f"On the storage: {where}."
    )


def _prepared(configuration: PrepareConfiguration, fetched: FetchedParts, on_bytes: OnBytes) -> PreparedSaid:
    from tunesmith_trainer.job_rows import prepared_rows
    from tunesmith_trainer.model import ensure_adaptable, load_tokenizer

    model_path = fetched.model.path if fetched.model else Path(configuration.model.path if configuration.model else "")
    tokenizer = load_tokenizer(model_path)
    # What training would refuse is refused here, while no GPU is held.
    ensure_trainable(model_path)
    tuning = configuration.tuning
    reading_options(model_path, quantise_again=quantises(tuning))
    if configuration.continue_from is not None and tuning is not None:
        ensure_same_kind(Path(configuration.continue_from.path), tuning, model_path)
    if tuning is not None and tuning.type == "LoRA":
        ensure_adaptable(model_path, tuning)
    data = configuration.data
    learnt = _file(fetched.datasets.get("training"), data.training.path if data.training else None)
    held_out = _file(fetched.datasets.get("validation"), data.validation.path if data.validation else None)
    if learnt is None:
        raise TrainerError(ErrorClass.CONFIGURATION, "There is no training data to prepare.")
    datasets = prepared_rows(
        configuration,
        tokenizer,
        model_path=model_path,
        training=learnt.path,
        validation=held_out.path if held_out else None,
        on_bytes=on_bytes,
    )
    summary = datasets.training.summary
    return PreparedSaid(
        model_path=str(model_path),
        model_revision=fetched.model.revision if fetched.model else None,
        training_path=str(learnt.path),
        validation_path=str(held_out.path) if held_out else None,
        dataset_sha256=DatasetHashes(training=_hash(learnt), validation=_hash(held_out) if held_out else None),
        rows=summary.rows,
        trained=summary.trained,
        tokens=summary.tokens,
        truncated=summary.truncated,
        dropped=summary.dropped,
        total_steps=datasets.total_steps,
        formats=DatasetFormats(
            training=summary.format or "unknown",
            validation=(datasets.validation.summary.format or "unknown") if datasets.validation else None,
        ),
        model_facts=facts_of(model_path),
    )


def _file(fetched: FetchedPart | None, given: str | None) -> FetchedPart | None:
    return fetched or (FetchedPart(Path(given)) if given else None)


def _hash(part: FetchedPart) -> str:
    return part.sha256 or sha256_of(part.path)
