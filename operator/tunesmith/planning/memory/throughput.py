"""How fast a training will be, as a range: what is published was measured with other programs, none of it with ours."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.catalog import parameters
from tunesmith.planning.memory.cards import Card
from tunesmith.planning.memory.work import Numbers, Work

DENSE_UTILISATION = (0.20, 0.30)
EXPERTS_UTILISATION = (0.04, 0.20)  # the low end is a published run of a 17Bx16 model on one H100
FOUR_BIT_SHARE = 0.5  # widening each matrix costs time; the low end of the range pays double. Assumed, not measured.
PREFERENCE_SHARE = 0.6  # of a token's speed is left by the reference's forward pass
PACKING_GAIN = 3.4  # published: tokens per second with packing over without, for short rows
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Range:
    """From the slowest to the fastest that is to be expected."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """One number where only one can be shown."""
        return (self.low + self.high) / 2


def tokens_per_second(work: Work, card: Card, *, packing: bool = True) -> Range | None:
    """Tokens that one GPU trains in a second; None in FP32, for which no figure was found."""
    if work.numbers is Numbers.FP32:
        return None
    low, high = EXPERTS_UTILISATION if work.shape.experts is not None else DENSE_UTILISATION
    fastest = card.dense_bf16_flops / flops_per_token(work)
    if work.reference:
        fastest *= PREFERENCE_SHARE
    if work.adapter is not None and work.adapter.four_bit_base:
        low *= FOUR_BIT_SHARE
    if work.pairs or not packing:
        low /= PACKING_GAIN
    return Range(low * fastest, high * fastest)


def flops_per_token(work: Work) -> float:
    """Forward and backward; an adapter needs no gradients of the base's weights."""
    shape = work.shape
    weights = parameters.active(shape)
    attention = 12 * shape.layers * parameters.query_width(shape) * work.context / 2
    return (6 if work.adapter is None else 4) * weights + attention


def hours(tokens: int, per_gpu: Range, gpus: int) -> Range:
    """How long so many tokens take on so many GPUs."""
    seconds = Range(tokens / (per_gpu.high * gpus), tokens / (per_gpu.low * gpus))
    return Range(seconds.low / SECONDS_PER_HOUR, seconds.high / SECONDS_PER_HOUR)
