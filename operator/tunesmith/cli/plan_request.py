"""What `tunesmith plan` is asked: from its options, from a FineTuneJob's manifest, from a model's own `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
import yaml

from tunesmith.catalog.config_json import ShapeUnknownError, shape_of_config
from tunesmith.catalog.limits import MethodLimits, limits_for
from tunesmith.catalog.loader import BundledModel, bundled, find_bundled
from tunesmith.catalog.shape import ModelShape
from tunesmith.planning.memory.batch import Batch, BatchLimits
from tunesmith.planning.memory.objections import CONTEXT_PARALLELISM, FOR_INFERENCE_ONLY, needs_context_parallelism
from tunesmith.planning.memory.untrainable import untrainable
from tunesmith.planning.memory.work import Numbers, Work, not_estimated, work_of
from tunesmith.resources.catalog_model import ModelTask
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.fine_tune_job_inputs import (
    DPO,
    BaseQuantization,
    LoRA,
    Method,
    MethodType,
    Tuning,
    TuningType,
)
from tunesmith.resources.parsing import Invalid, parse

DOES_NOT_FIT_EXIT = 2
METHODS: Mapping[str, Method] = {
    "sft": Method(),
    "dpo": Method(type=MethodType.DPO),
    "ln-dpo": Method(type=MethodType.DPO, dpo=DPO(normalize_logratios_by_length=True)),
    "dpo-nll": Method(type=MethodType.DPO, dpo=DPO(rpo_alpha=Decimal(1))),
    "simpo": Method(type=MethodType.DPO, dpo=DPO(simpo_gamma=Decimal(1))),
    "reference-free": Method(type=MethodType.DPO, dpo=DPO(reference_free=True)),
}


class NotUnderstoodError(click.UsageError):
    """The request is not whole; another status than that of a training that does not fit."""

    exit_code = 1


class CannotBeTrainedError(click.ClickException):
    """No estimate is needed to say that it does not fit."""

    exit_code = DOES_NOT_FIT_EXIT


@dataclass(frozen=True)
class Request:
    """What is to be planned. `shape` is complete; `allowed` is what the catalogue's row allows for the method."""

    title: str
    method: Method
    work: Work
    allowed: MethodLimits
    gpu_type: str
    gpus: int | None
    batch: int | None
    tokens: int | None
    max_steps: int | None
    packing: bool
    price: Decimal | None

    def tokens_of(self, batch: Batch | None) -> int | None:
        """Tokens that are trained on: the dataset's, or those of the steps that there are when rows are packed full."""
        if self.max_steps is None or batch is None or not self.packing or self.method.type is not MethodType.SFT:
            return self.tokens
        full = self.max_steps * batch.rows * self.work.context
        return full if self.tokens is None else min(full, self.tokens)

    @property
    def batch_limits(self) -> BatchLimits:
        """Rows of one step that the row allows."""
        return BatchLimits(self.allowed.min_batch_size or 1, self.allowed.max_batch_size)


@dataclass(frozen=True)
class Options:
    """The command's options as they were given; None where they were not."""

    model: str | None = None
    config: Path | None = None
    file: Path | None = None
    method: str | None = None
    context: int | None = None
    gpu: str | None = None
    gpus: int | None = None
    tuning: str | None = None
    rank: int | None = None
    dropout: float | None = None
    targets: tuple[str, ...] = ()
    precision: str | None = None
    batch: int | None = None
    tokens: int | None = None
    epochs: int | None = None
    packing: bool | None = None
    price: Decimal | None = None


def request_of(options: Options) -> Request:
    """The request; options win over what a manifest says. Raises click's errors, which say what is missing."""
    job = _manifest(options.file) if options.file is not None else None
    model = _model(options, job)
    method = METHODS[options.method] if options.method else (job.spec.method if job else Method())
    allowed = limits_for(model.spec, method.type) if model is not None else MethodLimits(None, None, None, None)
    shape = _shape(options, model, allowed)
    if job is not None and job.spec.weights_path is not None and options.config is None:
        shape = replace(shape, native_precision=None)  # weights of the user's own may be stored otherwise
    training = job.spec.training if job else None
    context = options.context or (training.context_length if training else None) or allowed.context_length
    if context is None:
        raise NotUnderstoodError("No table of limits knows this model: give --context.")
    epochs = options.epochs or (training.epochs if training else 1)
    tuning = _tuning(options, job.spec.tuning if job else Tuning())
    return Request(
        title=model.spec.id if model is not None else shape.architecture,
        method=method,
        work=work_of(shape, context, method=method, tuning=tuning, numbers=_numbers(options, job, model)),
        allowed=allowed,
        gpu_type=_gpu_type(options, job),
        gpus=options.gpus or _gpus(job),
        batch=options.batch or (training.batch_size if training else None),
        tokens=None if options.tokens is None else options.tokens * epochs,
        max_steps=training.max_steps if training else None,
        packing=options.packing if options.packing is not None else (training.packing if training else True),
        price=options.price,
    )


def _manifest(path: Path) -> FineTuneJob:
    """The first FineTuneJob of a file of manifests."""
    try:
        documents = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(each, dict)]
        raw = next((each for each in documents if each.get("kind") == "FineTuneJob"), None)
        if raw is None:
            raise NotUnderstoodError(f"{path} holds no FineTuneJob.")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise NotUnderstoodError(f"{path} is not YAML: {error}") from None
    job = parse(raw)
    if not isinstance(job, FineTuneJob):
        wrong = f": `{job.path}`: {job.message}" if isinstance(job, Invalid) else " holds no FineTuneJob."
        raise NotUnderstoodError(f"{path}{wrong}")
    return job


def _model(options: Options, job: FineTuneJob | None) -> BundledModel | None:
    name = options.model
    if name is None and job is not None and options.config is None:
        source = job.spec.model
        name = source.catalog.name if source.catalog else source.hugging_face.repo if source.hugging_face else None
        if name is None:
            raise NotUnderstoodError("The job's model is a path on its storage: give --config with its config.json.")
    if name is None:
        if options.config is None:
            raise NotUnderstoodError("Which model? Give --model, --config or -f.")
        return None
    found = find_bundled(name)
    if found is None and options.config is None:
        raise NotUnderstoodError(
            f"The bundled catalogue has no model '{name}'.{_like(name)} `kubectl get catalogmodels` prints those of a "
            "cluster; for any other give its config.json with --config."
        )
    if found is not None and options.config is None and ModelTask.FINE_TUNE not in found.spec.tasks:
        raise CannotBeTrainedError(FOR_INFERENCE_ONLY)
    return found


def _like(name: str) -> str:
    """Models that may be meant, as a sentence."""
    spelled = {part.lower(): each.spec.id for each in bundled() for part in (each.spec.id, each.spec.id.split("/")[-1])}
    close = get_close_matches(name.lower(), spelled, n=3, cutoff=0.75)
    return f" Did you mean {' or '.join(dict.fromkeys(spelled[each] for each in close))}?" if close else ""


def _shape(options: Options, model: BundledModel | None, allowed: MethodLimits) -> ModelShape:
    shape = _read_config(options.config) if options.config is not None else model.shape if model is not None else None
    missing = not_estimated(shape)
    if missing is not None and needs_context_parallelism(allowed):
        raise CannotBeTrainedError(CONTEXT_PARALLELISM)
    if shape is None or missing is not None:
        raise click.ClickException(f"Not estimated: {missing}.")
    refusal = untrainable(shape)
    if refusal is not None:
        raise CannotBeTrainedError(refusal.message)
    return shape


def _read_config(path: Path) -> ModelShape:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise NotUnderstoodError(f"{path} is not a model's configuration.")
        return shape_of_config(document)
    except (ValueError, RecursionError) as error:
        kind = "Not estimated" if isinstance(error, ShapeUnknownError) else f"{path} is not JSON"
        raise click.ClickException(f"{kind}: {error}.") from None


def _tuning(options: Options, written: Tuning) -> Tuning:
    kind = options.tuning or ("full" if written.type is TuningType.FULL else "lora")
    if kind == "full":
        if options.rank is not None or options.dropout is not None or options.targets:
            raise NotUnderstoodError("--rank, --dropout and --targets describe an adapter; full tuning has none.")
        return Tuning(type=TuningType.FULL)
    given: dict[str, Any] = {}
    if options.tuning is not None:
        given["base_quantization"] = BaseQuantization.NF4 if kind == "qlora" else BaseQuantization.NONE
    if options.rank is not None:
        given["rank"] = options.rank
    if options.dropout is not None:
        given["dropout"] = Decimal(str(options.dropout))
    if options.targets:
        given["target_modules"] = options.targets
    return Tuning(lora=written.adapter.model_copy(update=given) if written.lora else LoRA(**given))


def _numbers(options: Options, job: FineTuneJob | None, model: BundledModel | None) -> Numbers:
    if options.precision is not None:
        return Numbers(options.precision.upper())
    written = job.spec.training.precision if job is not None else None
    said = written or (model.spec.precision if model is not None else None)
    return Numbers(said.value) if said is not None else Numbers.AMP


def _gpu_type(options: Options, job: FineTuneJob | None) -> str:
    if options.gpu is not None:
        return options.gpu
    if job is not None and job.spec.placement.template is not None:
        return job.spec.placement.template.gpu_type
    if job is not None and job.spec.resources.gpu_type is not None:
        return job.spec.resources.gpu_type
    raise NotUnderstoodError("Which GPUs? Give --gpu, such as H100, H200 or B200.")


def _gpus(job: FineTuneJob | None) -> int | None:
    if job is None:
        return None
    template = job.spec.placement.template
    return job.spec.resources.gpus or (template.nodes * 8 if template is not None else None)
