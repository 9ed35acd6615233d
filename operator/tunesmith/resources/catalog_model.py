"""CatalogModel: one model that the provider names, with its limits, as a resource of the whole cluster."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tunesmith.resources.fine_tune_job_inputs import Repository, Revision
from tunesmith.resources.fine_tune_job_training import Precision
from tunesmith.resources.metadata import Resource, Status
from tunesmith.resources.schema import (
    Flag,
    Line,
    ListOf,
    ModelID,
    NonNegativeDecimal,
    Part,
    Rule,
    Text,
    Word,
    between,
    doc,
    items,
)

CONDITIONS = ("Ready", "Reconciling", "Stalled")
Date = Annotated[str, StringConstraints(min_length=10, max_length=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
ContextLength = Annotated[int, between(1, 2097152)]
BatchSize = Annotated[int, between(1, 65536)]


class ModelTask(StrEnum):
    """What the provider does with the model."""

    FINE_TUNE = "FineTune"
    INFERENCE = "Inference"


class WeightsRepository(Part):
    """Where the weights are published."""

    repo: Annotated[Repository, doc("The repository of the Hugging Face Hub; not always the provider's id.")]
    revision: Annotated[Revision, doc("Branch, tag or commit.")] = "main"


class Weights(Part):
    """What is known about the model's weights."""

    hugging_face: Annotated[WeightsRepository, doc("Where they are published.")]
    gated: Annotated[Flag, doc("Whether the licence must be accepted there, with a token.")] = False
    license: Annotated[Line | None, doc("The licence, as the Hub names it.")] = None
    source: Annotated[Text | None, doc("Where this was read, and how sure it is.")] = None


class Limits(Part):
    """What the provider allows when it tunes this model."""

    context_length_sft: Annotated[ContextLength | None, doc("Longest row in tokens for SFT.")] = None
    context_length_dpo: Annotated[ContextLength | None, doc("Longest row in tokens for DPO.")] = None
    max_batch_size_sft: Annotated[BatchSize | None, doc("Largest batch for SFT.")] = None
    max_batch_size_dpo: Annotated[BatchSize | None, doc("Largest batch for DPO.")] = None
    min_batch_size: Annotated[BatchSize | None, doc("Smallest batch.")] = None
    max_lora_rank: Annotated[Annotated[int, between(1, 512)] | None, doc("Highest rank of an adapter.")] = None
    target_modules: Annotated[
        tuple[Word, ...], doc("Modules that an adapter may have. Absent: any."), items(64), ListOf("set")
    ] = ()

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.minBatchSize) || !has(self.maxBatchSizeSFT) || self.minBatchSize <= self.maxBatchSizeSFT",
            message="`minBatchSize` must be at most `maxBatchSizeSFT`.",
            holds=lambda limits: _at_most(limits.min_batch_size, limits.max_batch_size_sft),
            field_path=".minBatchSize",
        ),
        Rule(
            cel="!has(self.minBatchSize) || !has(self.maxBatchSizeDPO) || self.minBatchSize <= self.maxBatchSizeDPO",
            message="`minBatchSize` must be at most `maxBatchSizeDPO`.",
            holds=lambda limits: _at_most(limits.min_batch_size, limits.max_batch_size_dpo),
            field_path=".minBatchSize",
        ),
    )


def _at_most(least: int | None, most: int | None) -> bool:
    return least is None or most is None or least <= most


class CatalogSource(StrEnum):
    """Who says so."""

    BUNDLED = "Bundled"
    PROVIDER = "Provider"
    USER = "User"


class CatalogModelSpec(Part):
    """The model and its limits."""

    id: Annotated[ModelID, doc("The provider's API string; not always a repository of the Hub.")]
    display_name: Annotated[Line, doc("The name for people.")]
    organization: Annotated[Line, doc("Who made the model.")]
    tasks: Annotated[tuple[ModelTask, ...], doc("What the provider does with the model."), items(2), ListOf("set")]
    parameters_billions: Annotated[NonNegativeDecimal | None, doc("Parameters in billions, in quotes.")] = None
    weights: Annotated[
        Weights | None,
        doc("Where the weights are. Absent: unknown, and a job must say `weightsPath`."),
    ] = None
    limits: Annotated[
        Limits | None, doc("What is allowed when the model is tuned. Absent: only the bounds of the job itself.")
    ] = None
    precision: Annotated[Precision | None, doc("The number formats in which it is trained.")] = None
    snapshot_date: Annotated[Date | None, doc("The day of which the row speaks.")] = None
    source: Annotated[
        CatalogSource, doc("'Bundled' came with the operator, 'Provider' was asked for, 'User' is yours.")
    ] = CatalogSource.USER


class CatalogModelStatus(Status):
    """What is known about the row."""


class CatalogModel(Resource[CatalogModelSpec, CatalogModelStatus]):
    """One model that can be named by a FineTuneJob, with the limits for tuning it."""

    kind: Literal["CatalogModel"] = "CatalogModel"
    spec: CatalogModelSpec
    status: CatalogModelStatus = Field(default_factory=CatalogModelStatus)
