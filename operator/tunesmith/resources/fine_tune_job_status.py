"""What the operator reports about a FineTuneJob."""

from typing import Annotated

from tunesmith.resources.metadata import Status
from tunesmith.resources.schema import (
    SHA256,
    Count,
    Dollars,
    Line,
    ListOf,
    LongText,
    Percent,
    SignedDecimal,
    Size,
    StatusPart,
    Text,
    Time,
    Word,
    doc,
    items,
)


class AdmittedPod(StatusPart):
    """Where one pod may run."""

    node: Annotated[Line, doc("The node.")]
    gpus: Annotated[Count, doc("How many of its GPUs.")]


class Admission(StatusPart):
    """The GPUs that are held for the job."""

    pool: Annotated[Line | None, doc("The GPUCluster, or 'local'.")] = None
    cluster_id: Annotated[Line | None, doc("The provider's id of the cluster that they are in, if it was bought.")] = (
        None
    )
    pods: Annotated[
        tuple[AdmittedPod, ...], doc("One entry for each pod, in the order of ranks."), items(1024, least=0)
    ] = ()
    time: Annotated[Time | None, doc("When they were granted.")] = None


class QueueStatus(StatusPart):
    """How the job waits."""

    position: Annotated[Count | None, doc("Its place in the line, for the first twenty.")] = None
    blocked_by: Annotated[Line | None, doc("What it waits for.")] = None


class Restarts(StatusPart):
    """How often it was started anew."""

    unclassified: Annotated[Count | None, doc("After failures of unknown kind.")] = None
    infrastructure: Annotated[Count | None, doc("After faults of nodes, network or provider.")] = None


class Pinned(StatusPart):
    """What was resolved once and holds for every attempt."""

    image_digest: Annotated[Line | None, doc("The image by digest.")] = None
    model_revision: Annotated[Line | None, doc("The commit of the model's repository.")] = None
    model_path: Annotated[Text | None, doc("Where the weights lie on the storage, when they were fetched.")] = None
    model_facts: Annotated[
        Text | None,
        doc("What the model's `config.json` says of its architecture, as JSON; memory is estimated from it."),
    ] = None
    dataset_sha256: Annotated[
        tuple[SHA256, ...], doc("Hashes of the training and validation data."), items(2, least=0)
    ] = ()
    training_path: Annotated[Text | None, doc("Where the training data lies, when it was fetched.")] = None
    validation_path: Annotated[Text | None, doc("Where the validation data lies, when it was fetched.")] = None
    continue_from: Annotated[Text | None, doc("Where on the storage what it goes on from lies.")] = None
    config_hash: Annotated[Line | None, doc("Hash of the trainer's configuration.")] = None


class Preparation(StatusPart):
    """The pod without GPUs that fetches and checks, before any GPU is held."""

    number: Annotated[Count | None, doc("Which try it is, from 1.")] = None
    start_time: Annotated[Time | None, doc("When its pod was let go.")] = None
    restarts: Annotated[Restarts | None, doc("How often it was started anew.")] = None
    retry_time: Annotated[Time | None, doc("When it is tried again at the earliest.")] = None
    completion_time: Annotated[Time | None, doc("When weights and data were ready. Absent: they are not yet.")] = None


class FinishCheck(StatusPart):
    """The pod without GPUs that looks for the result of an attempt whose last message was lost."""

    number: Annotated[Count | None, doc("Which try it is, from 1.")] = None
    attempt: Annotated[Count | None, doc("The attempt whose result it looks for.")] = None
    reason: Annotated[
        Word | None, doc("Why: the attempt's last message was lost, or its pods could not start and this one waits.")
    ] = None
    start_time: Annotated[Time | None, doc("When its pod was let go.")] = None
    restarts: Annotated[Restarts | None, doc("How often it was started anew.")] = None
    completion_time: Annotated[Time | None, doc("When it was known what there is. Absent: not yet.")] = None


class Progress(StatusPart):
    """How far the training is, or what comes before it."""

    attempt: Annotated[Count | None, doc("Number of the attempt that says so.")] = None
    step: Annotated[Count | None, doc("The last finished step.")] = None
    total_steps: Annotated[Count | None, doc("Steps in all.")] = None
    percent: Annotated[Percent | None, doc("The one in percent of the other, rounded down.")] = None
    epoch: Annotated[SignedDecimal | None, doc("How many times the data was gone through.")] = None
    loss: Annotated[SignedDecimal | None, doc("Loss on the rows of the last step.")] = None
    evaluation_loss: Annotated[SignedDecimal | None, doc("Loss on the validation rows, when last measured.")] = None
    learning_rate: Annotated[SignedDecimal | None, doc("The learning rate of the last step.")] = None
    grad_norm: Annotated[SignedDecimal | None, doc("Norm of the last step's gradient, before it was cut.")] = None
    tokens_per_second: Annotated[Count | None, doc("Over all GPUs. Absent: not known, or no attempt runs.")] = None
    model_flop_utilization: Annotated[
        SignedDecimal | None,
        doc(
            "Part of the GPUs' peak that the model's own arithmetic reaches. Absent: not known, or no attempt runs.",
            alias="modelFLOPUtilization",
        ),
    ] = None
    data_wait_share: Annotated[SignedDecimal | None, doc("Part of the step time that was spent waiting for rows.")] = (
        None
    )
    memory_peak_bytes: Annotated[Size | None, doc("The most that one process of the attempt has held.")] = None
    eta_seconds: Annotated[
        Size | None, doc("About how long it still takes. Absent: not known, or no attempt runs.")
    ] = None
    bytes_done: Annotated[Size | None, doc("Bytes that were fetched.")] = None
    bytes_total: Annotated[Size | None, doc("Bytes to fetch in all.")] = None
    updated_time: Annotated[Time | None, doc("When the trainer reported this.")] = None


class TrainerNote(StatusPart):
    """Something that the trainer wanted a person to know."""

    message: Annotated[Text, doc("What.")]
    time: Annotated[Time, doc("When it said so.")]


class LossPoint(StatusPart):
    """One point of the loss curve."""

    step: Annotated[Count, doc("The step.")]
    loss: Annotated[SignedDecimal | None, doc("Loss on the rows of that step.")] = None
    evaluation_loss: Annotated[SignedDecimal | None, doc("Loss on the validation rows.")] = None


class CheckpointStatus(StatusPart):
    """The newest complete checkpoint."""

    step: Annotated[Count | None, doc("Its step.")] = None
    time: Annotated[Time | None, doc("When it was complete.")] = None
    path: Annotated[Line | None, doc("Its directory on the storage.")] = None


class Plan(StatusPart):
    """How the job will run."""

    pods: Annotated[Count | None, doc("Number of pods.")] = None
    gpus_per_pod: Annotated[Count | None, doc("GPUs of each.")] = None
    gpus: Annotated[Count | None, doc("GPUs in all.")] = None
    micro_batch: Annotated[Count | None, doc("Rows that one GPU takes at once.")] = None
    gradient_accumulation: Annotated[Count | None, doc("How many times before a step is made.")] = None
    micro_batch_before: Annotated[
        Count | None, doc("What `microBatch` was before memory ran out. Absent: it never did.")
    ] = None
    sharding: Annotated[Word | None, doc("How the model is spread over GPUs: 'None', 'DDP' or 'FSDP2'.")] = None
    estimated_memory_gib: Annotated[
        SignedDecimal | None, doc("Memory that a GPU will need, in GiB. Absent: not estimated.")
    ] = None
    estimated_hours: Annotated[
        SignedDecimal | None, doc("About how long it takes; known once the data is counted.")
    ] = None
    estimated_usd: Annotated[Dollars | None, doc("About what it costs, at the on-demand price.")] = None


class DroppedRows(StatusPart):
    """Rows that were left out for one reason."""

    reason: Annotated[Word, doc("Why.")]
    count: Annotated[Count, doc("How many.")]


class DatasetStatus(StatusPart):
    """What the check of the data found."""

    rows: Annotated[Count | None, doc("Rows that are learned.")] = None
    truncated: Annotated[Count | None, doc("Of these, rows that were cut at the context length.")] = None
    dropped: Annotated[
        tuple[DroppedRows, ...],
        doc("Rows that are not, by reason."),
        items(16, least=0),
        ListOf("map", keys=("reason",)),
    ] = ()
    tokens: Annotated[Size | None, doc("Tokens in all.")] = None


class PublishedResult(StatusPart):
    """One place where the result was published."""

    type: Annotated[Word, doc("What kind of place.")]
    location: Annotated[Line, doc("Where.")]


class OutputStatus(StatusPart):
    """The result."""

    path: Annotated[Line | None, doc("The directory that counts, on the storage.")] = None
    sha256: Annotated[SHA256 | None, doc("Hash of its `result.json`.")] = None
    size_bytes: Annotated[Size | None, doc("Size of all its files together, in bytes.")] = None
    published: Annotated[tuple[PublishedResult, ...], doc("Where it was published."), items(8, least=0)] = ()


class JobCost(StatusPart):
    """What the job cost."""

    compute_usd: Annotated[Dollars | None, doc("Its share of the cluster's price, over all attempts.")] = None
    lost_usd: Annotated[Dollars | None, doc("The part of it that was spent on steps that were lost.")] = None
    lost_steps: Annotated[Count | None, doc("Steps that had to be trained again.")] = None


class PodStatus(StatusPart):
    """One pod of the attempt."""

    name: Annotated[Line, doc("The pod.")]
    node: Annotated[Line | None, doc("Its node.")] = None
    reason: Annotated[Line | None, doc("Why it does not run, or what it does.")] = None


class Failure(StatusPart):
    """Why the job failed."""

    class_: Annotated[Word | None, doc("'User', 'Infrastructure' or 'Unclassified'.", alias="class")] = None
    reason: Annotated[Word | None, doc("Why, in one word.")] = None
    message: Annotated[Text | None, doc("Why, in the trainer's own words where it had any.")] = None


class FineTuneJobStatus(Status):
    """What is known about the job."""

    state: Annotated[Word | None, doc("One word for people, from the conditions; programs read those.")] = None
    model_name: Annotated[Line | None, doc("The base model by the one name that its type uses; for tables.")] = None
    stage: Annotated[
        Word | None, doc("What the trainer does, in its own word: 'Fetching', 'Preparing', 'Training', ...")
    ] = None
    cluster_name: Annotated[Line | None, doc("The GPUCluster of the job.")] = None
    admission: Annotated[Admission | None, doc("The GPUs that are held for the job, or that it had last.")] = None
    blamed_nodes: Annotated[
        tuple[Line, ...], doc("Nodes that its next attempt avoids."), items(64, least=0), ListOf("set")
    ] = ()
    queue: Annotated[QueueStatus | None, doc("How it waits.")] = None
    preparation: Annotated[Preparation | None, doc("Fetching and checking, before any GPU is held.")] = None
    attempt: Annotated[Count | None, doc("Number of the attempt, from 1.")] = None
    finish_check: Annotated[FinishCheck | None, doc("The search for a result whose message was lost.")] = None
    restarts: Annotated[Restarts | None, doc("How often it was started anew.")] = None
    pinned: Annotated[Pinned | None, doc("What was resolved once and holds for every attempt.")] = None
    progress: Annotated[Progress | None, doc("How far the training is.")] = None
    trainer_note: Annotated[
        TrainerNote | None, doc("The last thing that the trainer wanted a person to know; each is an Event too.")
    ] = None
    loss_history: Annotated[
        tuple[LossPoint, ...], doc("The loss curve, thinned out."), items(64, least=0), ListOf("map", keys=("step",))
    ] = ()
    checkpoint: Annotated[CheckpointStatus | None, doc("The newest complete checkpoint.")] = None
    plan: Annotated[Plan | None, doc("How the job will run.")] = None
    dataset: Annotated[DatasetStatus | None, doc("What the check of the data found.")] = None
    output: Annotated[OutputStatus | None, doc("The result.")] = None
    cost: Annotated[JobCost | None, doc("What it cost.")] = None
    pods: Annotated[
        tuple[PodStatus, ...], doc("Pods of the attempt."), items(64, least=0), ListOf("map", keys=("name",))
    ] = ()
    failure: Annotated[Failure | None, doc("Why it failed.")] = None
    log_tail: Annotated[LongText | None, doc("The last lines of the log, when it failed.")] = None
    completion_time: Annotated[Time | None, doc("When it succeeded or failed.")] = None
    start_time: Annotated[Time | None, doc("When its GPUs were first granted.")] = None
    last_handled_reconcile_time: Annotated[
        Line | None, doc("The value of the annotation `tunesmith.dev/reconcile-requested-at` that was answered last.")
    ] = None
