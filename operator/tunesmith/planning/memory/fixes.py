"""What would have to change for a training that does not fit: each tried with the same formula, the smallest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunesmith.planning.memory.batch import ANY_BATCH, BatchLimits, batch_of
from tunesmith.planning.memory.cards import Card, card_of
from tunesmith.planning.memory.fit import gpu_counts, layout_of, longest_context
from tunesmith.planning.memory.untrainable import is_quantised
from tunesmith.planning.memory.work import Adapter, Numbers, Work

OFFERED = ("H100", "H200", "B200")
"""provider: the cards of its clusters, the smallest first."""


@dataclass(frozen=True)
class Fix:
    """One change that makes it fit. `setting` is the field of a FineTuneJob, `value` what to write there."""

    setting: str
    value: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.setting}: {self.value}"


def fixes(
    work: Work, card: Card, gpus: int, wanted: int | None = None, limits: BatchLimits = ANY_BATCH
) -> tuple[Fix, ...]:
    """Every single change that makes one row fit; empty when none alone does. More GPUs must still share the batch."""
    return tuple(_fixes(work, card, gpus, wanted, limits))


def _fixes(work: Work, card: Card, gpus: int, wanted: int | None, limits: BatchLimits) -> Iterator[Fix]:
    context = longest_context(work, card, gpus)
    if 0 < context < work.context:
        yield Fix("training.contextLength", str(context))
    adapter = work.adapter
    if adapter is not None and adapter.dropout and _fits(_tuned(work, replace(adapter, dropout=False)), card, gpus):
        yield Fix("tuning.lora.dropout", "'0'")
    if adapter is None and work.numbers is Numbers.AMP and _fits(replace(work, numbers=Numbers.BF16), card, gpus):
        yield Fix("training.precision", "BF16")
    more = _more_gpus(work, card, gpus, wanted, limits)
    if more is not None:
        yield Fix("resources.gpus", str(more))
    if adapter is None and _fits(_tuned(work, Adapter()), card, gpus):
        yield Fix("tuning.type", "LoRA")
    if adapter is not None and not adapter.four_bit_base:
        if not is_quantised(work.shape) and _fits(_tuned(work, replace(adapter, four_bit_base=True)), card, gpus):
            yield Fix("tuning.lora.baseQuantization", "NF4")
    elif adapter is not None and _fits(_tuned(work, replace(adapter, four_bit_base=False)), card, gpus):
        yield Fix("tuning.lora.baseQuantization", "None")
    larger = next((name for name in OFFERED if _is_larger(name, card) and _fits_on(work, name, gpus)), None)
    if larger is not None:
        yield Fix("the GPUs' type", larger)


def _more_gpus(work: Work, card: Card, gpus: int, wanted: int | None, limits: BatchLimits) -> int | None:
    for more in gpu_counts():
        if more > gpus and batch_of(wanted, layout_of(work, card, more).rows, more, limits) is not None:
            return more
    return None


def _tuned(work: Work, adapter: Adapter) -> Work:
    return replace(work, adapter=adapter)


def _fits(work: Work, card: Card, gpus: int) -> bool:
    return layout_of(work, card, gpus).rows > 0


def _is_larger(name: str, card: Card) -> bool:
    other = card_of(name)
    return other is not None and other.memory_bytes > card.memory_bytes


def _fits_on(work: Work, name: str, gpus: int) -> bool:
    card = card_of(name)
    return card is not None and _fits(work, card, gpus)
