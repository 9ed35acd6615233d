"""The learning rate as a part of its highest value, step by step."""

import math

from tunesmith_trainer.contract.outcome import Scheduler


def rate_factor(step: int, *, total_steps: int, warmup_steps: int, scheduler: Scheduler) -> float:
    """Factor for the update after `step` finished ones: rises linearly to 1 in the warm-up, then as the type says.

    Cosine falls and rises `cycles` times between 1 and `min_ratio` (0.5: falls once); linear falls to `min_ratio`.
    """
    if step < warmup_steps:
        return step / max(1, warmup_steps)
    if scheduler.type == "Constant":
        return 1.0
    way = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    height = 1.0 - way if scheduler.type == "Linear" else 0.5 * (1.0 + math.cos(2.0 * math.pi * scheduler.cycles * way))
    return scheduler.min_ratio + (1.0 - scheduler.min_ratio) * height
