"""Fences the attempts of a job on its storage: a higher number makes every lower one stop before it writes again.

A node that was cut off keeps its processes; they and their successor see the same storage, and nothing else.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError


@dataclass(frozen=True)
class Attempt:
    """One attempt's place: `<job>/attempts/<number>/`, made by `claim` and by nobody else."""

    job_path: Path
    number: int

    @property
    def directory(self) -> Path:
        """Where this attempt writes."""
        return self.job_path / "attempts" / str(self.number)

    @property
    def checkpoints(self) -> Path:
        """Where this attempt's checkpoints lie."""
        return self.directory / "checkpoints"

    def claim(self) -> None:
        """Makes the attempt's directory, exclusively.

        Raises:
            TrainerError: superseded, when a higher attempt exists, or somebody claimed this number before.
        """
        self.ensure_newest()
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.mkdir(self.directory)  # noqa: PTH102  the one call that is exclusive on every file system
        except FileExistsError as error:
            raise TrainerError(
                ErrorClass.SUPERSEDED,
                f"Attempt {self.number} of this job was begun before ('{self.directory}' exists). Nothing was written. "
                "Start the next attempt under the next number.",
            ) from error
        self.ensure_newest()

    def ensure_newest(self) -> None:
        """Raises TrainerError of class superseded when a higher attempt exists."""
        newer = max((number for number in numbers(self.job_path) if number > self.number), default=None)
        if newer is not None:
            raise TrainerError(
                ErrorClass.SUPERSEDED,
                f"Attempt {newer} of this job exists, so attempt {self.number} stops and publishes nothing.",
            )


def numbers(job_path: Path) -> list[int]:
    """Numbers of all attempts on the storage, ascending."""
    directory = job_path / "attempts"
    if not directory.is_dir():
        return []
    return sorted(int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal())
