"""After which steps training evaluates and saves: as often as asked for, evenly spread, the last step among them."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from tunesmith_trainer.contract import Configuration


@dataclass(frozen=True)
class Steps:
    """Numbers of steps, rising; the first step is 1."""

    numbers: tuple[int, ...] = ()

    def __contains__(self, step: object) -> bool:
        if not isinstance(step, int):
            return False
        at = bisect_left(self.numbers, step)
        return at < len(self.numbers) and self.numbers[at] == step

    def after(self, step: int) -> int:
        """How many are still to come once this one is done."""
        return len(self.numbers) - bisect_right(self.numbers, step)


@dataclass(frozen=True)
class Rhythm:
    """The steps after which training evaluates, and those after which it saves whatever the clock says."""

    evaluated: Steps = Steps()
    saved: Steps = Steps()


def spread(total_steps: int, count: int) -> Steps:
    """So many of the steps, as far apart as can be; every step where there are fewer."""
    return Steps(tuple(sorted({-(-number * total_steps // count) for number in range(1, count + 1)})))


def rhythm_of(configuration: Configuration, total_steps: int) -> Rhythm:
    """What the configuration asks for; without held-out rows nothing is evaluated."""
    every = configuration.checkpoints.every_steps
    saved = (
        spread(total_steps, configuration.checkpoints.count or 1)
        if every is None
        else Steps(tuple(sorted({*range(every, total_steps, every), total_steps})))
    )
    held_out = configuration.data.validation is not None
    return Rhythm(spread(total_steps, max(1, configuration.evaluations.count)) if held_out else Steps(), saved)
