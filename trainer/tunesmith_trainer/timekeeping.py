"""Stands beside any training loop and tells the reporter what it does: wait for rows, compute, evaluate, save."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.rhythm import Rhythm


class Timekeeper(TrainerCallback):
    """The callback; it must come after the one that reports steps."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Held-out rows may be measured before the first step."""
        if args.eval_on_start and state.global_step == 0:
            self._reporter.pauses("Evaluating")

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        """One forward and backward pass of several is done."""
        self._reporter.forward_passes += 1

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The step is reported; what follows it is no part of the next one."""
        if "loss" not in kwargs["logs"]:
            return
        if control.should_evaluate:
            self._reporter.pauses("Evaluating")
        elif control.should_save:
            self._reporter.pauses("Saving")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The evaluation is done; a save may follow at once."""
        self._reporter.goes_on("Evaluating")
        if control.should_save:
            self._reporter.pauses("Saving")

    def on_save(self, *_: Any, **__: Any) -> None:
        """The checkpoint is written, as far as training waits for it."""
        self._reporter.goes_on("Saving")


def attach(loop: Any, reporter: Reporter, rhythm: Rhythm) -> None:
    """Lets the reporter know what the loop is doing, how long it waits for its rows, and what is to come."""
    reporter.pace.rhythm = rhythm
    fetch = loop.get_batch_samples

    def timed(*arguments: Any, **options: Any) -> Any:
        reporter.waits_for_rows()
        began = time.monotonic()
        batches = fetch(*arguments, **options)
        reporter.computes(time.monotonic() - began)
        return batches

    loop.get_batch_samples = timed
    loop.add_callback(Timekeeper(reporter))
