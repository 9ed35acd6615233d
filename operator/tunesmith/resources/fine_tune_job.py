"""FineTuneJob: one training that somebody wants done."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from tunesmith.resources.fine_tune_job_inputs import BaseModelSource, Dataset, Method, Tuning
from tunesmith.resources.fine_tune_job_running import (
    GPUResources,
    JobBudget,
    OnDelete,
    Output,
    Placement,
    Preflight,
    Queue,
    Recovery,
    Retention,
    Tracking,
)
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus
from tunesmith.resources.fine_tune_job_training import ContinueFrom, Storage, Training
from tunesmith.resources.metadata import Resource
from tunesmith.resources.references import NameReference
from tunesmith.resources.schema import (
    IMMUTABLE,
    Count,
    Flag,
    ListOf,
    Part,
    Rule,
    Seconds,
    StoragePath,
    doc,
    items,
)

ImageName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]

CONDITIONS = (
    "Ready",
    "Reconciling",
    "Stalled",
    "Accepted",
    "DatasetReady",
    "ClusterReady",
    "Admitted",
    "PodsReady",
    "Progressing",
    "Succeeded",
    "Failed",
)


class FineTuneJobSpec(Part):
    """What is to be trained, how and where. It may not be changed but for the fields that say so."""

    model: Annotated[BaseModelSource, doc("The base model."), IMMUTABLE]
    weights_path: Annotated[
        StoragePath | None,
        doc("Directory on the storage where the model's weights already lie, in place of fetching them."),
        IMMUTABLE,
    ] = None
    method: Annotated[Method, doc("What the model learns from: examples or preferences."), IMMUTABLE] = Method()
    tuning: Annotated[Tuning, doc("How much of the model changes: an adapter or every weight."), IMMUTABLE] = Tuning()
    dataset: Annotated[Dataset, doc("What is learned; checked before GPUs are taken."), IMMUTABLE]
    training: Annotated[Training, doc("The hyperparameters."), IMMUTABLE] = Training()
    continue_from: Annotated[ContinueFrom | None, doc("An earlier adapter or checkpoint to go on from."), IMMUTABLE] = (
        None
    )
    storage: Annotated[Storage, doc("Where weights, data, checkpoints and results lie."), IMMUTABLE]
    output: Annotated[Output, doc("What comes out, and where it goes."), IMMUTABLE] = Output()
    resources: Annotated[GPUResources, doc("How many GPUs. Absent: sized from the memory estimate."), IMMUTABLE] = (
        GPUResources()
    )
    placement: Annotated[Placement, doc("Where the pods go."), IMMUTABLE]
    queue: Annotated[Queue | None, doc("How the job waits for its GPUs.")] = None
    suspend: Annotated[Flag, doc("Save, stop and hold no GPUs while true. May be changed.")] = False
    recovery: Annotated[Recovery, doc("What happens after a failure."), IMMUTABLE] = Recovery()
    preflight: Annotated[Preflight | None, doc("Checks before training."), IMMUTABLE] = None
    budget: Annotated[JobBudget | None, doc("The most that the job may spend. May be changed.")] = None
    active_deadline_seconds: Annotated[
        Seconds | None, doc("Fail when the job has run this long since its GPUs were first granted. May be changed.")
    ] = None
    ttl_seconds_after_finished: Annotated[
        Count | None, doc("Delete the job this long after its end; results stay on the storage. May be changed.")
    ] = None
    on_delete: Annotated[
        OnDelete,
        doc("What deletion does to a running job: 'Save' writes a checkpoint first, 'Abort' does not. May be changed."),
    ] = OnDelete.SAVE
    retention: Annotated[Retention | None, doc("What stays on the storage after the end. May be changed.")] = None
    tracking: Annotated[
        tuple[Tracking, ...],
        doc("Systems that record the training."),
        items(3),
        ListOf("map", keys=("type",)),
        IMMUTABLE,
    ] = ()
    image: Annotated[
        ImageName | None,
        doc(
            "Image of the trainer. Absent: the installation's. Another must match the "
            "installation's `trainer.allowedImages`; without that list there is no other."
        ),
        IMMUTABLE,
    ] = None
    image_pull_secret_refs: Annotated[
        tuple[NameReference, ...],
        doc("Secrets for pulling the image; copied to a remote cluster and removed with the job."),
        items(8),
        ListOf("map", keys=("name",)),
        IMMUTABLE,
    ] = ()
    dry_run: Annotated[
        Flag,
        doc(
            "Stop after the plan is in the status: nothing is made, nothing "
            "is spent. May be changed from true to false."
        ),
    ] = False

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.training.evaluations.count == 0 || has(self.dataset.validation)",
            message="`dataset.validation` must be set when `training.evaluations.count` is above 0.",
            holds=lambda spec: spec.training.evaluations.count == 0 or spec.dataset.validation is not None,
            reason="FieldValueRequired",
        ),
        Rule(
            cel="self.placement.type == 'Local' || self.storage.type != 'Claim'",
            message=(
                "`storage.type` may not be 'Claim' unless `placement.type` is "
                "'Local': a claim does not leave its cluster."
            ),
            holds=lambda spec: spec.placement.type.value == "Local" or spec.storage.type.value != "Claim",
            field_path=".storage",
        ),
        Rule(
            cel="!self.output.mergeModel || self.tuning.type == 'LoRA'",
            message="`output.mergeModel` may not be true unless `tuning.type` is 'LoRA': 'Full' makes a model.",
            holds=lambda spec: not spec.output.merge_model or spec.tuning.type.value == "LoRA",
            field_path=".output",
        ),
        Rule(
            cel="oldSelf.dryRun || !self.dryRun",
            message="`dryRun` may not be turned on after creation.",
            field_path=".dryRun",
            reason="FieldValueForbidden",
        ),
        Rule(
            cel=(
                "(has(self.queue) && has(self.queue.maxWaitSeconds)) == "
                "(has(oldSelf.queue) && has(oldSelf.queue.maxWaitSeconds)) && "
                "(!has(self.queue) || !has(self.queue.maxWaitSeconds) || "
                "self.queue.maxWaitSeconds == oldSelf.queue.maxWaitSeconds)"
            ),
            message="`queue.maxWaitSeconds` may not be changed, added or removed after creation.",
            reason="FieldValueForbidden",
        ),
    )


class FineTuneJob(Resource[FineTuneJobSpec, FineTuneJobStatus]):
    """One training: a base model, data and a method in, an adapter or a model out."""

    kind: Literal["FineTuneJob"] = "FineTuneJob"
    spec: FineTuneJobSpec
    status: FineTuneJobStatus = Field(default_factory=FineTuneJobStatus)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            message=(
                "`metadata.name` must be a DNS label: at most 63 lower-case "
                "letters, digits and '-'. Pods are named after it."
            ),
            holds=lambda job: len(job.name) <= 63 and "." not in job.name,
        ),
    )
