"""Who listens besides the log: Kubeflow's receiver where its variables are set, and trackers."""

from collections.abc import Mapping

from tunesmith_trainer import kubeflow
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.progress import Listener
from tunesmith_trainer.trackers.choosing import couriers


def listeners(configuration: Configuration, environment: Mapping[str, str]) -> list[Listener]:
    """The listeners of this process; only rank 0 has any."""
    if environment.get("RANK", "0") != "0":
        return []
    found: list[Listener] = []
    receiver = kubeflow.receiver_of(environment)
    if receiver is not None:
        found.append(kubeflow.Sender(receiver))
    return [*found, *couriers(configuration)]
