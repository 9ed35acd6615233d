"""Progress for a person at a terminal."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tunesmith_trainer.contract import ProgressLine


class Bar:
    """One line that moves: stage, steps, loss, tokens per second, time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<13}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
        )  # fmt: skip
        self._task = self._progress.add_task("Starting", total=None, facts="")
        self._progress.start()

    def show(self, line: ProgressLine) -> None:
        """Shows where training is now."""
        facts = [
            f"loss {line.loss:.3f}" if line.loss is not None else "",
            f"held-out {line.evaluation_loss:.3f}" if line.evaluation_loss is not None else "",
            f"{line.tokens_per_second:.0f} tokens/s" if line.tokens_per_second else "",
            f"{line.eta_seconds:.0f} s left" if line.eta_seconds else "",
        ]
        self._progress.update(
            self._task,
            description=line.stage,
            completed=line.step,
            total=line.total_steps,
            facts="  ".join(fact for fact in facts if fact),
        )
        if line.message:
            self._progress.console.print(line.message)

    def close(self) -> None:
        """Leaves the last state on the screen."""
        self._progress.stop()
