"""TensorBoard's event files; every attempt of a job writes into the same directory."""

from pathlib import Path
from typing import Any

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.surroundings import Tracker
from tunesmith_trainer.trackers.metrics import Point


class TensorBoardRun:
    """Without a directory of its own the files lie below the job's, in `tensorboard/`."""

    def __init__(self, tracker: Tracker, configuration: Configuration) -> None:
        self.directory = Path(tracker.directory or f"{configuration.storage.job_path}/tensorboard")
        self._writer: Any = None

    def open(self, first_step: int) -> None:
        """Begins a file; what an earlier attempt wrote from `first_step` on, this one does again."""
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter  # without types of its own
        self._writer = writer(log_dir=str(self.directory), purge_step=first_step)

    def log(self, point: Point) -> None:
        """Writes the point."""
        for name, value in point.values.items():
            self._writer.add_scalar(name, value, point.step, walltime=point.time.timestamp())

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()
