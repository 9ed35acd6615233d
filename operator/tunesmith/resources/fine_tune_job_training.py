"""How a FineTuneJob trains: the hyperparameters, checkpoints, evaluations, and what it goes on from."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from tunesmith.resources.fine_tune_job_inputs import Bucket, ObjectKey
from tunesmith.resources.references import NameReference
from tunesmith.resources.schema import (
    URL,
    Count,
    DNSLabel,
    Flag,
    NonNegativeDecimal,
    Part,
    PositiveCount,
    PositiveDecimal,
    Ratio,
    Rule,
    StoragePath,
    between,
    doc,
    union,
)


class SchedulerType(StrEnum):
    """The shape of the learning rate over the steps."""

    COSINE = "Cosine"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class Scheduler(Part):
    """How the learning rate falls after the warm-up."""

    type: Annotated[SchedulerType, doc("'Cosine' and 'Linear' fall to `minRatio`; 'Constant' stays.")] = (
        SchedulerType.COSINE
    )
    min_ratio: Annotated[Ratio, doc("The last learning rate, as a share of the first, in quotes.")] = Decimal("0")
    cycles: Annotated[
        PositiveDecimal | None, doc("'Cosine' only: number of waves, in quotes. Absent: 0.5, one fall.")
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.type == 'Cosine' || !has(self.cycles)",
            message="`cycles` must not be set unless `type` is 'Cosine'.",
            holds=lambda scheduler: scheduler.type is SchedulerType.COSINE or scheduler.cycles is None,
            reason="FieldValueForbidden",
        ),
    )


class Precision(StrEnum):
    """The number formats of training."""

    AMP = "AMP"
    BF16 = "BF16"


class EarlyStopping(Part):
    """Stop when the evaluation loss no longer falls."""

    patience: Annotated[PositiveCount, doc("So many evaluations without progress end the training.")] = 2
    min_delta: Annotated[NonNegativeDecimal, doc("What counts as progress, in quotes.")] = Decimal("0")
    warmup_evaluations: Annotated[Count, doc("The first evaluations, which do not count.")] = 1


class Evaluations(Part):
    """Measuring on the validation rows while training."""

    count: Annotated[
        Annotated[int, between(0, 1000)], doc("How many times, evenly spread; needs `dataset.validation`.")
    ] = 0
    early_stopping: Annotated[EarlyStopping | None, doc("Stop when the loss no longer falls.")] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=(
                "!has(self.earlyStopping) || "
                "self.count >= self.earlyStopping.patience + self.earlyStopping.warmupEvaluations + 1"
            ),
            message="`count` must be at least `earlyStopping.patience` + `earlyStopping.warmupEvaluations` + 1.",
            holds=lambda evaluations: (
                evaluations.early_stopping is None
                or evaluations.count
                >= evaluations.early_stopping.patience + evaluations.early_stopping.warmup_evaluations + 1
            ),
            field_path=".count",
        ),
    )


class MirrorBucket(Part):
    """Where in S3 the copies go."""

    endpoint: Annotated[URL | None, doc("The endpoint, for stores other than AWS.")] = None
    bucket: Annotated[Bucket, doc("The bucket.")]
    prefix: Annotated[ObjectKey | None, doc("Put before the keys.")] = None
    credentials_secret_ref: Annotated[NameReference, doc("Secret with `accessKeyID` and `secretAccessKey`.")]


class Mirror(Part):
    """A copy of each checkpoint elsewhere, so that a job goes on when its cluster or region is lost."""

    s3: Annotated[MirrorBucket, doc("The S3 bucket that receives the copies.")]


class Checkpoints(Part):
    """States that training can go on from."""

    count: Annotated[
        Annotated[int, between(1, 1000)],
        doc("How many over the whole training, evenly spread; the last is the end. Every 15 minutes one more is made."),
    ] = 1
    keep: Annotated[
        Annotated[int, between(1, 100)],
        doc("How many of these stay on the storage, the newest. Of those made in between, the newest two."),
    ] = 2
    mirror: Annotated[Mirror | None, doc("Where copies go.")] = None


class Training(Part):
    """The hyperparameters. The model's limits hold besides these bounds."""

    epochs: Annotated[Annotated[int, between(1, 1000)], doc("How many times the data is gone through.")] = 1
    max_steps: Annotated[PositiveCount | None, doc("Stop after this many steps, whatever `epochs` says.")] = None
    learning_rate: Annotated[
        PositiveDecimal, doc("The highest learning rate, in quotes, such as '0.0002' or '2e-4'.")
    ] = Decimal("0.00001")
    scheduler: Annotated[Scheduler, doc("How the learning rate falls.")] = Scheduler()
    warmup_ratio: Annotated[Ratio, doc("Share of the steps in which the learning rate rises, in quotes.")] = Decimal(
        "0"
    )
    weight_decay: Annotated[NonNegativeDecimal, doc("Decay of the weights, in quotes.")] = Decimal("0")
    max_grad_norm: Annotated[NonNegativeDecimal, doc("Longer gradients are cut, in quotes; '0' turns that off.")] = (
        Decimal("1")
    )
    batch_size: Annotated[
        Annotated[int, between(1, 65536)] | None,
        doc("Rows of one step, over all GPUs. Absent: the largest that fits and the model allows."),
    ] = None
    context_length: Annotated[
        Annotated[int, between(1, 2097152)] | None,
        doc("Longest row in tokens; longer ones are cut. Absent: the model's limit for the method."),
    ] = None
    packing: Annotated[
        Flag, doc("Whether short rows share one sequence, without seeing each other. SFT only: pairs of DPO never do.")
    ] = True
    seed: Annotated[Count, doc("Seed of everything random.")] = 42
    precision: Annotated[
        Precision | None, doc("'AMP' or 'BF16'. Absent: as the model's row of the catalogue says.")
    ] = None
    evaluations: Annotated[Evaluations, doc("Measuring on the validation rows.")] = Evaluations()
    checkpoints: Annotated[Checkpoints, doc("States to go on from.")] = Checkpoints()


class ContinueFromType(StrEnum):
    """What a job goes on from."""

    JOB = "Job"
    PATH = "Path"


class EarlierJob(Part):
    """A job that ran before."""

    name: Annotated[DNSLabel, doc("Its name, in this namespace.")]
    checkpoint: Annotated[Count | None, doc("Step of the checkpoint. Absent: its result.")] = None


class ContinueFrom(Part):
    """An earlier adapter or checkpoint to go on from; refused when it was made on another base model."""

    type: Annotated[ContinueFromType, doc("'Job' for a job of this namespace, 'Path' for files on the storage.")]
    job: Annotated[EarlierJob | None, doc("The earlier job.")] = None
    path: Annotated[StoragePath | None, doc("Directory on the job's storage.")] = None

    rules: ClassVar[tuple[Rule, ...]] = union(ContinueFromType, needed=("Job", "Path"))


class StorageType(StrEnum):
    """What kind of storage the job works on."""

    SHARED_VOLUME = "SharedVolume"
    CLAIM = "Claim"


class Storage(Part):
    """Where weights, data, checkpoints and results lie; every path of the job is below its root."""

    type: Annotated[
        StorageType,
        doc(
            "'SharedVolume' for the volume of a bought cluster, 'Claim' for a PersistentVolumeClaim of this namespace."
        ),
    ]
    shared_volume: Annotated[NameReference | None, doc("The SharedVolume; it must be the cluster's own.")] = None
    claim: Annotated[NameReference | None, doc("The PersistentVolumeClaim, for local placement.")] = None

    rules: ClassVar[tuple[Rule, ...]] = union(StorageType, needed=("SharedVolume", "Claim"))


class PublishType(StrEnum):
    """Where a result is published."""

    S3 = "S3"
    OCI = "OCI"
    HUGGING_FACE = "HuggingFace"


class PublishBucket(Part):
    """A place in S3."""

    endpoint: Annotated[URL | None, doc("The endpoint, for stores other than AWS.")] = None
    bucket: Annotated[Bucket, doc("The bucket.")]
    prefix: Annotated[ObjectKey | None, doc("Put before the keys.")] = None


class PublishArtifact(Part):
    """A place in an OCI registry."""

    reference: Annotated[
        Annotated[str, StringConstraints(min_length=3, max_length=512, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")],
        doc("Registry, repository and tag."),
    ]


class PublishRepository(Part):
    """A place on the Hugging Face Hub."""

    repo: Annotated[
        Annotated[str, StringConstraints(min_length=3, max_length=200, pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")],
        doc("The repository; made when it is not there."),
    ]
    private: Annotated[Flag, doc("Whether a new repository is private.")] = True


class Publication(Part):
    """One place where the result is published."""

    type: Annotated[PublishType, doc("What kind of place.")]
    s3: Annotated[PublishBucket | None, doc("A place in S3.")] = None
    oci: Annotated[PublishArtifact | None, doc("A place in an OCI registry.")] = None
    hugging_face: Annotated[PublishRepository | None, doc("A place on the Hugging Face Hub.")] = None
    secret_ref: Annotated[NameReference | None, doc("Secret with what logging in there needs.")] = None

    rules: ClassVar[tuple[Rule, ...]] = union(PublishType, needed=("S3", "OCI", "HuggingFace"))
