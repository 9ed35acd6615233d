"""How several processes hold the model: each whole (DDP), or all together, every layer in shards (FSDP2)."""

import os
from typing import Any

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.devices import wants_gpus

# Only tests set it, with `testing.allow_sharding_on_cpu`: accelerate leaves models on CPUs unsharded, without a word.
SHARD_ON_CPU_VARIABLE = "TUNESMITH_TEST_SHARD_ON_CPU"


def sharded(configuration: Configuration) -> bool:
    """Whether the model's layers are spread over the processes."""
    world = configuration.world
    possible = wants_gpus(configuration) or SHARD_ON_CPU_VARIABLE in os.environ
    return world.size > 1 and world.sharding == "FSDP2" and possible


def not_sharded_because(configuration: Configuration) -> str | None:
    """What to tell when sharding was asked for and is not done; the outcome is the same, the memory is not."""
    if configuration.world.sharding != "FSDP2" or configuration.world.size == 1 or sharded(configuration):
        return None
    return "Without GPUs the model is not sharded: every process holds it whole."


def before_loading(configuration: Configuration) -> None:
    """Lets the first process of each pod alone read the weights; the others get them when the model is sharded.

    Eight processes that each read a 70 B model would need 1.1 TB of host memory.
    """
    if sharded(configuration):
        os.environ["ACCELERATE_USE_FSDP"] = "true"
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "true"


def arguments(configuration: Configuration, model: Any) -> dict[str, Any]:
    """What the training library is told of the model.

    Never FSDP's own activation checkpointing: with it, adapters are saved empty, and the exit is 0.
    """
    if not sharded(configuration):
        return {}
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "transformer_layer_cls_to_wrap": _layers_present(model),
            "reshard_after_forward": True,
            "cpu_ram_efficient_loading": True,
            "state_dict_type": "FULL_STATE_DICT",
        },
    }


def _layers_present(model: Any) -> list[str]:
    """The classes of layers that are sharded each by itself: models also name some that they are made without."""
    present = {type(module).__name__ for module in model.modules()}
    return sorted(present & set(model._no_split_modules or ()))
