"""The trackers of a configuration. Their libraries are imported only when used, on the tracker's own thread."""

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.surroundings import Tracker
from tunesmith_trainer.trackers.courier import Courier
from tunesmith_trainer.trackers.metrics import Destination
from tunesmith_trainer.trackers.mlflow_run import MLflowRun
from tunesmith_trainer.trackers.tensorboard_run import TensorBoardRun
from tunesmith_trainer.trackers.wandb_run import WandBRun


def couriers(configuration: Configuration) -> list[Courier]:
    """One thread for each tracker that is wanted."""
    return [Courier(tracker.type, _destination(tracker, configuration)) for tracker in configuration.tracking]


def _destination(tracker: Tracker, configuration: Configuration) -> Destination:
    if tracker.type == "WandB":
        return WandBRun(tracker, configuration)
    if tracker.type == "MLflow":
        return MLflowRun(tracker, configuration)
    return TensorBoardRun(tracker, configuration)
