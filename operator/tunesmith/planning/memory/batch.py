"""How a step's rows are shared out: rows at once x GPUs x accumulation is always the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tunesmith.planning.memory.cards import Card
from tunesmith.planning.memory.fit import gpu_counts, layout_of
from tunesmith.planning.memory.work import Work

ACCUMULATION_OF_BATCH_ONE = 8
"""provider: where a model's largest batch is 1, eight of them make a step."""


@dataclass(frozen=True)
class BatchLimits:
    """What a model allows; `most` None: no limit."""

    least: int = 1
    most: int | None = None

    def __str__(self) -> str:
        """For people: '8', '8 to 96', '8 or more'."""
        if self.most is None:
            return f"{self.least} or more"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"

    def allow(self, rows: int) -> bool:
        """Whether a step may have so many rows."""
        return self.least <= rows and (self.most is None or rows <= self.most)


ANY_BATCH = BatchLimits()


@dataclass(frozen=True)
class Batch:
    """The rows of one step."""

    micro: int
    accumulation: int
    world: int

    @property
    def rows(self) -> int:
        """Rows of one step, over all processes."""
        return self.micro * self.accumulation * self.world


def largest_batch(rows_at_once: int, world: int, limits: BatchLimits) -> Batch | None:
    """As many rows as fit at once and the model allows; accumulated only up to the model's least. None: none is.

    Where the model's largest batch is 1, steps are accumulated as the provider does.
    """
    if rows_at_once < 1:
        return None
    if limits.most == 1:
        return Batch(1, ACCUMULATION_OF_BATCH_ONE, 1) if world == 1 else None
    micro = rows_at_once if limits.most is None else min(rows_at_once, limits.most // world)
    if micro < 1:
        return None
    if micro * world >= limits.least:
        return Batch(micro, 1, world)
    wanted = -(-limits.least // world) * world
    return divided(wanted, rows_at_once, world) if limits.most is None or wanted <= limits.most else None


def divided(wanted: int, rows_at_once: int, world: int) -> Batch | None:
    """The batch that is wanted, in the largest bites that fit and divide it. None: it cannot be shared evenly."""
    share, rest = divmod(wanted, world)
    if rest or share < 1 or rows_at_once < 1:
        return None
    micro = next(size for size in range(min(share, rows_at_once), 0, -1) if share % size == 0)
    return Batch(micro, share // micro, world)


def batch_of(wanted: int | None, rows_at_once: int, world: int, limits: BatchLimits) -> Batch | None:
    """The batch that is wanted, or the largest."""
    return largest_batch(rows_at_once, world, limits) if wanted is None else divided(wanted, rows_at_once, world)


@lru_cache(maxsize=2048)
def fewest_gpus(work: Work, card: Card, wanted: int | None, limits: BatchLimits) -> int | None:
    """The fewest GPUs that take the batch without accumulation; else the fewest that take it at all. None: none do."""
    with_accumulation = None
    for gpus in gpu_counts():
        batch = batch_of(wanted, layout_of(work, card, gpus).rows, gpus, limits)
        if batch is not None and (batch.accumulation == 1 or limits.most == 1):
            return gpus
        if batch is not None and with_accumulation is None:
            with_accumulation = gpus
    return with_accumulation
