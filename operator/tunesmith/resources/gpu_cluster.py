"""GPUCluster: one Together Instant Cluster that somebody wants to have."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.resources.gpu_cluster_parts import (
    OIDC,
    AcceptanceTests,
    AddOn,
    Adoption,
    Billing,
    BillingType,
    ClusterType,
    Components,
    Drift,
    Driver,
    GPUClusterBudget,
    Idle,
    Reacquire,
    RecreatePolicy,
    Repair,
    ScaleDownPolicy,
    Schedule,
    Slurm,
)
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.metadata import Resource
from tunesmith.resources.purchase import AdoptionPolicy, Alternative, DeletionPolicy, ManagementPolicy
from tunesmith.resources.references import NameReference
from tunesmith.resources.schema import (
    IMMUTABLE,
    DNSName,
    ListOf,
    Part,
    ProviderID,
    ProviderName,
    Rule,
    Seconds,
    between,
    doc,
    items,
)

GPUS_PER_NODE = 8

CONDITIONS = (
    "Ready",
    "Reconciling",
    "Stalled",
    "Provisioned",
    "KubeconfigAvailable",
    "NodesHealthy",
    "AcceptanceTested",
    "Drifted",
    "Idle",
    "WithinBudget",
)


def _needed_unless_adopted(name: str, attribute: str) -> Rule:
    return Rule(
        cel=f"has(self.adopt) || has(self.{name})",
        message=f"`{name}` must be set, unless `adopt` names a cluster that exists.",
        holds=lambda spec: spec.adopt is not None or getattr(spec, attribute) is not None,
        reason="FieldValueRequired",
    )


def _on_demand_only(path: str, *, absent: str, is_absent: Callable[[Any], bool]) -> Rule:
    return Rule(
        cel=f"self.billing.type == 'OnDemand' || {absent}",
        message=(
            f"`{path}` must not be set unless `billing.type` is 'OnDemand': prepaid clusters are not given back early."
        ),
        holds=lambda spec: spec.billing.type is BillingType.ON_DEMAND or is_absent(spec),
        reason="FieldValueForbidden",
    )


def _fewer_than_nodes(name: str, attribute: str, *, or_all: bool) -> Rule:
    """provider: at least one standard node stays beside preemptible ones."""
    sign, words = ("<=", "not be more than `nodes`") if or_all else ("<", "be fewer than `nodes`: one stays standard")

    def holds(spec: Any) -> bool:
        count = getattr(spec.billing, attribute)
        return count is None or spec.nodes is None or count < spec.nodes + or_all

    return Rule(
        cel=f"!has(self.billing.{name}) || !has(self.nodes) || self.billing.{name} {sign} self.nodes",
        message=f"`billing.{name}` must {words}.",
        holds=holds,
    )


def _never_bought_again(path: str, *, absent: str, is_absent: Callable[[Any], bool]) -> Rule:
    """A cluster that was adopted is never bought, so what would buy it again is refused, not ignored."""
    why = "a cluster that was adopted is not bought again."
    return _not_with_adopt(path, why, absent=absent, is_absent=is_absent)


def _not_with_adopt(path: str, why: str, *, absent: str, is_absent: Callable[[Any], bool]) -> Rule:
    """What has no effect on a cluster that exists, and cannot be compared with it, is refused, not ignored."""
    return Rule(
        cel=f"!has(self.adopt) || {absent}",
        message=f"`{path}` must not be set with `adopt`: {why}",
        holds=lambda spec: spec.adopt is None or is_absent(spec),
        reason="FieldValueForbidden",
    )


class GPUClusterSpec(Part):
    """What is wanted of the cluster."""

    region: Annotated[
        ProviderName | None,
        doc("Where to buy, in the provider's words; see `kubectl get gpuregions`. May be left out with `adopt`."),
        IMMUTABLE,
    ] = None
    gpu_type: Annotated[
        ProviderName | None,
        doc("The kind of GPU, in the provider's words, such as 'H100_SXM'. May be left out with `adopt`."),
        IMMUTABLE,
    ] = None
    cluster_type: Annotated[
        ClusterType, doc("What runs on the cluster; training jobs need 'Kubernetes'."), IMMUTABLE
    ] = ClusterType.KUBERNETES
    alternatives: Annotated[
        tuple[Alternative, ...],
        doc(
            "Tried in this order when the first choice is out of stock; "
            "`status.choice` says which was taken. With a bound volume "
            "only those of its region are tried. May be changed until the cluster is bought."
        ),
        items(16),
    ] = ()
    nodes: Annotated[
        Annotated[int, between(1, 4096)] | None,
        doc("Number of GPU nodes; a node has 8 GPUs. May be raised and lowered; the target of `kubectl scale`."),
    ] = None
    max_nodes: Annotated[
        Annotated[int, between(1, 4096)] | None,
        doc(
            "Turns on the provider's autoscaling up to this many nodes. `nodes` is "
            "then only the first size, and the provider owns "
            "the size between."
        ),
        IMMUTABLE,
    ] = None
    scale_down_policy: Annotated[
        ScaleDownPolicy,
        doc(
            "'WhenIdle' never goes below what admitted jobs hold; 'DrainJobs' "
            "lets jobs save and moves them out of the way."
        ),
    ] = ScaleDownPolicy.WHEN_IDLE
    driver: Annotated[
        Driver | None,
        doc(
            "The NVIDIA driver: by the provider's id, or by CUDA and driver version. Absent: the newest of the region."
        ),
        IMMUTABLE,
    ] = None
    billing: Annotated[Billing, doc("How the cluster is paid.")] = Billing()
    project_id: Annotated[
        ProviderID | None, doc("The provider's project that pays. Absent: the credential's default."), IMMUTABLE
    ] = None
    volume_ref: Annotated[
        NameReference | None,
        doc("The SharedVolume to attach. The provider attaches volumes only while it makes a cluster."),
        IMMUTABLE,
    ] = None
    slurm: Annotated[
        Slurm | None, doc("Settings of Slurm; needed for, and only with, `clusterType` 'Slurm'."), IMMUTABLE
    ] = None
    components: Annotated[Components | None, doc("What the provider installs into the cluster.")] = None
    add_ons: Annotated[
        tuple[AddOn, ...],
        doc("The provider's add-ons, by name."),
        items(16),
        ListOf("map", keys=("name",)),
    ] = ()
    oidc: Annotated[
        OIDC | None, doc("How people log in to the cluster. The operator keeps the admin kubeconfig."), IMMUTABLE
    ] = None
    acceptance_tests: Annotated[
        AcceptanceTests | None,
        doc(
            "Hardware tests before the cluster is handed over. Absent: the provider's default. "
            "May be removed, to use a cluster whose tests do not show or failed."
        ),
    ] = None
    credentials_ref: Annotated[
        NameReference | None,
        doc(
            "Secret with `apiKey` and, if wanted, `projectID`. Absent: the "
            "installation's credential, if it allows this namespace."
        ),
    ] = None
    management_policy: Annotated[
        ManagementPolicy, doc("'Manage' buys, changes and deletes; 'Observe' only watches and needs `adopt`.")
    ] = ManagementPolicy.MANAGE
    adopt: Annotated[
        Adoption | None,
        doc("Take over, or with 'Observe' only watch, a cluster that exists. The purchase fields are then optional."),
        IMMUTABLE,
    ] = None
    adoption_policy: Annotated[
        AdoptionPolicy,
        doc(
            "What to do when a cluster that was bought for this resource before "
            "still exists (a rebuilt or restored management "
            "cluster): 'Ask' buys nothing and waits, 'SameIdentity' takes it over, 'BuyNew' buys another."
        ),
    ] = AdoptionPolicy.ASK
    recreate_policy: Annotated[
        RecreatePolicy,
        doc("What to do when the bought cluster vanished: 'Never' reports it, 'WhenGone' buys it again."),
    ] = RecreatePolicy.NEVER
    deletion_policy: Annotated[
        DeletionPolicy, doc("What becomes of the provider's cluster when this resource is deleted.")
    ] = DeletionPolicy.DELETE
    idle: Annotated[
        Idle | None,
        doc(
            "What to do with a cluster that nothing uses: no admitted job, no pod with GPUs, no keep-alive annotation. "
            "Absent: a warning after 1800 seconds, unless the installation says otherwise."
        ),
    ] = None
    expire_after_seconds: Annotated[
        Seconds | None,
        doc("Give the cluster back this long after it was first Ready; jobs save first. OnDemand only."),
    ] = None
    schedule: Annotated[
        Schedule | None,
        doc("The hours in which the cluster exists; never stopped under an admitted job. OnDemand only."),
    ] = None
    budget: Annotated[GPUClusterBudget | None, doc("The most that may be spent over the resource's whole life.")] = None
    repair: Annotated[Repair | None, doc("What to do about broken nodes, by the provider's remediation calls.")] = None
    drift: Annotated[Drift, doc("How the provider's cluster is compared with this spec.")] = Drift()
    kubeconfig_secret_name: Annotated[
        DNSName | None,
        doc(
            "Secret that receives the cluster's kubeconfig under the key `value`. "
            "Absent: '<name>-kubeconfig'. A Secret that is not "
            "ours is never overwritten."
        ),
        IMMUTABLE,
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        _needed_unless_adopted("region", "region"),
        _needed_unless_adopted("gpuType", "gpu_type"),
        _needed_unless_adopted("nodes", "nodes"),
        Rule(
            cel="self.managementPolicy != 'Observe' || has(self.adopt)",
            message="`adopt` must be set when `managementPolicy` is 'Observe': there is nothing to watch otherwise.",
            holds=lambda spec: spec.management_policy is not ManagementPolicy.OBSERVE or spec.adopt is not None,
            reason="FieldValueRequired",
        ),
        Rule(
            cel="(self.clusterType == 'Slurm') == has(self.slurm)",
            message="`slurm` must be set with `clusterType` 'Slurm' and must not be set otherwise.",
            holds=lambda spec: (spec.cluster_type is ClusterType.SLURM) == (spec.slurm is not None),
        ),
        Rule(
            cel="!has(self.maxNodes) || !has(self.nodes) || self.maxNodes >= self.nodes",
            message="`maxNodes` must be at least `nodes`.",
            holds=lambda spec: spec.max_nodes is None or spec.nodes is None or spec.max_nodes >= spec.nodes,
            field_path=".maxNodes",
        ),
        Rule(
            cel="!has(self.billing.preemptibleNodes) || has(self.projectID)",
            message=(
                "`projectID` must be set with `billing.preemptibleNodes`: the "
                "provider bills preemptible nodes to a project."
            ),
            holds=lambda spec: spec.billing.preemptible_nodes is None or spec.project_id is not None,
            reason="FieldValueRequired",
        ),
        Rule(
            cel="!has(self.billing.preemptibleNodes) || self.clusterType == 'Kubernetes'",
            message="`billing.preemptibleNodes` must not be set with `clusterType` 'Slurm'.",
            holds=lambda spec: spec.billing.preemptible_nodes is None or spec.cluster_type is ClusterType.KUBERNETES,
            reason="FieldValueForbidden",
        ),
        Rule(
            cel="!has(self.acceptanceTests) || "
            "(has(oldSelf.acceptanceTests) && self.acceptanceTests == oldSelf.acceptanceTests)",
            message="`acceptanceTests` may not be changed or added after creation; it may be removed.",
            reason="FieldValueForbidden",
        ),
        _fewer_than_nodes("preemptibleNodes", "preemptible_nodes", or_all=False),
        _fewer_than_nodes("reservedNodes", "reserved_nodes", or_all=True),
        Rule(
            cel="!has(self.billing.capacityPool) || !has(self.nodes) || self.billing.capacityPool.nodes <= self.nodes",
            message="`billing.capacityPool.nodes` must not be more than `nodes`.",
            holds=lambda spec: (
                spec.billing.capacity_pool is None
                or spec.nodes is None
                or spec.billing.capacity_pool.nodes <= spec.nodes
            ),
        ),
        _on_demand_only(
            "idle.deleteAfterSeconds",
            absent="!has(self.idle) || !has(self.idle.deleteAfterSeconds)",
            is_absent=lambda spec: spec.idle is None or spec.idle.delete_after_seconds is None,
        ),
        _on_demand_only(
            "expireAfterSeconds",
            absent="!has(self.expireAfterSeconds)",
            is_absent=lambda spec: spec.expire_after_seconds is None,
        ),
        _on_demand_only("schedule", absent="!has(self.schedule)", is_absent=lambda spec: spec.schedule is None),
        _never_bought_again("schedule", absent="!has(self.schedule)", is_absent=lambda spec: spec.schedule is None),
        _never_bought_again(
            "recreatePolicy",
            absent="self.recreatePolicy == 'Never'",
            is_absent=lambda spec: spec.recreate_policy is RecreatePolicy.NEVER,
        ),
        _never_bought_again(
            "idle.reacquire",
            absent="!has(self.idle) || self.idle.reacquire == 'Never'",
            is_absent=lambda spec: spec.idle is None or spec.idle.reacquire is Reacquire.NEVER,
        ),
        _not_with_adopt(
            "alternatives",
            "they are tried while a cluster is bought.",
            absent="!has(self.alternatives) || size(self.alternatives) == 0",
            is_absent=lambda spec: not spec.alternatives,
        ),
        _not_with_adopt(
            "maxNodes",
            "a cluster has the provider's autoscaling from its purchase. Leave `nodes` out, and no size is wanted.",
            absent="!has(self.maxNodes)",
            is_absent=lambda spec: spec.max_nodes is None,
        ),
        _not_with_adopt(
            "acceptanceTests",
            "they are asked for with the purchase.",
            absent="!has(self.acceptanceTests)",
            is_absent=lambda spec: spec.acceptance_tests is None,
        ),
        _not_with_adopt(
            "slurm.image",
            "the provider does not tell which image a cluster has.",
            absent="!has(self.slurm) || !has(self.slurm.image)",
            is_absent=lambda spec: spec.slurm is None or spec.slurm.image is None,
        ),
    )


class GPUCluster(Resource[GPUClusterSpec, GPUClusterStatus]):
    """One Together Instant Cluster: GPU nodes with a Kubernetes of their own, bought, kept in order and given back."""

    kind: Literal["GPUCluster"] = "GPUCluster"
    spec: GPUClusterSpec
    status: GPUClusterStatus = Field(default_factory=GPUClusterStatus)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=(
                "!has(oldSelf.status) || !has(oldSelf.status.clusterID) || "
                "(has(self.spec.alternatives) == has(oldSelf.spec.alternatives) && "
                "(!has(self.spec.alternatives) || self.spec.alternatives == oldSelf.spec.alternatives))"
            ),
            message="`spec.alternatives` may not be changed once the cluster is bought.",
            reason="FieldValueForbidden",
        ),
    )

    @property
    def kubeconfig_secret_name(self) -> str:
        """The Secret that receives the kubeconfig."""
        return self.spec.kubeconfig_secret_name or f"{self.name}-kubeconfig"
