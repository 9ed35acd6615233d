"""A run of MLflow; every attempt of a job goes on with the same one, which is found by its tag."""

import os
from typing import Any

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.surroundings import Tracker
from tunesmith_trainer.trackers.metrics import Point
from tunesmith_trainer.trackers.run_facts import flat, job_of, settings_of

JOB_TAG = "tunesmith.job"
DEFAULT_EXPERIMENT = "tunesmith"
QUICK_TO_FAIL = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


class MLflowRun:
    """The token comes by MLFLOW_TRACKING_TOKEN; without an endpoint the run lies in the directory."""

    def __init__(self, tracker: Tracker, configuration: Configuration) -> None:
        self._tracker = tracker
        self._configuration = configuration
        self._client: Any = None
        self._run_id = ""

    def open(self, first_step: int) -> None:
        """Begins the run, or finds that of an earlier attempt."""
        for name, value in QUICK_TO_FAIL.items():
            os.environ.setdefault(name, value)
        if self._tracker.endpoint is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(tracking_uri=self._tracker.endpoint or f"file://{self._tracker.directory}")
        experiment, job = self._experiment(), job_of(self._configuration)
        found = self._client.search_runs([experiment], filter_string=f"tags.`{JOB_TAG}` = '{job}'", max_results=1)
        if found:
            self._run_id = found[0].info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
            return
        self._run_id = self._client.create_run(experiment, tags={JOB_TAG: job}, run_name=job).info.run_id
        parameters = [Param(name, str(value)) for name, value in flat(settings_of(self._configuration)).items()]
        self._client.log_batch(self._run_id, params=parameters)

    def log(self, point: Point) -> None:
        """Sends the point."""
        from mlflow.entities import Metric

        milliseconds = int(point.time.timestamp() * 1000)
        metrics = [Metric(name, value, milliseconds, point.step) for name, value in point.values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self) -> None:
        """Ends the run; a later attempt opens it again."""
        self._client.set_terminated(self._run_id)

    def _experiment(self) -> str:
        name = self._tracker.project or DEFAULT_EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))
