"""How many GPUs and pods a job gets, how its batch is shared out, how the model is spread; before GPUs are taken."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tunesmith.catalog.limits import MethodLimits, limits_for
from tunesmith.planning.job_gpus import card_for, numbers_of, price_for, shape_of
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.memory.batch import Batch, BatchLimits, divided, fewest_gpus, largest_batch
from tunesmith.planning.memory.objections import (
    CONTEXT_PARALLELISM,
    FOR_INFERENCE_ONLY,
    does_not_fit,
    needs_context_parallelism,
)
from tunesmith.planning.memory.plan import Estimate, Wish, estimate
from tunesmith.planning.memory.terms import Sharding
from tunesmith.planning.memory.untrainable import untrainable, untunable
from tunesmith.planning.memory.work import adapter_of, not_estimated, work_of
from tunesmith.planning.refusal import Refusal
from tunesmith.resources.catalog_model import CatalogSource, ModelTask
from tunesmith.resources.fine_tune_job_inputs import TuningType
from tunesmith.resources.fine_tune_job_status import Plan as WrittenPlan

GPUS_PER_NODE = 8  # provider: one node is 8 GPUs
VALUES_NAMED = 12


@dataclass(frozen=True)
class Sizes:
    """What is resolved once and used by every attempt. `estimate` None: `not_estimated` says why."""

    pods: int
    gpus_per_pod: int
    processes_per_pod: int
    batch: Batch
    context_length: int
    sharding: Sharding
    estimate: Estimate | None
    not_estimated: str


def sizes_of(seen: JobObservation) -> Sizes | Refusal:
    """The sizes, or the first thing that stands against them."""
    allowed = allowed_for(seen)
    refusal = _outside_the_limits(seen, allowed)
    if refusal is not None:
        return refusal
    context = seen.spec.training.context_length or allowed.context_length
    if context is None:
        return Refusal(
            "ContextLengthUnknown", "No table of limits knows this model. Set `spec.training.contextLength`."
        )
    wish, why = _wish(seen, allowed, context)
    shape = _shape(seen, wish)
    if isinstance(shape, Refusal):
        return shape
    pods, per_pod = shape
    done = None if wish is None else estimate(replace(wish, gpus=pods * per_pod))
    simulated = seen.around.installation.simulated_gpus
    processes = 1 if simulated else per_pod
    # What is simulated has the memory of the machine, not of the card: the estimate is told and refuses nothing.
    binding = None if simulated else done
    batch = _batch(seen, allowed, pods * processes, binding)
    if isinstance(batch, Refusal):
        return batch
    return Sizes(pods, per_pod, processes, batch, context, _sharding(pods * processes, binding), done, why)


def allowed_for(seen: JobObservation) -> MethodLimits:
    """What the model's row allows for the job's method."""
    if seen.model is None:
        return MethodLimits(None, None, None, None)
    return limits_for(seen.model.spec, seen.spec.method.type)


def _outside_the_limits(seen: JobObservation, allowed: MethodLimits) -> Refusal | None:
    """What the catalogue limits besides the batch."""
    spec = seen.spec
    of_the_provider = seen.model is not None and seen.model.spec.source is not CatalogSource.USER
    if seen.model is not None and of_the_provider and ModelTask.FINE_TUNE not in seen.model.spec.tasks:
        return Refusal("ModelNotFineTuned", FOR_INFERENCE_ONLY)
    if of_the_provider and needs_context_parallelism(allowed):
        return Refusal("NeedsContextParallelism", CONTEXT_PARALLELISM)
    refusal = _against_the_shape(seen)
    if refusal is not None:
        return refusal
    context = spec.training.context_length
    rank = spec.tuning.adapter.rank if spec.tuning.type is TuningType.LORA else None
    if context is not None and not allowed.allows_context(context):
        return Refusal(
            "ContextTooLong",
            f"`spec.training.contextLength` is {context}; this model is trained with at most "
            f"{allowed.context_length} tokens.",
        )
    if rank is not None and not allowed.allows_rank(rank):
        return Refusal(
            "RankTooHigh", f"`spec.tuning.lora.rank` is {rank}; this model allows at most {allowed.max_lora_rank}."
        )
    return None


def _against_the_shape(seen: JobObservation) -> Refusal | None:
    """What the trainer would refuse with GPUs held."""
    shape, _ = shape_of(seen)
    return None if shape is None else untrainable(shape) or untunable(shape, adapter_of(seen.spec.tuning))


def _wish(seen: JobObservation, allowed: MethodLimits, context: int) -> tuple[Wish | None, str]:
    """What is asked of the memory formula; None and the reason where it cannot say anything."""
    spec, (shape, unread) = seen.spec, shape_of(seen)
    missing = unread or not_estimated(shape)
    card, unknown = card_for(seen)
    if shape is None or missing or card is None:
        return None, missing or unknown
    work = work_of(shape, context, method=spec.method, tuning=spec.tuning, numbers=numbers_of(seen))
    wish = Wish(
        work=work,
        card=card,
        batch=spec.training.batch_size,
        limits=_batch_limits(allowed),
        gpu_hour_usd=price_for(seen),
        packing=spec.training.packing,
    )
    return wish, ""


def _batch_limits(allowed: MethodLimits) -> BatchLimits:
    return BatchLimits(allowed.min_batch_size or 1, allowed.max_batch_size)


def _shape(seen: JobObservation, wish: Wish | None) -> tuple[int, int] | Refusal:
    """Pods, and GPUs of each. Once the data is being prepared they stay."""
    before = _before(seen)
    if before is not None and before.pods and before.gpus_per_pod:
        return before.pods, before.gpus_per_pod
    wanted = seen.spec.resources
    gpus = wanted.gpus or _default_gpus(seen, wish)
    per_pod = wanted.gpus_per_pod or min(gpus, GPUS_PER_NODE)
    if wanted.gpus is None:
        gpus = -(-gpus // per_pod) * per_pod
    if gpus % per_pod:
        return Refusal(
            "GPUsDoNotDivide",
            f"`spec.resources.gpus` {gpus} is not a multiple of `gpusPerPod` {per_pod}: all pods must be alike.",
        )
    return gpus // per_pod, per_pod


def _default_gpus(seen: JobObservation, wish: Wish | None) -> int:
    """A cluster of the job's own whole; else as few as take the batch at once; a node where nothing is estimated."""
    template = seen.spec.placement.template
    if template is not None:
        return template.nodes * GPUS_PER_NODE
    if wish is None or seen.around.installation.simulated_gpus:
        return GPUS_PER_NODE
    return fewest_gpus(wish.work, wish.card, wish.batch, wish.limits) or GPUS_PER_NODE


def _batch(seen: JobObservation, allowed: MethodLimits, world: int, done: Estimate | None) -> Batch | Refusal:
    """The batch that is wanted, or the largest. Once the data is prepared it stays, in bites that may be smaller."""
    before = _before(seen)
    if before is not None and before.micro_batch and before.gradient_accumulation:
        known = Batch(before.micro_batch, before.gradient_accumulation, world)
        return known if seen.attempt > 0 else _batch_that_fits(known, done)
    if done is not None and not done.fits:
        return Refusal("DoesNotFit", does_not_fit(done))
    wanted, limits = seen.spec.training.batch_size, _batch_limits(allowed)
    if wanted is None and limits.most is None and done is None:
        return Refusal("BatchSizeUnknown", "No table of limits knows this model. Set `spec.training.batchSize`.")
    rows_at_once = _no_bound(wanted, limits, world) if done is None else done.layout.rows
    if wanted is None:
        batch = largest_batch(rows_at_once, world, limits)
    elif limits.allow(wanted):
        batch = divided(wanted, rows_at_once, world)
    else:
        batch = None
    return batch or Refusal("BatchSizeOutOfRange", _batch_message(wanted, world, limits))


def _batch_that_fits(batch: Batch, done: Estimate | None) -> Batch | Refusal:
    """The batch that the data was prepared for. The shape of a model may have come with its preparation."""
    if done is None:
        return batch
    if not done.fits:
        return Refusal("DoesNotFit", does_not_fit(done))
    return batch if batch.micro <= done.layout.rows else divided(batch.rows, done.layout.rows, batch.world) or batch


def _no_bound(wanted: int | None, limits: BatchLimits, world: int) -> int:
    """Nothing is known of the memory: all rows of a process at once, as the user or the table says."""
    return max(1, (wanted or limits.most or world) // world)


def _before(seen: JobObservation) -> WrittenPlan | None:
    """The plan that the data was prepared for, and attempts made with: what they left goes on with the same batch."""
    return seen.status.plan if seen.attempt > 0 or seen.status.preparation is not None else None


def _sharding(world: int, done: Estimate | None) -> Sharding:
    if done is not None:
        return done.layout.sharding
    return Sharding.DDP if world > 1 else Sharding.NONE


def _batch_message(wanted: int | None, world: int, limits: BatchLimits) -> str:
    least, most = limits.least, limits.most
    allowed = range(-(-least // world) * world, (most or max(wanted or 0, world)) + 1, world)
    if not allowed:
        return (
            f"No batch of {limits} rows divides among {world} processes. Ask for fewer GPUs in `spec.resources.gpus`: "
            f"at most {most} processes can share a batch."
        )
    named = ", ".join(map(str, allowed[:VALUES_NAMED]))
    rest = f", and so on in steps of {world}" if len(allowed) > VALUES_NAMED or most is None else ""
    asked = "No batch size was found" if wanted is None else f"`spec.training.batchSize` is {wanted}"
    return f"{asked}; this model allows {limits} rows, and {world} processes must share them evenly: {named}{rest}."
