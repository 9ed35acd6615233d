"""The whole estimate of one training on GPUs of one type: how it is spread, its memory, its speed, its cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from tunesmith.planning.memory.batch import ANY_BATCH, Batch, BatchLimits, batch_of, fewest_gpus
from tunesmith.planning.memory.cards import GIB, Card
from tunesmith.planning.memory.fit import GPUS_PER_NODE, Layout, layout_of, longest_context, terms_of, usable_bytes
from tunesmith.planning.memory.fixes import Fix, fixes
from tunesmith.planning.memory.price import Dollars, dollars
from tunesmith.planning.memory.terms import Terms
from tunesmith.planning.memory.throughput import Range, hours, tokens_per_second
from tunesmith.planning.memory.work import Work


@dataclass(frozen=True)
class Wish:
    """What is asked of the GPUs. Absent `gpus`: as many as are needed; absent `batch`: the largest."""

    work: Work
    card: Card
    gpus: int | None = None
    batch: int | None = None
    limits: BatchLimits = ANY_BATCH
    tokens: int | None = None
    gpu_hour_usd: Decimal | None = None
    packing: bool = True


@dataclass(frozen=True)
class Estimate:
    """What comes of a wish. `batch` None: it does not fit, or cannot be shared evenly (`layout.rows` says which).

    `memory` is that of one GPU with its rows of the batch, or with one row where not even that fits.
    """

    wish: Wish
    layout: Layout
    batch: Batch | None
    memory: Terms
    longest_context: int
    speed: Range | None
    hours: Range | None
    dollars: Dollars | None
    fixes: tuple[Fix, ...]

    @property
    def fits(self) -> bool:
        """Whether every GPU has room for at least one row."""
        return self.layout.rows > 0

    @property
    def memory_gib(self) -> float:
        """Memory of one GPU, in GiB."""
        return self.memory.total / GIB

    @property
    def usable_gib(self) -> float:
        """What of a card may be planned with, in GiB."""
        return usable_bytes(self.wish.card) / GIB


@lru_cache(maxsize=2048)
def estimate(wish: Wish) -> Estimate:
    """The estimate, for as many GPUs as are asked for or needed."""
    gpus = wish.gpus or fewest_gpus(wish.work, wish.card, wish.batch, wish.limits) or GPUS_PER_NODE
    layout = layout_of(wish.work, wish.card, gpus)
    batch = batch_of(wish.batch, layout.rows, gpus, wish.limits)
    speed = tokens_per_second(wish.work, wish.card, packing=wish.packing)
    took = hours(wish.tokens, speed, gpus) if wish.tokens is not None and speed is not None else None
    return Estimate(
        wish=wish,
        layout=layout,
        batch=batch,
        memory=terms_of(wish.work, layout, batch.micro if batch is not None else max(1, layout.rows)),
        longest_context=longest_context(wish.work, wish.card, gpus),
        speed=speed,
        hours=took,
        dollars=None if took is None or wish.gpu_hour_usd is None else dollars(took, gpus, wish.gpu_hour_usd),
        fixes=() if layout.rows else fixes(wish.work, wish.card, gpus, wish.batch, wish.limits),
    )
