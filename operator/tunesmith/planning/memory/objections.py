"""What stands against a training: the limits of the model's row, the sharing of the batch, the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunesmith.catalog.limits import MethodLimits
from tunesmith.planning.memory.batch import BatchLimits, batch_of
from tunesmith.planning.memory.fit import can_be_sharded, gpu_counts, layout_of
from tunesmith.planning.memory.plan import Estimate
from tunesmith.planning.memory.untrainable import untunable

COUNTS_NAMED = 8


@dataclass(frozen=True)
class Objection:
    """Why it cannot be done so. `reason` is the word that a FineTuneJob's condition would have."""

    reason: str
    message: str


def objections(done: Estimate, allowed: MethodLimits) -> tuple[Objection, ...]:
    """All of them; empty when it can be done."""
    return tuple(_objections(done, allowed))


def _objections(done: Estimate, allowed: MethodLimits) -> Iterator[Objection]:
    work = done.wish.work
    if needs_context_parallelism(allowed):
        yield Objection("NeedsContextParallelism", CONTEXT_PARALLELISM)
    refusal = untunable(work.shape, work.adapter)
    if refusal is not None:
        yield Objection(refusal.reason, refusal.message)
    if not allowed.allows_context(work.context):
        yield Objection(
            "ContextTooLong",
            f"{work.context} tokens are asked for; this model is trained with at most {allowed.context_length}.",
        )
    elif allowed.context_length is None and work.context > work.shape.max_positions:
        yield Objection(
            "ContextTooLong",
            f"{work.context} tokens are asked for; the model's own window is {work.shape.max_positions} "
            "(`max_position_embeddings` of its configuration).",
        )
    if work.adapter is not None and not allowed.allows_rank(work.adapter.rank):
        yield Objection(
            "RankTooHigh", f"Rank {work.adapter.rank} is asked for; this model allows at most {allowed.max_lora_rank}."
        )
    if not done.fits:
        yield Objection("DoesNotFit", does_not_fit(done))
    elif done.batch is None or not allowed.allows_batch(done.batch.rows):
        yield Objection("BatchSizeOutOfRange", _batch(done, allowed))


CONTEXT_PARALLELISM = (
    "The provider trains this model with a batch of 1, one sequence spread over all GPUs (context parallelism). That "
    "is not built here: take a smaller model."
)


FOR_INFERENCE_ONLY = (
    "The provider serves this model and does not fine-tune it, so no limits are known. Name its repository as a model "
    "of the Hub, or make a CatalogModel of your own."
)


def needs_context_parallelism(allowed: MethodLimits) -> bool:
    """Whether a row of the provider's table can be trained only with one sequence spread over all GPUs."""
    return allowed.max_batch_size == 1


def does_not_fit(done: Estimate) -> str:
    """How much is missing, and what would help."""
    card, gpus = done.wish.card, done.layout.gpus
    told = (
        f"One row of {done.wish.work.context} tokens needs about {done.memory_gib:.1f} GiB on each of {gpus} "
        f"{card.name}, which can give {done.usable_gib:.1f} GiB."
    )
    if not can_be_sharded(done.wish.work):
        told = f"{told} A four-bit base cannot be cut into parts: it must fit whole on each GPU."
    if not done.fixes:
        return f"{told} No single change of context, GPUs or tuning makes it fit."
    return f"{told} It would fit with one of: {'; '.join(f'`{fix}`' for fix in done.fixes)}."


def _batch(done: Estimate, allowed: MethodLimits) -> str:
    """Of a batch that is asked for: whether the model's limits or the GPUs stand against it."""
    wish, limits = done.wish, BatchLimits(allowed.min_batch_size or 1, allowed.max_batch_size)
    if wish.batch is not None and not limits.allow(wish.batch):
        return f"A batch of {wish.batch} rows is asked for; this model is trained with {limits}."
    rows = f"a batch of {wish.batch} rows" if wish.batch is not None else f"any batch of {limits} rows"
    told = f"{done.layout.gpus} GPUs cannot share {rows} evenly."
    others = [
        str(gpus)
        for gpus in gpu_counts()
        if batch_of(wish.batch, layout_of(wish.work, wish.card, gpus).rows, gpus, limits) is not None
    ]
    return f"{told} These numbers of GPUs can: {', '.join(others[:COUNTS_NAMED])}." if others else told
