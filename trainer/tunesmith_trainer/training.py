"""One attempt from its first breath to the published result, stage by stage."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunesmith_trainer import checkpoints, continuing, job_rows, publishing, sharding
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import Checkpoint, Memory
from tunesmith_trainer.contract import Configuration, Result, TerminationMessage
from tunesmith_trainer.contract.messages import FileSaid
from tunesmith_trainer.data.cache import in_use
from tunesmith_trainer.devices import missing_gpus, wants_gpus
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fingerprint import fingerprint
from tunesmith_trainer.following import Follower
from tunesmith_trainer.hardware import gpu_peak, work_of
from tunesmith_trainer.job_rows import Datasets
from tunesmith_trainer.keeping import Keeper, Plan, temporary_directory
from tunesmith_trainer.loop import make_loop
from tunesmith_trainer.methods.loop import told_of_balancing
from tunesmith_trainer.mirror import mirror_of
from tunesmith_trainer.model import Loaded, load_base, load_tokenizer, load_trained, trained_parameters, tuned
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.rhythm import Steps, rhythm_of
from tunesmith_trainer.saving import RowsOfSteps, ensure_finite_weights, trained_bytes
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.targets import EXPERTS_CAVEAT, experts_adapted
from tunesmith_trainer.timekeeping import attach
from tunesmith_trainer.weights import MERGED
from tunesmith_trainer.world import World, joined

# Where a peer is gone its part never comes; where none is, so long a save is worth its wait.
SECONDS_FOR_THE_LAST_SAVE = 120.0
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
        # Where layers are sharded one process of each pod reads the weights, and the others wait for it.
        if self.world.any(self.stop.wanted, patiently=True):
            raise TrainerError(ErrorClass.PREEMPTED, "Asked to stop before the first step; there was nothing to save.")


@dataclass(frozen=True)
class Outcome:
    """What the training loop came to."""

    memory: Memory
    steps: int
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
        world.first(lambda: _claim(configuration, attempt))
        return _attempt(run_)


def _claim(configuration: Configuration, attempt: Attempt) -> None:
    attempt.claim()
    mirror = mirror_of(configuration, attempt)
    if mirror is not None:
        mirror.claim()


def _published_before(configuration: Configuration, published: publishing.Published) -> TerminationMessage:
    return published.message(
        configuration.storage.attempt,
        f"Attempt {published.result.attempt} had published this result; it was read again and is whole.",
    )


def _attempt(run_: Run) -> TerminationMessage:
    configuration, reporter = run_.configuration, run_.reporter
    reporter.stage("Preparing")
    tokenizer = load_tokenizer(Path(configuration.model.path))
    datasets = run_.world.first(lambda: job_rows.rows_of_job(configuration, tokenizer))
    resumed = run_.world.first(lambda: _resumable(run_, datasets))
    reporter.plan(
        step=resumed.manifest.step if resumed else 0,
        total_steps=datasets.total_steps,
        dropped_rows=datasets.training.summary.dropped,
    )
    run_.ensure_wanted()

    reporter.stage("LoadingModel")
    run_.world.first(lambda: continuing.ensure_fits(configuration))
    unsharded = sharding.not_sharded_because(configuration)
    if unsharded is not None:
        reporter.tell(unsharded)
    sharding.before_loading(configuration)
    base = load_base(configuration, resumed.path if resumed else None)
    _measure_utilisation(run_, base, datasets)
    _seed(configuration.training.seed)
    loaded = tuned(base, configuration)
    run_.ensure_wanted()

    reporter.stage("Training")
    with in_use(datasets.training, *([datasets.validation] if datasets.validation else [])):
        outcome = _trained(run_, loaded, tokenizer, datasets, resumed)

    reporter.stage("Publishing")
    published = run_.world.first(lambda: _published(run_, loaded.model, tokenizer, datasets, outcome))
    reporter.stage("Finished")
    return published.message(configuration.storage.attempt)


def _measure_utilisation(run_: Run, base: Any, datasets: Datasets) -> None:
    """Where a GPU computes in bf16: its peak is known for no other precision."""
    configuration, rows = run_.configuration, datasets.training.summary
    if not wants_gpus(configuration) or configuration.training.precision == "FP32":
        return
    method = configuration.method
    work = work_of(
        base,
        row_tokens=rows.tokens / max(1, rows.trained),
        trains_all=configuration.tuning.type == "Full",
        reference_pass=method.type == "DPO" and not method.dpo.reference_free,
    )
    run_.reporter.measure_by(work, gpu_peak())


def _seed(seed: int) -> None:
    """Before the adapter's first values are drawn: the training loop seeds only when it is made, which is later."""
    from transformers import set_seed

    set_seed(seed)


def _resumable(run_: Run, datasets: Datasets) -> Checkpoint | None:
    checkpoints.forget_unfinished(run_.attempt)
    search = checkpoints.search(run_.attempt.job_path, run_.configuration.config_hash())
    for ignored in search.ignored:
        where = ""
        if ignored.damaged:
            where = f" It lies in '{checkpoints.set_aside(ignored, run_.attempt)}' now."
        run_.reporter.tell(f"The checkpoint '{ignored.path}' is not used: {ignored.reason}.{where}")
    newest = _of_mirror(run_, search.newest) or search.newest
    if newest:
        job_rows.ensure_the_same(newest.memory, datasets, run_.configuration.data.training.path)
        run_.reporter.tell(f"Going on from step {newest.manifest.step}, '{newest.path}'.")
    return newest


def _of_mirror(run_: Run, newest: Checkpoint | None) -> Checkpoint | None:
    """The mirror's newest whole copy, brought to the storage, when the storage has none as new: its volume was lost."""
    mirror = mirror_of(run_.configuration, run_.attempt)
    if mirror is None:
        return None
    config_hash = run_.configuration.config_hash()
    for copy in mirror.newest_first():
        if newest is not None and newest.manifest.step >= copy.step:
            return None
        found = mirror.fetch(copy, config_hash)
        if isinstance(found, Checkpoint):
            best = found.memory.held_out.best_step
            best_copy = mirror.of_step(best) if best is not None and best != copy.step else None
            if best_copy is not None:
                mirror.fetch(best_copy, config_hash)
            return found
        run_.reporter.tell(f"The mirror's copy of step {copy.step} is not used: {found.reason}.")
    return None


def _trained(run_: Run, loaded: Loaded, tokenizer: Any, datasets: Datasets, resumed: Checkpoint | None) -> Outcome:
    memory = resumed.memory if resumed else Memory(dataset_sha256=datasets.training.summary.sha256)
    resumed_from = resumed.manifest.step if resumed else 0
    nothing_left = resumed_from >= datasets.total_steps and not _owes_evaluation(run_, memory)
    if memory.held_out.stopped_at_step is not None or nothing_left:
        return Outcome(memory, resumed_from, resumed_from)
    if resumed:
        load_trained(loaded.model, resumed.path)
    with temporary_directory(run_.configuration, run_.world.rank) as own:
        rhythm = rhythm_of(run_.configuration, datasets.total_steps)
        keeper = Keeper(_keeping(run_, own, trained_bytes(loaded.model), rhythm.saved))
        follower = Follower(
            run_.configuration,
            world=run_.world,
            stop=run_.stop,
            reporter=run_.reporter,
            keeper=keeper,
            memory=memory,
            rhythm=rhythm,
            rows_of_step=RowsOfSteps(run_.configuration, job_rows.with_sources(datasets.training)),
            began_at=resumed_from,
        )
        loop = make_loop(
            run_.configuration,
            loaded=loaded,
            tokenizer=tokenizer,
            rows=job_rows.learnt(datasets.training),
            held_out=job_rows.learnt(datasets.validation) if datasets.validation else None,
            total_steps=datasets.total_steps,
            output=own,
            follower=follower,
            keeper=keeper,
            measure_first=resumed is None or memory.evaluation_owed,
            on_gpu=wants_gpus(run_.configuration),
        )
        attach(loop, run_.reporter, rhythm)
        balancing = told_of_balancing(loop)
        if balancing is not None:
            run_.reporter.tell(balancing)
        if resumed_from >= datasets.total_steps:
            loop.state.global_step = loop.state.max_steps = resumed_from
            loop.evaluate()
            return Outcome(follower.memory, resumed_from, resumed_from)
        try:
            loop.train(resume_from_checkpoint=str(resumed.path) if resumed else None)
            follower.finish()
        except BaseException:
            # What training has handed over is a good checkpoint, whatever ended it since.
            keeper.finish(at_most_seconds=SECONDS_FOR_THE_LAST_SAVE)
            raise
    if follower.preempted:
        raise TrainerError(ErrorClass.PREEMPTED, _stopped(run_, datasets, follower, keeper))
    return Outcome(follower.memory, int(loop.state.global_step), resumed_from)


def _owes_evaluation(run_: Run, memory: Memory) -> bool:
    """Whether the held-out rows are still to be measured after the last step, where a stop left them out."""
    if not memory.evaluation_owed:
        return False
    if sharding.sharded(run_.configuration):
        # A loop shards its model when it begins to train, which there is nothing left of.
        run_.reporter.tell(
            "The loss on held-out rows after the last step was not measured: training was stopped there."
        )
        return False
    return True


def _stopped(run_: Run, datasets: Datasets, follower: Follower, keeper: Keeper) -> str:
    """What a stop on request has kept, and what not."""
    if follower.unsaved_because is None:
        return (
            f"Asked to stop: step {run_.reporter.where.step} of {datasets.total_steps} is saved. "
            "The next attempt goes on from there."
        )
    return (
        f"Asked to stop at step {run_.reporter.where.step} of {datasets.total_steps}, which was not saved: "
        f"{follower.unsaved_because}. The checkpoint of step {keeper.last_step} stands; the next attempt goes on there."
    )


def _keeping(run_: Run, own: Path, needed_bytes: int, counted: Steps) -> Plan:
    configuration = run_.configuration
    mirror = mirror_of(configuration, run_.attempt)
    more: dict[str, Any] = {} if mirror is None else {"after_commit": mirror.send}
    return Plan(
        attempt=run_.attempt,
        rank=run_.world.rank,
        world_size=run_.world.size,
        config_hash=configuration.config_hash(),
        keep=configuration.checkpoints.keep,
        counted=counted,
        staging=own / "checkpoints",
        needed_bytes=needed_bytes,
        patience_seconds=configuration.world.collective_timeout_seconds,
        verify=ensure_finite_weights,
        meet=run_.world.wait_for_all,
        **more,
    )


def _result_checkpoint(run_: Run, outcome: Outcome) -> tuple[int | None, Checkpoint]:
    """The checkpoint that is the result: the best one with early stopping, else the last."""

    def of_step(step: int) -> Checkpoint | None:
        return checkpoints.of_step(run_.attempt.job_path, step, run_.configuration.config_hash())

    best = outcome.memory.held_out.best_step
    if best is not None and (found := of_step(best)) is not None:
        return best, found
    last = of_step(outcome.steps)
    if last is None:
        raise TrainerError(
            ErrorClass.INFRASTRUCTURE,
            f"The checkpoint of step {outcome.steps}, which is the result, is damaged or gone. The next attempt "
            "goes on from the newest that is whole.",
        )
    if best is None:
        return None, last
    run_.reporter.tell(f"The best checkpoint, of step {best}, is damaged or gone: the last one is the result.")
    return outcome.steps, last


def _published(run_: Run, model: Any, tokenizer: Any, datasets: Datasets, outcome: Outcome) -> publishing.Published:
    configuration, memory = run_.configuration, outcome.memory
    best, checkpoint = _result_checkpoint(run_, outcome)
    first_loss, final_loss = memory.first_loss, memory.last_loss
    if first_loss is None or final_loss is None:
        raise TrainerError(ErrorClass.UNCLASSIFIED, "Training ended without a single step that was reported.")

    def describe(files: dict[str, FileSaid], modules: int) -> Result:
        return Result(
            attempt=run_.attempt.number,
            config_hash=configuration.config_hash(),
            steps=outcome.steps,
            total_steps=datasets.total_steps,
            epochs=round(outcome.steps * configuration.training.global_batch / datasets.rows, 4),
            first_loss=first_loss,
            final_loss=final_loss,
            evaluation_loss=memory.evaluation(),
            tokens=memory.tokens,
            training=datasets.training.summary,
            validation=datasets.validation.summary if datasets.validation else None,
            best_step=best,
            stopped_early_at_step=outcome.steps if outcome.steps < datasets.total_steps else None,
            resumed_from_step=outcome.resumed_from_step,
            world_size=run_.world.size,
            micro_batch=configuration.training.micro_batch,
            micro_batch_before=configuration.training.micro_batch_before,
            gradient_accumulation=configuration.training.gradient_accumulation,
            device="CUDA" if wants_gpus(configuration) else "CPU",
            simulated_gpus=configuration.simulated_gpus,
            method=configuration.method.title,
            tuning=configuration.tuning.title,
            trained_parameters=trained_parameters(model),
            adapted_modules=modules,
            serving_caveats=(EXPERTS_CAVEAT,) if experts_adapted(model) else (),
            merged_model=MERGED if configuration.output.merge_model else None,
            base_fingerprint=fingerprint(Path(configuration.model.path)),
            files=files,
            versions={name: version(name) for name in VERSIONED},
            seconds={stage: round(seconds, 2) for stage, seconds in run_.reporter.seconds.items()},
            finished_at=datetime.now(UTC),
        )

    return publishing.publish(
        configuration, run_.attempt, checkpoint.path, model=model, tokenizer=tokenizer, describe=describe
    )
