"""Everything that a decision about one SharedVolume needs, as typed facts; and how such a decision is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tunesmith.planning.circumstances import Circumstances, Known, NotYet, Unknown
from tunesmith.planning.cluster_observation import NoCredential
from tunesmith.planning.credential_secret import SecretUse
from tunesmith.planning.decision import Action, Decision, EventNote
from tunesmith.planning.naming import ProviderName
from tunesmith.planning.ownership import Claim, annotated_name, own_name
from tunesmith.planning.provider import Credential, ProviderCluster, ProviderView, ProviderVolume
from tunesmith.planning.purchase import Intent, PurchaseMemory
from tunesmith.planning.verdict import Standing, Summary, Verdict, told
from tunesmith.planning.volume_usage import VolumeUsage
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.shared_volume import (
    CONDITIONS,
    BindingMode,
    SharedVolume,
    SharedVolumeSpec,
    SharedVolumeStatus,
)

VolumeDecision = Decision[SharedVolumeStatus]
NOT_MEASURED = NotYet("nobody has measured it yet")


@dataclass(frozen=True)
class NamingCluster:
    """A GPUCluster of the same namespace that names this volume.

    `buying`: its intent is open. `held_up`: it has no intent, and the newest that is known of it is that the provider
    refused its order for certain, or that somebody must do something first.
    """

    name: str
    uid: str
    regions: tuple[str, ...]
    created: datetime | None = None
    deleting: bool = False
    buying: bool = False
    cluster_id: str | None = None
    held_up: bool = False

    @property
    def may_be_elected(self) -> bool:
        """It has not been bought yet, and still may be."""
        return not self.deleting and not self.held_up and self.cluster_id is None

    @property
    def needs_the_volume(self) -> bool:
        """It holds the volume, or an order of it may be on its way that does."""
        return self.cluster_id is not None or self.buying


@dataclass(frozen=True)
class VolumeObservation:
    """One SharedVolume and the world round it."""

    around: Circumstances
    resource: SharedVolume
    credential: Credential | NoCredential | Unknown
    provider: ProviderView
    memory: PurchaseMemory
    clusters: tuple[NamingCluster, ...] = ()  # read anew from the API server while nobody is elected
    jobs: tuple[str, ...] = ()
    """Names of the FineTuneJobs that store on it, have not ended and are not being deleted; sorted."""
    usage: Known[VolumeUsage] | Unknown = NOT_MEASURED
    credential_secret_held: bool = False
    credential_shared: bool = False
    other_claims: tuple[Claim, ...] = ()
    secrets_of_others: frozenset[str] = frozenset()
    secrets_of_leaving: frozenset[str] = frozenset()

    @property
    def spec(self) -> SharedVolumeSpec:
        """What the user wants."""
        return self.resource.spec

    @property
    def status(self) -> SharedVolumeStatus:
        """What was written down before."""
        return self.resource.status

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it lies once that is known; before that everywhere it may be made, in the user's order."""
        if self.status.volume_id is not None and self.status.region:
            return (self.status.region,)
        return tuple(region for region in (self.spec.region, *self.spec.regions) if region)

    @property
    def name(self) -> ProviderName:
        """The name of the present incarnation at the provider."""
        first = own_name("SharedVolume", self.resource.metadata, self.around.installation, 1)
        annotated = annotated_name(self.resource.metadata, first)
        believed = annotated.incarnation if annotated is not None and annotated.is_same_object(first) else 1
        incarnation = max(self.status.incarnation or 1, believed)
        return own_name("SharedVolume", self.resource.metadata, self.around.installation, incarnation)

    @property
    def intent(self) -> Intent | None:
        """The open intent, as the protocol reads it."""
        written = self.status.create_intent
        if written is None:
            return None
        started = written.started_time or self.around.now
        return Intent(name=written.name or str(self.name), nonce=written.nonce or "", started=started)

    @property
    def secret_use(self) -> SecretUse:
        """The credential's Secret, and whether one that was named before is still needed."""
        reference, status, credential = self.spec.credentials_ref, self.status, self.credential
        nothing = status.volume_id is None and status.create_intent is None
        fingerprint = credential.fingerprint if isinstance(credential, Credential) else None
        shown = self.bought is not None and fingerprint == status.credential_fingerprint
        return SecretUse(
            namespace=self.resource.metadata.namespace or "",
            wanted=None if reference is None else reference.name,
            wanted_is_held=self.credential_secret_held,
            recorded=status.credentials_secret_name,
            old_is_free=nothing or shown,
            needed_by_others=self.secrets_of_others,
            named_by_leaving=self.secrets_of_leaving,
        )

    @property
    def bought(self) -> ProviderVolume | None:
        """The volume whose id is recorded, when the provider shows it."""
        return None if self.status.volume_id is None else self.provider.volume(self.status.volume_id)

    @property
    def bought_beside(self) -> tuple[ProviderVolume, ...]:
        """Volumes of this resource's own name besides the one that is recorded, by id."""
        own = self.provider.own_volumes(self.name)
        return tuple(each for each in own if each.id != self.status.volume_id and each.status != "deleting")

    @property
    def holder(self) -> ProviderCluster | None:
        """The provider's cluster that holds the volume. The volume itself does not say."""
        return None if self.status.volume_id is None else self.provider.holder_of(self.status.volume_id)

    @property
    def may_change(self) -> bool:
        """Whether anything may be changed at the provider; 'Observe' only watches."""
        return self.spec.management_policy is ManagementPolicy.MANAGE

    @property
    def waits_for_first_cluster(self) -> bool:
        """It is made inline with a cluster, so that both land in the same part of the datacenter."""
        return self.spec.binding_mode is BindingMode.WAIT_FOR_FIRST_CLUSTER

    @property
    def is_held_by_no_resource(self) -> bool:
        """The provider shows it attached to a cluster that no GPUCluster of the namespace speaks of."""
        holder = self.holder
        return holder is not None and all(cluster.cluster_id != holder.id for cluster in self.clusters)

    def user(self) -> str | None:
        """Who has the volume or has ordered it: the GPUCluster's name, or the provider's when it is no resource's.

        Lists lag: a cluster that was bought and is not listed yet counts, and one whose order is under way.
        """
        if self.status.volume_id is None:
            return None
        holder = self.holder
        if holder is not None:
            return next((c.name for c in self.clusters if c.cluster_id == holder.id), holder.name)
        unlisted = (
            c for c in self.clusters if c.cluster_id is not None and self.provider.cluster(c.cluster_id) is None
        )
        return next((c.name for c in (*unlisted, *self.clusters) if c.needs_the_volume and not c.deleting), None)


_NOT_BOUGHT = {
    "InUse": Verdict(False, Reason.NOT_BOUGHT, "Nothing is bought yet."),
    "Resizing": Verdict(False, Reason.NOT_BOUGHT, "Nothing is bought yet."),
}


def tell(
    seen: VolumeObservation,
    standing: Standing,
    reason: str,
    message: str,
    *actions: Action,
    status: SharedVolumeStatus | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = None,
) -> VolumeDecision:
    """A decision with its status told."""
    after = status if status is not None else seen.status
    after = told(
        after,
        Summary(standing, reason, message),
        {**(_NOT_BOUGHT if after.volume_id is None else {}), **(verdicts or {})},
        order=CONDITIONS,
        generation=seen.resource.metadata.generation,
        now=seen.around.now,
    )
    return Decision(status=after, actions=actions, events=events, look_again_seconds=again)


def quietly(seen: VolumeObservation, *actions: Action, again: float | None = None) -> VolumeDecision:
    """Act, and write nothing: the next pass follows at once and has more to say."""
    return Decision(status=seen.status, actions=actions, look_again_seconds=again)
