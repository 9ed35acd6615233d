"""A run of Weights & Biases; every attempt of a job goes on with the same one."""

import os
import tempfile
from typing import Any

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.surroundings import Tracker
from tunesmith_trainer.trackers.metrics import Point
from tunesmith_trainer.trackers.run_facts import job_of, settings_of

START_SECONDS = 60


class WandBRun:
    """The key comes by WANDB_API_KEY; WANDB_MODE=offline leaves the run in the directory, to be sent later."""

    def __init__(self, tracker: Tracker, configuration: Configuration) -> None:
        self._tracker = tracker
        self._configuration = configuration
        self._run: Any = None

    def open(self, first_step: int) -> None:
        """Begins or resumes the run whose id is the job's. Steps are an axis of their own: a resume repeats some."""
        import wandb

        directory = self._tracker.directory or tempfile.gettempdir()
        os.makedirs(directory, exist_ok=True)  # noqa: PTH103  the library takes a string
        self._run = wandb.init(
            project=self._tracker.project,
            entity=self._tracker.entity,
            id=job_of(self._configuration),
            dir=directory,
            resume="allow",
            config=settings_of(self._configuration),
            settings=wandb.Settings(
                base_url=self._tracker.endpoint or "https://api.wandb.ai",
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                init_timeout=START_SECONDS,
            ),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, point: Point) -> None:
        """Hands the point to the library's own process."""
        self._run.log({"step": point.step, **point.values})

    def close(self) -> None:
        """Waits until the library has sent everything, and its own process has written its last byte."""
        import wandb

        self._run.finish()
        wandb.teardown()  # without it the file of an offline run was seen to be still empty here
