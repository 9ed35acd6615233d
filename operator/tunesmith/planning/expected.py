"""What a job is expected to need and to cost, as its status tells it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.learning import packs
from tunesmith.planning.memory.plan import Estimate
from tunesmith.planning.memory.price import Dollars, dollars
from tunesmith.planning.memory.throughput import Range, hours
from tunesmith.planning.sizing import GPUS_PER_NODE, Sizes

_TENTH = Decimal("0.1")


def expected_changes(seen: JobObservation, sizes: Sizes) -> dict[str, Any]:
    """Fields of `status.plan`: the memory of a GPU, hours and dollars; None for what is not estimated."""
    done = sizes.estimate
    took = None if done is None else _hours(seen, sizes, done)
    cost = None if done is None or took is None else _dollars(seen, done, took)
    return {
        "estimated_memory_gib": None if done is None else _tenths(done.memory_gib),
        "estimated_hours": None if took is None else max(_TENTH, _tenths(took.middle)),
        "estimated_usd": None if cost is None else ((cost.low + cost.high) / 2).quantize(Decimal("0.01")),
    }


def expectation(seen: JobObservation, sizes: Sizes) -> str:
    """The estimate in a sentence, for the condition."""
    done = sizes.estimate
    if done is None:
        return f"Memory and time are not estimated: {sizes.not_estimated}."
    need = f"{_tenths(done.memory_gib)} of {_tenths(done.usable_gib)} usable GiB on each of {_gpus(done)}"
    if seen.around.installation.simulated_gpus:
        verb = "would need" if done.fits else "would not fit: they would need"
        return f"The GPUs are simulated; real ones {verb} about {need}."
    took = _hours(seen, sizes, done)
    if took is None:
        return f"It needs about {need} ({done.layout.sharding})."
    cost = _dollars(seen, done, took)
    price = "" if cost is None else f" and {cost.low} to {cost.high} USD"
    return f"It needs about {need} ({done.layout.sharding}), {_tenths(took.low)} to {_tenths(took.high)} hours{price}."


def _gpus(done: Estimate) -> str:
    return f"{done.layout.gpus} {done.wish.card.name}"


def _hours(seen: JobObservation, sizes: Sizes, done: Estimate) -> Range | None:
    """Known once the data was counted, or where the steps are and every sequence is full."""
    tokens = _tokens(seen, sizes)
    if tokens is None or done.speed is None:
        return None
    return hours(tokens, done.speed, done.layout.gpus)


def _tokens(seen: JobObservation, sizes: Sizes) -> int | None:
    training, dataset = seen.spec.training, seen.status.dataset
    counted = None if dataset is None or dataset.tokens is None else dataset.tokens * training.epochs
    if training.max_steps is None or not packs(seen, training.packing):
        return counted
    full = training.max_steps * sizes.batch.rows * sizes.context_length
    return full if counted is None else min(full, counted)


def _dollars(seen: JobObservation, done: Estimate, took: Range) -> Dollars | None:
    """A cluster that is made for the job is paid for whole; of any other, the GPUs that the job holds."""
    price, template = done.wish.gpu_hour_usd, seen.spec.placement.template
    if price is None:
        return None
    return dollars(took, done.layout.gpus if template is None else template.nodes * GPUS_PER_NODE, price)


def _tenths(number: float) -> Decimal:
    return Decimal(repr(number)).quantize(_TENTH, rounding=ROUND_HALF_UP)
