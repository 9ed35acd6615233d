"""The parts of a GPUCluster's spec."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from tunesmith.resources.schema import (
    IMMUTABLE,
    URL,
    Count,
    Dollars,
    Flag,
    Line,
    ListOf,
    LongText,
    Part,
    PositiveCount,
    ProviderID,
    ProviderName,
    Rule,
    Seconds,
    Time,
    Word,
    at_most_one,
    between,
    doc,
    exactly_one,
    items,
)

Version = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
CronLine = Annotated[
    str, StringConstraints(min_length=9, max_length=128, pattern=r"^[!-~]+ [!-~]+ [!-~]+ [!-~]+ [!-~]+$")
]


class ClusterType(StrEnum):
    """What runs on the nodes."""

    KUBERNETES = "Kubernetes"
    SLURM = "Slurm"


class ScaleDownPolicy(StrEnum):
    """What a smaller number of nodes means for running jobs."""

    WHEN_IDLE = "WhenIdle"
    DRAIN_JOBS = "DrainJobs"


class RecreatePolicy(StrEnum):
    """What to do when a bought cluster vanished."""

    NEVER = "Never"
    WHEN_GONE = "WhenGone"


class BillingType(StrEnum):
    """How the provider is paid."""

    ON_DEMAND = "OnDemand"
    RESERVED = "Reserved"
    SCHEDULED_CAPACITY = "ScheduledCapacity"


class Driver(Part):
    """Which NVIDIA driver the nodes run: the provider's id of one, or both versions."""

    version_id: Annotated[
        ProviderID | None, doc("The provider's id of a driver; see `kubectl get gpuregions -o yaml`.")
    ] = None
    cuda_version: Annotated[Version | None, doc("CUDA version, such as '12.8'; together with `driverVersion`.")] = None
    driver_version: Annotated[
        Version | None, doc("NVIDIA driver version, such as '570'; together with `cudaVersion`.")
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one("versionID", "cudaVersion", attributes=("version_id", "cuda_version")),
        Rule(
            cel="has(self.cudaVersion) == has(self.driverVersion)",
            message="`cudaVersion` and `driverVersion` must be set together.",
            holds=lambda driver: (driver.cuda_version is None) == (driver.driver_version is None),
        ),
    )


class CapacityPool(Part):
    """GPUs that were set aside for the account."""

    id: Annotated[ProviderID, doc("The provider's id of the pool."), IMMUTABLE]
    nodes: Annotated[PositiveCount, doc("How many of the nodes come from the pool; may be changed.")]


class Billing(Part):
    """How the cluster is paid."""

    type: Annotated[
        BillingType,
        doc("'OnDemand' by the hour, 'Reserved' for a number of days, 'ScheduledCapacity' between two times."),
        IMMUTABLE,
    ] = BillingType.ON_DEMAND
    duration_days: Annotated[
        Annotated[int, between(1, 365)] | None, doc("Length of a reservation in days."), IMMUTABLE
    ] = None
    start_time: Annotated[Time | None, doc("When scheduled capacity begins."), IMMUTABLE] = None
    end_time: Annotated[
        Time | None, doc("When scheduled capacity ends; may be moved. With 'Reserved': moves the end, to later only.")
    ] = None
    reserved_nodes: Annotated[
        Count | None, doc("With 'Reserved': how many of the nodes are reserved; may be changed. Absent: all.")
    ] = None
    preemptible_nodes: Annotated[
        PositiveCount | None,
        doc("How many of the nodes the provider may take away; cheaper. Needs `projectID`."),
    ] = None
    capacity_pool: Annotated[CapacityPool | None, doc("A capacity pool of the account to take nodes from.")] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.type == 'Reserved') == has(self.durationDays)",
            message="`durationDays` must be set when `type` is 'Reserved' and must not be set otherwise.",
            holds=lambda billing: (billing.type is BillingType.RESERVED) == (billing.duration_days is not None),
        ),
        Rule(
            cel="(self.type == 'ScheduledCapacity') == has(self.startTime)",
            message="`startTime` must be set when `type` is 'ScheduledCapacity' and must not be set otherwise.",
            holds=lambda billing: (billing.type is BillingType.SCHEDULED_CAPACITY) == (billing.start_time is not None),
        ),
        Rule(
            cel="self.type != 'ScheduledCapacity' || has(self.endTime)",
            message="`endTime` must be set when `type` is 'ScheduledCapacity'.",
            holds=lambda billing: billing.type is not BillingType.SCHEDULED_CAPACITY or billing.end_time is not None,
        ),
        Rule(
            cel="self.type != 'OnDemand' || !has(self.endTime)",
            message="`endTime` must not be set when `type` is 'OnDemand'; use `expireAfterSeconds`.",
            holds=lambda billing: billing.type is not BillingType.ON_DEMAND or billing.end_time is None,
            reason="FieldValueForbidden",
        ),
        Rule(
            cel="!has(self.startTime) || !has(self.endTime) || timestamp(self.endTime) > timestamp(self.startTime)",
            message="`endTime` must be later than `startTime`.",
            holds=lambda billing: (
                billing.start_time is None or billing.end_time is None or billing.end_time > billing.start_time
            ),
        ),
        Rule(
            # provider: only a reservation's count can be changed, and of scheduled capacity every node is paid ahead
            cel="self.type == 'Reserved' || !has(self.reservedNodes)",
            message="`reservedNodes` must not be set unless `type` is 'Reserved'.",
            holds=lambda billing: billing.type is BillingType.RESERVED or billing.reserved_nodes is None,
            reason="FieldValueForbidden",
        ),
        Rule(
            cel="has(self.capacityPool) == has(oldSelf.capacityPool)",
            message="`capacityPool` may not be added or removed after creation; its `nodes` may be changed.",
            reason="FieldValueForbidden",
        ),
    )


class Slurm(Part):
    """Settings of a Slurm cluster."""

    shared_memory_gib: Annotated[Annotated[int, between(1, 4096)], doc("Shared memory of a Slurm node, in GiB.")]
    image: Annotated[Line | None, doc("Image of the Slurm nodes. Absent: the provider's.")] = None


class LoadBalancer(StrEnum):
    """The load balancer that the provider installs."""

    NONE = "None"
    TRAEFIK = "Traefik"
    NGINX = "Nginx"
    ISTIO = "Istio"


class Installation(StrEnum):
    """Whether the provider installs a component."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Components(Part):
    """What the provider installs into the cluster."""

    load_balancer: Annotated[LoadBalancer | None, doc("The load balancer. Absent: the provider's default.")] = None
    ingress: Annotated[Installation | None, doc("Whether an ingress controller is installed.")] = None
    observability: Annotated[Installation | None, doc("Whether the provider's monitoring is installed.")] = None
    dashboard: Annotated[Installation | None, doc("Whether the Kubernetes dashboard is installed.")] = None
    gpu_operator_version: Annotated[Version | None, doc("Version of NVIDIA's GPU operator.")] = None
    network_operator_version: Annotated[Version | None, doc("Version of NVIDIA's network operator.")] = None


class AddOn(Part):
    """One add-on of the provider."""

    name: Annotated[ProviderName, doc("The add-on, in the provider's words, such as 'headlamp'.")]
    enabled: Annotated[Flag, doc("Whether it runs.")] = True


class OIDC(Part):
    """How people log in to the cluster."""

    issuer_url: Annotated[URL, doc("The identity provider.")]
    client_id: Annotated[Line, doc("The client that tokens must be made for.")]
    username_claim: Annotated[Word, doc("The claim that names the user.")] = "sub"
    username_prefix: Annotated[
        Word | None, doc("Put before user names. Absent: 'oidc:', so that no token can name a user of the system.")
    ] = None
    groups_claim: Annotated[Word, doc("The claim that names the groups.")] = "groups"
    groups_prefix: Annotated[Word | None, doc("Put before group names. Absent: 'oidc:'.")] = None
    ca_certificate: Annotated[
        LongText | None, doc("PEM certificate that signs the issuer's. Absent: the system's.")
    ] = None


class DCGMLevel(StrEnum):
    """How long NVIDIA's diagnostic takes."""

    SHORT = "Short"
    MEDIUM = "Medium"
    LONG = "Long"
    EXTENDED = "Extended"


class AcceptanceTest(StrEnum):
    """A test that can be left out."""

    DCGM = "DCGM"
    GPU_BURN = "GPUBurn"
    NCCL_SINGLE_NODE = "NCCLSingleNode"
    NCCL_MULTI_NODE = "NCCLMultiNode"
    STORAGE = "Storage"


class AcceptanceTests(Part):
    """Hardware tests before the cluster is handed over."""

    dcgm_level: Annotated[DCGMLevel, doc("How thorough NVIDIA's diagnostic is.")] = DCGMLevel.MEDIUM
    gpu_burn_seconds: Annotated[
        Annotated[int, between(1, 86400)] | None, doc("How long the GPUs burn. Absent: the provider's default.")
    ] = None
    skip: Annotated[tuple[AcceptanceTest, ...], doc("Tests to leave out."), items(5), ListOf("set")] = ()


class Adoption(Part):
    """Which existing cluster to take over."""

    cluster_id: Annotated[ProviderID | None, doc("The provider's id of the cluster.")] = None
    cluster_name: Annotated[
        ProviderName | None, doc("The cluster's name at the provider; must be the only one of it.")
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one("clusterID", "clusterName", attributes=("cluster_id", "cluster_name")),
    )


class Reacquire(StrEnum):
    """When an idle cluster that was given back is bought again."""

    NEVER = "Never"
    WHEN_JOB_WAITS = "WhenJobWaits"


class Idle(Part):
    """What to do with a cluster that nothing uses."""

    warn_after_seconds: Annotated[Seconds | None, doc("Warn after this long.")] = None
    delete_after_seconds: Annotated[
        Seconds | None, doc("Give the cluster back after this long; this resource stays. OnDemand only.")
    ] = None
    reacquire: Annotated[Reacquire, doc("When to buy it again.")] = Reacquire.NEVER


class Schedule(Part):
    """Office hours."""

    start: Annotated[CronLine, doc("When the cluster is bought, as a cron line, such as '0 8 * * 1-5'.")]
    stop: Annotated[CronLine, doc("When it is given back, as a cron line, such as '0 20 * * *'.")]
    time_zone: Annotated[Word, doc("The time zone of both, such as 'Europe/Berlin'.")] = "Etc/UTC"


class ClusterBudgetAction(StrEnum):
    """What a spent budget does."""

    WARN = "Warn"
    STOP_ADMISSION = "StopAdmission"
    RELEASE = "Release"


class GPUClusterBudget(Part):
    """The most that may be spent."""

    max_usd: Annotated[Dollars, doc("US dollars over the resource's whole life, in quotes, such as '250.00'.")]
    action: Annotated[
        ClusterBudgetAction,
        doc(
            "'Warn' tells, 'StopAdmission' starts no further jobs, 'Release' lets jobs save and gives the cluster back."
        ),
    ] = ClusterBudgetAction.WARN


class RepairMode(StrEnum):
    """What is done to a broken node."""

    OFF = "Off"
    REBOOT = "Reboot"
    REPLACE = "Replace"
    REBOOT_THEN_REPLACE = "RebootThenReplace"


class ProviderProposals(StrEnum):
    """What is done about repairs that the provider proposes."""

    IGNORE = "Ignore"
    APPROVE = "Approve"


class Repair(Part):
    """What to do about broken nodes."""

    mode: Annotated[
        RepairMode, doc("'Reboot' the machine, 'Replace' it by another host, or the one and then the other.")
    ] = RepairMode.OFF
    max_unavailable: Annotated[PositiveCount | None, doc("The most nodes under repair at once. Absent: 1.")] = None
    max_unavailable_percent: Annotated[
        Annotated[int, between(1, 100)] | None, doc("The same in percent of the nodes, at least one node.")
    ] = None
    provider_proposals: Annotated[
        ProviderProposals, doc("Whether to approve the repairs that the provider proposes.")
    ] = ProviderProposals.IGNORE

    rules: ClassVar[tuple[Rule, ...]] = (
        at_most_one(
            "maxUnavailable", "maxUnavailablePercent", attributes=("max_unavailable", "max_unavailable_percent")
        ),
    )


class Drift(Part):
    """How the provider's view is compared with the spec."""

    interval_seconds: Annotated[
        Annotated[int, between(1, 86400)],
        doc(
            "The provider is looked at at least this often (jitter only shortens it); 5 or less with preemptible nodes."
        ),
    ] = 60
