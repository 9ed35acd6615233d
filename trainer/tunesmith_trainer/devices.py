"""GPUs that were promised, and whether they are there. They are never imitated in silence."""

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError


def wants_gpus(configuration: Configuration) -> bool:
    """Whether this attempt is to train on real GPUs."""
    return configuration.world.gpus_per_pod > 0 and not configuration.simulated_gpus


def missing_gpus(configuration: Configuration) -> TrainerError | None:
    """What to say when this pod was given GPUs and sees fewer; None when all is well."""
    if not wants_gpus(configuration):
        return None
    import torch

    promised, seen = configuration.world.gpus_per_pod, torch.cuda.device_count()
    if seen >= promised:
        return None
    return TrainerError(
        ErrorClass.NO_GPUS,
        f"The pod was given {promised} GPUs and sees {seen}. Look at the node's driver and device plugin. Where nodes "
        "only pretend to have GPUs, the installation must say so (simulatedGPUs).",
    )
