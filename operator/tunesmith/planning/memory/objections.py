"""What stands against a training: the limits of the model's row, the sharing of the batch, the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunesmith.catalog.limits import MethodLimits
from tunesmith.planning.memory.fit import can_be_sharded
from tunesmith.planning.memory.plan import Estimate


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
    if not allowed.allows_context(work.context):
        yield Objection(
            "ContextTooLong",
            f"{work.context} tokens are asked for; this model is trained with at most {allowed.context_length}.",
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
    world = done.layout.gpus
    least, most = allowed.min_batch_size or 1, allowed.max_batch_size
    limits = f"{least} to {most}" if most is not None else f"{least} or more"
    wanted = "No batch" if done.wish.batch is None else f"A batch of {done.wish.batch}"
    return f"{wanted} can be trained: this model allows {limits} rows, which {world} GPUs must share evenly."
