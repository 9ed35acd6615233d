"""Where and under which rules a FineTuneJob runs: resources, placement, queue, recovery, budget, what stays."""

from enum import StrEnum
from typing import Annotated, ClassVar

from tunesmith.resources.fine_tune_job_training import Publication
from tunesmith.resources.gpu_cluster_parts import AcceptanceTests, AddOn, Components, Driver, GPUClusterBudget
from tunesmith.resources.purchase import Alternative
from tunesmith.resources.references import NameReference
from tunesmith.resources.schema import (
    URL,
    AnnotationValue,
    Count,
    DNSName,
    Dollars,
    Flag,
    LabelKey,
    LabelValue,
    Line,
    ListOf,
    Part,
    ProviderID,
    ProviderName,
    Rule,
    Seconds,
    StoragePath,
    between,
    doc,
    items,
    union,
)

Labels = dict[str, LabelValue]
Annotations = dict[str, AnnotationValue]


class Output(Part):
    """What comes out, and where it goes."""

    path: Annotated[StoragePath | None, doc("Directory on the storage for results. Absent: 'outputs/<name>'.")] = None
    merge_model: Annotated[Flag, doc("Whether the adapter is merged into the model besides.")] = False
    publish: Annotated[
        tuple[Publication, ...], doc("Places where the result is published after training."), items(8)
    ] = ()


class Preemptible(StrEnum):
    """Whether nodes may be used that the provider can take away."""

    FORBID = "Forbid"
    ALLOW = "Allow"
    REQUIRE = "Require"


class GPUResources(Part):
    """How many GPUs the job trains on."""

    gpus: Annotated[
        Annotated[int, between(1, 8192)] | None, doc("GPUs in all. Absent: sized from the memory estimate.")
    ] = None
    gpus_per_pod: Annotated[
        Annotated[int, between(1, 8)] | None,
        doc("GPUs of one pod; divides `gpus`. Absent: up to 8, the GPUs of a node."),
    ] = None
    gpu_type: Annotated[ProviderName | None, doc("Only this kind of GPU, in the provider's words.")] = None
    preemptible: Annotated[Preemptible, doc("Whether to run on nodes that the provider can take away.")] = (
        Preemptible.FORBID
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.gpus) || !has(self.gpusPerPod) || self.gpus % self.gpusPerPod == 0",
            message="`gpus` must be a multiple of `gpusPerPod`: every pod gets the same number.",
            holds=lambda wanted: (
                wanted.gpus is None or wanted.gpus_per_pod is None or wanted.gpus % wanted.gpus_per_pod == 0
            ),
            field_path=".gpus",
        ),
    )


class PlacementType(StrEnum):
    """Where the pods go."""

    LOCAL = "Local"
    CLUSTER = "Cluster"
    SELECTOR = "Selector"
    TEMPLATE = "Template"


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Part):
    """A taint that the pods put up with."""

    key: Annotated[LabelKey, doc("The taint's key.")]
    operator: Annotated[TolerationOperator, doc("'Exists' takes any value, 'Equal' only `value`.")] = (
        TolerationOperator.EQUAL
    )
    value: Annotated[LabelValue | None, doc("The taint's value, with 'Equal'.")] = None
    effect: Annotated[TaintEffect | None, doc("The taint's effect. Absent: any.")] = None
    toleration_seconds: Annotated[Count | None, doc("With 'NoExecute': how long to stay.")] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.operator != 'Exists' || !has(self.value)",
            message="`value` must not be set when `operator` is 'Exists'.",
            holds=lambda toleration: toleration.operator is not TolerationOperator.EXISTS or toleration.value is None,
            reason="FieldValueForbidden",
        ),
    )


class LocalPlacement(Part):
    """Where in the operator's own cluster the pods go."""

    node_selector: Annotated[Labels | None, doc("Only nodes with these labels."), items(32)] = None
    tolerations: Annotated[tuple[Toleration, ...], doc("Taints that the pods put up with."), items(32)] = ()
    pod_labels: Annotated[Labels | None, doc("Labels for the pods."), items(32)] = None
    pod_annotations: Annotated[Annotations | None, doc("Annotations for the pods."), items(32)] = None
    rdma_resource: Annotated[
        LabelKey | None, doc("Name of the RDMA resource that a pod asks for, such as 'rdma/ib'. Absent: none.")
    ] = None


class ClusterSelector(Part):
    """GPUClusters of this namespace by label; the first that can take the job, the cheapest first."""

    match_labels: Annotated[Labels, doc("Labels that a GPUCluster must have."), items(32)]


class ClusterTemplate(Part):
    """The GPUCluster that is made for this job, OnDemand, and deleted when the job ends."""

    region: Annotated[ProviderName, doc("Where to buy, in the provider's words.")]
    gpu_type: Annotated[ProviderName, doc("The kind of GPU, in the provider's words.")]
    alternatives: Annotated[
        tuple[Alternative, ...], doc("Tried in this order when the first choice is out of stock."), items(16)
    ] = ()
    nodes: Annotated[Annotated[int, between(1, 4096)], doc("Number of GPU nodes; a node has 8 GPUs.")]
    driver: Annotated[Driver | None, doc("The NVIDIA driver. Absent: the newest of the region.")] = None
    project_id: Annotated[ProviderID | None, doc("The provider's project that pays.")] = None
    volume_ref: Annotated[NameReference | None, doc("The SharedVolume to attach; the job's storage.")] = None
    components: Annotated[Components | None, doc("What the provider installs into the cluster.")] = None
    add_ons: Annotated[
        tuple[AddOn, ...], doc("The provider's add-ons, by name."), items(16), ListOf("map", keys=("name",))
    ] = ()
    acceptance_tests: Annotated[AcceptanceTests | None, doc("Hardware tests before the cluster is used.")] = None
    budget: Annotated[GPUClusterBudget | None, doc("The most that may be spent on the cluster.")] = None
    credentials_ref: Annotated[
        NameReference | None, doc("Secret with `apiKey`. Absent: the installation's credential.")
    ] = None


class OnClusterLost(StrEnum):
    """What to do when the cluster is gone."""

    WAIT = "Wait"
    FAIL = "Fail"


class Placement(Part):
    """Where the pods go."""

    type: Annotated[
        PlacementType,
        doc(
            "'Local' for the operator's own cluster, 'Cluster' for a GPUCluster by name, 'Selector' for one by label, "
            "'Template' for one that is made for this job."
        ),
    ]
    local: Annotated[LocalPlacement | None, doc("Where in the operator's own cluster.")] = None
    cluster: Annotated[NameReference | None, doc("The GPUCluster.")] = None
    selector: Annotated[ClusterSelector | None, doc("Which GPUClusters may take the job.")] = None
    template: Annotated[ClusterTemplate | None, doc("The GPUCluster to make.")] = None
    on_cluster_lost: Annotated[
        OnClusterLost, doc("When the cluster is gone: 'Wait' for it to come again, or 'Fail'.")
    ] = OnClusterLost.WAIT

    rules: ClassVar[tuple[Rule, ...]] = union(
        PlacementType, needed=("Cluster", "Selector", "Template"), optional=("Local",)
    )


class Queue(Part):
    """How the job waits for its GPUs."""

    priority_class_name: Annotated[DNSName | None, doc("A PriorityClass; higher ones go first. May be changed.")] = None
    max_wait_seconds: Annotated[Seconds | None, doc("Give up after waiting this long.")] = None


class LowUtilizationAction(StrEnum):
    """What to do about GPUs that do little."""

    WARN = "Warn"
    SUSPEND = "Suspend"
    FAIL = "Fail"


class LowUtilization(Part):
    """GPUs that are paid for and do little."""

    min_gpu_percent: Annotated[Annotated[int, between(1, 100)], doc("Less than this is little.")]
    window_seconds: Annotated[Seconds, doc("For this long.")]
    action: Annotated[LowUtilizationAction, doc("What to do about it.")] = LowUtilizationAction.WARN


class Recovery(Part):
    """What happens after a failure. User errors are never retried; infrastructure faults are counted apart."""

    max_restarts: Annotated[Annotated[int, between(0, 100)], doc("Restarts after failures of unknown kind.")] = 3
    max_infrastructure_restarts: Annotated[
        Annotated[int, between(0, 1000)], doc("Restarts after faults of nodes, network or provider.")
    ] = 10
    stall_timeout_seconds: Annotated[
        Annotated[int, between(60, 86400)], doc("Silence for this long, while the log can be read, is a stall.")
    ] = 900
    low_utilization: Annotated[LowUtilization | None, doc("What to do about GPUs that do little.")] = None
    hold_on_failure_seconds: Annotated[
        Annotated[int, between(0, 86400)], doc("Keep pods and GPUs this long after a failure, to look into it.")
    ] = 0


class AllReduce(StrEnum):
    """Whether the network is tried first."""

    SKIP = "Skip"
    RUN = "Run"


class Preflight(Part):
    """Checks before training."""

    all_reduce: Annotated[
        AllReduce, doc("'Run' lets all GPUs talk to each other first, so that a bad link is found early.")
    ] = AllReduce.SKIP


class JobBudgetAction(StrEnum):
    """What a spent budget does."""

    WARN = "Warn"
    SUSPEND_AFTER_SAVE = "SuspendAfterSave"
    FAIL = "Fail"


class JobBudget(Part):
    """The most that the job may spend."""

    max_usd: Annotated[Dollars, doc("US dollars over all attempts, in quotes, such as '40.00'.")]
    action: Annotated[JobBudgetAction, doc("What happens when it is spent.")] = JobBudgetAction.WARN


class OnDelete(StrEnum):
    """What deletion does to a running job."""

    SAVE = "Save"
    ABORT = "Abort"


class RetainedCheckpoints(StrEnum):
    """Which checkpoints stay."""

    BEST = "Best"
    LAST = "Last"
    ALL = "All"
    NONE = "None"


class Retention(Part):
    """What stays on the storage after the end."""

    checkpoints: Annotated[RetainedCheckpoints, doc("Which checkpoints stay.")] = RetainedCheckpoints.LAST
    logs_seconds: Annotated[Count | None, doc("How long logs stay. Absent: until the job is deleted.")] = None
    cache_max_gib: Annotated[
        Count | None, doc("How large the cache of weights and data may be, in GiB. Absent: no limit.")
    ] = None


class TrackingType(StrEnum):
    """A system that records trainings."""

    WANDB = "WandB"
    MLFLOW = "MLflow"
    TENSORBOARD = "TensorBoard"


class Tracking(Part):
    """One system that records the training."""

    type: Annotated[TrackingType, doc("Which system.")]
    project: Annotated[Line | None, doc("Project or experiment there.")] = None
    entity: Annotated[Line | None, doc("Team or user there, for WandB.")] = None
    endpoint: Annotated[URL | None, doc("Address of a server of one's own.")] = None
    secret_ref: Annotated[NameReference | None, doc("Secret with the key under `token`.")] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.type != 'MLflow' || has(self.endpoint)",
            message="`endpoint` must be set when `type` is 'MLflow': MLflow has no server of its own.",
            holds=lambda one: one.type is not TrackingType.MLFLOW or one.endpoint is not None,
            field_path=".endpoint",
        ),
        Rule(
            cel="self.type != 'TensorBoard' || !has(self.endpoint) && !has(self.secretRef)",
            message="`endpoint` and `secretRef` must not be set when `type` is 'TensorBoard', which only writes files.",
            holds=lambda one: (
                one.type is not TrackingType.TENSORBOARD or (one.endpoint is None and one.secret_ref is None)
            ),
            reason="FieldValueForbidden",
        ),
    )
