"""Progress for a person at a terminal."""

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tunesmith_trainer.contract import ProgressLine

GIB = 1 << 30


class Bar:
    """One line that moves: stage, steps, loss, speed, memory, time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<13}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
        )  # fmt: skip
        self._task = self._progress.add_task("Starting", total=None, facts="")
        self._progress.start()

    def show(self, line: ProgressLine) -> None:
        """Shows where training is now."""
        self._progress.update(
            self._task,
            description=line.stage,
            completed=line.step,
            total=line.total_steps,
            facts="  ".join(facts(line)),
        )
        if line.message:
            self._progress.console.print(escape(line.message))

    def close(self) -> None:
        """Leaves the last state on the screen."""
        self._progress.stop()


def facts(line: ProgressLine) -> list[str]:
    """What is known of the line, in the order of what a person asks first."""
    utilisation, wait = line.model_flop_utilization, line.data_wait_share
    known = (
        (line.loss is not None, f"loss {line.loss or 0:.3f}"),
        (line.evaluation_loss is not None, f"held-out {line.evaluation_loss or 0:.3f}"),
        (line.tokens_per_second is not None, f"{line.tokens_per_second or 0:,.0f} tokens/s"),
        (utilisation is not None, f"{utilisation or 0:.0%} of the GPU's peak"),
        (line.memory_peak_bytes is not None, f"{(line.memory_peak_bytes or 0) / GIB:.1f} GiB"),
        (wait is not None and wait >= 0.05, f"{wait or 0:.0%} waiting for rows"),
        (line.eta_seconds is not None, f"{_time(line.eta_seconds or 0)} left"),
    )
    return [text for is_known, text in known if is_known]


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
