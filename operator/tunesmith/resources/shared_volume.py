"""SharedVolume: storage at the provider that outlives the clusters which use it."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunesmith.resources.metadata import Resource, Status
from tunesmith.resources.purchase import AdoptionPolicy, Cost, CreateIntent, DeletionPolicy, ManagementPolicy
from tunesmith.resources.references import NameReference
from tunesmith.resources.schema import (
    IMMUTABLE,
    Count,
    Line,
    Part,
    ProviderID,
    ProviderName,
    Rule,
    Size,
    Word,
    at_most_one,
    between,
    doc,
    exactly_one,
    items,
)

CONDITIONS = ("Ready", "Reconciling", "Stalled", "Provisioned", "InUse", "Resizing")


class BindingMode(StrEnum):
    """When the volume is made."""

    IMMEDIATE = "Immediate"
    WAIT_FOR_FIRST_CLUSTER = "WaitForFirstCluster"


class Growth(Part):
    """How the volume grows by itself."""

    when_used_percent: Annotated[Annotated[int, between(1, 99)], doc("Grow by a TiB when this much of it is used.")]
    max_tib: Annotated[Annotated[int, between(1, 1024)], doc("Never grow beyond this size, in TiB.")]


class VolumeAdoption(Part):
    """Which existing volume to take over."""

    volume_id: Annotated[ProviderID | None, doc("The provider's id of the volume.")] = None
    volume_name: Annotated[
        ProviderName | None, doc("The volume's name at the provider; must be the only one of it.")
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        exactly_one("volumeID", "volumeName", attributes=("volume_id", "volume_name")),
    )


class SharedVolumeSpec(Part):
    """What is wanted of the volume."""

    region: Annotated[
        ProviderName | None, doc("Where to buy, in the provider's words; see `kubectl get gpuregions`."), IMMUTABLE
    ] = None
    regions: Annotated[
        tuple[ProviderName, ...],
        doc("Instead of `region`: any of these; an unbound volume follows the cluster that was bought."),
        items(16),
        IMMUTABLE,
    ] = ()
    size_tib: Annotated[
        Annotated[int, between(1, 1024)] | None,
        doc("Size in TiB. It may grow; the provider shrinks no volume. May be left out with `adopt`."),
    ] = None
    growth: Annotated[Growth | None, doc("Grow by itself when it fills up.")] = None
    binding_mode: Annotated[
        BindingMode,
        doc(
            "'WaitForFirstCluster' makes the volume together with the first "
            "cluster that names it, so that both land in the same "
            "part of the datacenter; 'Immediate' makes it now, and a cluster may then be unable to attach it."
        ),
        IMMUTABLE,
    ] = BindingMode.WAIT_FOR_FIRST_CLUSTER
    deletion_policy: Annotated[
        DeletionPolicy, doc("What becomes of the provider's volume, and the data, when this resource is deleted.")
    ] = DeletionPolicy.RETAIN
    adopt: Annotated[
        VolumeAdoption | None,
        doc("Take over, or with 'Observe' only watch, a volume that exists. Region and size are then optional."),
        IMMUTABLE,
    ] = None
    management_policy: Annotated[
        ManagementPolicy, doc("'Manage' buys, changes and deletes; 'Observe' only watches and needs `adopt`.")
    ] = ManagementPolicy.MANAGE
    adoption_policy: Annotated[
        AdoptionPolicy,
        doc(
            "What to do when a volume that was bought for this resource before "
            "still exists: 'Ask' buys nothing and waits, "
            "'SameIdentity' takes it over, 'BuyNew' buys another."
        ),
    ] = AdoptionPolicy.ASK
    project_id: Annotated[
        ProviderID | None, doc("The provider's project that pays. Absent: the credential's default."), IMMUTABLE
    ] = None
    credentials_ref: Annotated[
        NameReference | None,
        doc(
            "Secret with `apiKey` and, if wanted, `projectID`. Absent: the "
            "installation's credential, if it allows this namespace."
        ),
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = (
        at_most_one("region", "regions", attributes=("region", "regions")),
        Rule(
            cel="has(self.adopt) || has(self.region) || has(self.regions)",
            message="`region` or `regions` must be set, unless `adopt` names a volume that exists.",
            holds=lambda spec: spec.adopt is not None or spec.region is not None or bool(spec.regions),
            reason="FieldValueRequired",
        ),
        Rule(
            cel="has(self.adopt) || has(self.sizeTiB)",
            message="`sizeTiB` must be set, unless `adopt` names a volume that exists.",
            holds=lambda spec: spec.adopt is not None or spec.size_tib is not None,
            reason="FieldValueRequired",
        ),
        Rule(
            cel="self.managementPolicy != 'Observe' || has(self.adopt)",
            message="`adopt` must be set when `managementPolicy` is 'Observe': there is nothing to watch otherwise.",
            holds=lambda spec: spec.management_policy is not ManagementPolicy.OBSERVE or spec.adopt is not None,
            reason="FieldValueRequired",
        ),
        Rule(
            cel="!has(self.growth) || !has(self.sizeTiB) || self.growth.maxTiB >= self.sizeTiB",
            message="`growth.maxTiB` must be at least `sizeTiB`.",
            holds=lambda spec: spec.growth is None or spec.size_tib is None or spec.growth.max_tib >= spec.size_tib,
        ),
        Rule(
            cel="!has(oldSelf.sizeTiB) || (has(self.sizeTiB) && self.sizeTiB >= oldSelf.sizeTiB)",
            message=(
                "`sizeTiB` must not become smaller: the provider shrinks no volume. Make a new one and copy the data."
            ),
            reason="FieldValueForbidden",
        ),
    )


class VolumeCreateIntent(CreateIntent):
    """The open purchase of a volume."""

    size_tib: Annotated[Count | None, doc("The size that is asked for, in TiB.")] = None
    cluster_name: Annotated[Line | None, doc("The GPUCluster that was elected to make the volume with itself.")] = None
    cluster_uid: Annotated[Word | None, doc("That GPUCluster's UID.")] = None


class SharedVolumeStatus(Status):
    """What is known about the volume."""

    provider_name: Annotated[
        Line | None, doc("The volume's name at the provider, and of its PersistentVolume in a cluster.")
    ] = None
    volume_id: Annotated[Line | None, doc("The provider's id of the volume.")] = None
    project_id: Annotated[Line | None, doc("The provider's project that pays.")] = None
    credential_fingerprint: Annotated[Word | None, doc("Which credential bought it; a hash, never the key.")] = None
    credentials_secret_name: Annotated[
        Line | None, doc("The Secret of `spec.credentialsRef` that is kept from deletion for what was bought.")
    ] = None
    incarnation: Annotated[Count | None, doc("Counts up after each confirmed absence; part of the name.")] = None
    create_intent: Annotated[VolumeCreateIntent | None, doc("The purchase that is under way.")] = None
    provider_status: Annotated[Line | None, doc("The state in the provider's own words.")] = None
    region: Annotated[Line | None, doc("Where the volume is.")] = None
    bound_to: Annotated[Line | None, doc("The GPUCluster that has the volume attached.")] = None
    size_tib: Annotated[Count | None, doc("Its size as the provider tells it, in TiB.")] = None
    used_bytes: Annotated[Size | None, doc("How much of it is used, where that is known.")] = None
    cost: Annotated[Cost | None, doc("What it costs and has cost.")] = None
    last_handled_reconcile_time: Annotated[
        Line | None, doc("The value of the annotation `tunesmith.dev/reconcile-requested-at` that was answered last.")
    ] = None


class SharedVolume(Resource[SharedVolumeSpec, SharedVolumeStatus]):
    """Storage at the provider that outlives the clusters which use it: weights, data, checkpoints and results."""

    kind: Literal["SharedVolume"] = "SharedVolume"
    spec: SharedVolumeSpec
    status: SharedVolumeStatus = Field(default_factory=SharedVolumeStatus)
