"""What follows of the formula: rows at once, the longest context, the GPUs needed, and how the model is spread."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tunesmith.planning.memory.cards import Card
from tunesmith.planning.memory.terms import Sharding, Terms, terms
from tunesmith.planning.memory.work import Work

USABLE_SHARE = 0.93
CONTEXT_STEP = 1024
MOST_GPUS = 512
GPUS_PER_NODE = 8  # provider: one node is 8 GPUs
LONGEST_CONTEXT = 2**21  # the longest that a job may name


@dataclass(frozen=True)
class Layout:
    """How the model is spread over the GPUs, and the rows that one of them can take at once; 0: it does not fit."""

    sharding: Sharding
    gpus: int
    rows: int


def usable_bytes(card: Card) -> float:
    """What a training may plan with."""
    return USABLE_SHARE * card.memory_bytes


def rows_at_once(work: Work, card: Card, sharding: Sharding, gpus: int) -> int:
    """Rows that one GPU can take at once; 0 when not even one fits."""
    none, one = terms(work, 0, sharding, gpus).total, terms(work, 1, sharding, gpus).total
    return max(0, int((usable_bytes(card) - none) // (one - none)))


def layout_of(work: Work, card: Card, gpus: int) -> Layout:
    """Whole on each GPU where one row fits so, which is faster; else in parts, if the base can be cut into parts."""
    whole = Sharding.NONE if gpus == 1 else Sharding.DDP
    rows = rows_at_once(work, card, whole, gpus)
    if rows or gpus == 1 or not can_be_sharded(work):
        return Layout(whole, gpus, rows)
    return Layout(Sharding.FSDP2, gpus, rows_at_once(work, card, Sharding.FSDP2, gpus))


def can_be_sharded(work: Work) -> bool:
    """A four-bit base is packed with its scales, which the sharding of the trainer does not cut."""
    return work.adapter is None or not work.adapter.four_bit_base


def terms_of(work: Work, layout: Layout, rows: int) -> Terms:
    """The memory of one GPU under this layout."""
    return terms(work, rows, layout.sharding, layout.gpus)


def longest_context(work: Work, card: Card, gpus: int) -> int:
    """The longest context of which one row fits, in steps of 1024 tokens; at most the model's own window. 0: none."""
    window = min(work.shape.max_positions, LONGEST_CONTEXT)
    low, high = 0, -(-window // CONTEXT_STEP)
    while low < high:
        middle = (low + high + 1) // 2
        fits = layout_of(replace(work, context=middle * CONTEXT_STEP), card, gpus).rows > 0
        low, high = (middle, high) if fits else (low, middle - 1)
    return min(low * CONTEXT_STEP, window)


def gpu_counts() -> tuple[int, ...]:
    """Numbers of GPUs that a job is planned with: parts of a node, then whole nodes."""
    return (1, 2, 4, *range(GPUS_PER_NODE, MOST_GPUS + 1, GPUS_PER_NODE))


def gpus_needed(work: Work, card: Card) -> int | None:
    """The fewest GPUs with which one row for each fits; None when no number that we plan with is enough."""
    return next((gpus for gpus in gpu_counts() if layout_of(work, card, gpus).rows > 0), None)
