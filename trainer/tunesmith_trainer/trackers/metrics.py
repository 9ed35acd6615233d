"""One line of progress as the numbers that every tracker gets, and what a tracker has to offer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tunesmith_trainer.contract import ProgressLine


@dataclass(frozen=True)
class Point:
    """The numbers of one step."""

    step: int
    time: datetime
    values: Mapping[str, float]


class Destination(Protocol):
    """One run of a tracker. Every call may take its time and may raise: a thread of its own makes them."""

    def open(self, first_step: int) -> None:
        """Begins the run, or goes on with that of an earlier attempt, whose points from `first_step` on are past."""

    def log(self, point: Point) -> None:
        """Records one point."""

    def close(self) -> None:
        """Sends what is left, and ends the run."""


def point_of(line: ProgressLine) -> Point | None:
    """The numbers of a line, under the names that these trackers' own examples use; None before the first of them.

    A loss on held-out rows is a point only where it was measured: the lines after it say it again.
    """
    measured_now = line.evaluation_step is None or line.evaluation_step == line.step
    values = {
        "train/loss": line.loss,
        "eval/loss": line.evaluation_loss if measured_now else None,
        "train/epoch": line.epoch,
        "train/learning_rate": line.learning_rate,
        "train/grad_norm": line.grad_norm,
        "speed/tokens_per_second": line.tokens_per_second,
        "speed/tokens_per_second_per_gpu": line.tokens_per_second_per_gpu,
        "speed/model_flop_utilization": line.model_flop_utilization,
        "speed/data_wait_share": line.data_wait_share,
        "memory/peak_bytes": line.memory_peak_bytes,
    }
    known = {name: float(value) for name, value in values.items() if value is not None}
    return Point(line.step, line.time, known) if known else None
