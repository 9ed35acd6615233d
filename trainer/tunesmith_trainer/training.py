"""One attempt from its first breath to the published result, stage by stage."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunesmith_trainer import checkpoints, publishing
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import Checkpoint, Memory
from tunesmith_trainer.contract import Configuration, PrepareConfiguration, Result, TerminationMessage
from tunesmith_trainer.contract.messages import FileSaid
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.prepare import OnBytes, Prepared, prepare
from tunesmith_trainer.devices import missing_gpus, wants_gpus
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.following import Follower
from tunesmith_trainer.hardware import gpu_peak, work_of
from tunesmith_trainer.loop import make_loop
from tunesmith_trainer.model import load_adapter, load_base, load_tokenizer, with_adapter
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.timekeeping import attach
from tunesmith_trainer.world import World, joined

VERSIONED = ("tunesmith-trainer", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


@dataclass(frozen=True)
class Run:
    """What every stage of one attempt needs."""

    configuration: Configuration
    world: World
    attempt: Attempt
    stop: StopWish
    reporter: Reporter

    def ensure_wanted(self) -> None:
        """Between stages: ends all processes when one was asked to stop and nothing has been trained yet."""
        if self.world.any(self.stop.wanted):
            raise TrainerError(ErrorClass.PREEMPTED, "Asked to stop before the first step; there was nothing to save.")


@dataclass(frozen=True)
class Datasets:
    """The prepared rows, and how many steps they make."""

    training: Prepared
    validation: Prepared | None
    rows: int
    total_steps: int


@dataclass(frozen=True)
class Outcome:
    """What the training loop came to."""

    memory: Memory
    resumed_from_step: int


def run(configuration: Configuration, stop: StopWish, reporter: Reporter) -> TerminationMessage:
    """Trains as configured and publishes; returns how a successful attempt ends.

    Raises:
        TrainerError: for every end that has a class of its own.
    """
    lacking = missing_gpus(configuration)
    if lacking is not None:
        published, _ = publishing.found(configuration)
        if published is None:
            raise lacking
        return _published_before(configuration, published)
    with joined(configuration) as world:
        attempt = Attempt(Path(configuration.storage.job_path), configuration.storage.attempt)
        run_ = Run(configuration, world, attempt, stop, reporter)
        published, damaged = world.first(lambda: publishing.found(configuration))
        if published is not None:
            return _published_before(configuration, published)
        for damage in damaged:
            reporter.tell(damage)
        world.first(attempt.claim)
        return _attempt(run_)


def _published_before(configuration: Configuration, published: publishing.Published) -> TerminationMessage:
    return published.message(
        configuration.storage.attempt,
        f"Attempt {published.result.attempt} had published this result; it was read again and is whole.",
    )


def _attempt(run_: Run) -> TerminationMessage:
    configuration, reporter = run_.configuration, run_.reporter
    reporter.stage("Preparing")
    tokenizer = load_tokenizer(Path(configuration.model.path))
    datasets = run_.world.first(lambda: _prepared(configuration, tokenizer))
    resumed = run_.world.first(lambda: _resumable(run_))
    reporter.plan(
        step=resumed.manifest.step if resumed else 0,
        total_steps=datasets.total_steps,
        dropped_rows=datasets.training.summary.dropped,
    )
    run_.ensure_wanted()

    reporter.stage("LoadingModel")
    base = load_base(configuration)
    _measure_utilisation(run_, base, datasets)
    _seed(configuration.training.seed)
    model = with_adapter(base, configuration)
    run_.ensure_wanted()

    reporter.stage("Training")
    outcome = _trained(run_, model, tokenizer, datasets, resumed)

    reporter.stage("Publishing")
    published = run_.world.first(lambda: _published(run_, model, tokenizer, datasets, outcome))
    reporter.stage("Finished")
    return published.message(configuration.storage.attempt)


def _measure_utilisation(run_: Run, base: Any, datasets: Datasets) -> None:
    """Where a GPU computes in bf16: its peak is known for no other precision."""
    configuration, rows = run_.configuration, datasets.training.summary
    if not wants_gpus(configuration) or configuration.training.precision == "FP32":
        return
    work = work_of(base, row_tokens=rows.tokens / max(1, rows.trained), trains_all=False)
    run_.reporter.measure_by(work, gpu_peak())


def _seed(seed: int) -> None:
    """Before the adapter's first values are drawn: the training loop seeds only when it is made, which is later."""
    from transformers import set_seed

    set_seed(seed)


def _prepared(configuration: Configuration, tokenizer: Any) -> Datasets:
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
    rows = len(_rows(learnt))
    steps = numbers.epochs * math.ceil(rows / numbers.global_batch)
    return Datasets(learnt, held_out, rows, min(steps, numbers.max_steps or steps))


def _resumable(run_: Run) -> Checkpoint | None:
    search = checkpoints.search(run_.attempt.job_path, run_.configuration.config_hash())
    for ignored in search.ignored:
        run_.reporter.tell(f"The checkpoint '{ignored.path}' is not used: {ignored.reason}.")
    if search.newest:
        run_.reporter.tell(f"Going on from step {search.newest.manifest.step}, '{search.newest.path}'.")
    return search.newest


def _trained(run_: Run, model: Any, tokenizer: Any, datasets: Datasets, resumed: Checkpoint | None) -> Outcome:
    memory = resumed.memory if resumed else Memory()
    follower = Follower(
        run_.configuration,
        world=run_.world,
        attempt=run_.attempt,
        stop=run_.stop,
        reporter=run_.reporter,
        memory=memory,
    )
    loop = make_loop(
        run_.configuration,
        model=model,
        tokenizer=tokenizer,
        rows=_rows(datasets.training),
        held_out=_rows(datasets.validation) if datasets.validation else None,
        total_steps=datasets.total_steps,
        output=run_.attempt.checkpoints,
        follower=follower,
        measure_first=resumed is None,
        on_gpu=wants_gpus(run_.configuration),
    )
    if resumed and resumed.manifest.step >= datasets.total_steps:
        load_adapter(model, resumed.path)
        return Outcome(memory, resumed.manifest.step)
    attach(loop, run_.reporter)
    loop.train(resume_from_checkpoint=str(resumed.path) if resumed else None)
    if follower.preempted:
        raise TrainerError(
            ErrorClass.PREEMPTED,
            f"Asked to stop: step {run_.reporter.where.step} of {datasets.total_steps} is saved. "
            "The next attempt goes on from there.",
        )
    return Outcome(follower.memory, resumed.manifest.step if resumed else 0)


def _rows(prepared: Prepared) -> Any:
    from datasets import Dataset

    return Dataset.from_file(str(prepared.rows))


def _published(run_: Run, model: Any, tokenizer: Any, datasets: Datasets, outcome: Outcome) -> publishing.Published:
    configuration, memory = run_.configuration, outcome.memory
    first_loss, final_loss = memory.first_loss, memory.last_loss
    if first_loss is None or final_loss is None:
        raise TrainerError(ErrorClass.UNCLASSIFIED, "Training ended without a single step that was reported.")

    def describe(files: dict[str, FileSaid], modules: int) -> Result:
        return Result(
            attempt=run_.attempt.number,
            config_hash=configuration.config_hash(),
            steps=datasets.total_steps,
            total_steps=datasets.total_steps,
            epochs=round(datasets.total_steps * configuration.training.global_batch / datasets.rows, 4),
            first_loss=first_loss,
            final_loss=final_loss,
            evaluation_loss=memory.evaluation(),
            tokens=memory.tokens,
            training=datasets.training.summary,
            validation=datasets.validation.summary if datasets.validation else None,
            resumed_from_step=outcome.resumed_from_step,
            world_size=run_.world.size,
            micro_batch=configuration.training.micro_batch,
            gradient_accumulation=configuration.training.gradient_accumulation,
            device="CUDA" if wants_gpus(configuration) else "CPU",
            simulated_gpus=configuration.simulated_gpus,
            adapted_modules=modules,
            files=files,
            versions={name: version(name) for name in VERSIONED},
            seconds={stage: round(seconds, 2) for stage, seconds in run_.reporter.seconds.items()},
            finished_at=datetime.now(UTC),
        )

    return publishing.publish(Path(configuration.storage.output_path), run_.attempt, model, tokenizer, describe)
