"""Everything that a decision about one GPUCluster needs, as typed facts; and how such a decision is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Circumstances, Known, NotYet, Unknown
from tunesmith.planning.cluster_choice import ClusterChoice, Unfit, fit, next_choice, present_choice, unfit
from tunesmith.planning.credential_secret import SecretUse
from tunesmith.planning.decision import Action, Decision, EventNote
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.naming import ProviderName
from tunesmith.planning.ownership import Claim, annotated_name, own_name
from tunesmith.planning.provider import GPUS_PER_NODE, Credential, ProviderCluster, ProviderView
from tunesmith.planning.purchase import Intent, PurchaseMemory
from tunesmith.planning.verdict import Standing, Summary, Verdict, told
from tunesmith.resources.gpu_cluster import CONDITIONS, GPUCluster, GPUClusterSpec
from tunesmith.resources.gpu_cluster_parts import BillingType
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason


@dataclass(frozen=True)
class NoCredential:
    """There is no API key to ask the provider with, and why."""

    reason: str
    message: str


REFUSALS = frozenset(
    {
        Reason.OUT_OF_STOCK,
        Reason.RATE_LIMITED,
        Reason.CREDENTIALS_REFUSED,
        Reason.NO_CREDIT,
        Reason.PROVIDER_REFUSED,
        Reason.DRIVER_MISSING,
        Reason.VOLUME_IN_ANOTHER_PARTITION,
    }
)
"""What condition Provisioned says after the provider refused an order for certain."""


@dataclass(frozen=True)
class NamedVolume:
    """The SharedVolume that a cluster names, as far as its purchase needs it.

    `order_name` is the provider name that the volume's own intent gave, `elected_uid` the cluster that may make it.
    """

    name: str
    regions: tuple[str, ...]
    size_tib: int
    volume_id: str | None = None
    order_name: str | None = None
    elected_uid: str | None = None
    bound_to: str | None = None
    trouble: str | None = None
    deleting: bool = False


@dataclass(frozen=True)
class JobUse:
    """A FineTuneJob that was admitted to this cluster and has not ended. `nodes` are those it holds."""

    name: str
    nodes: frozenset[str] = frozenset()
    deleting_since: datetime | None = None


@dataclass(frozen=True)
class StoredSecret:
    """The Secret where the kubeconfig goes. `value` is what it holds now, `uid` which one it is."""

    owner_uids: frozenset[str]
    value: str = field(repr=False)
    uid: str = field(default="", compare=False)


@dataclass(frozen=True)
class InsideFacts:
    """What stands in the bought cluster of the things that the operator puts there.

    `claims` and `persistent_volumes` map a name to its phase and its storage class.
    """

    namespace_labels: Mapping[str, str] | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    persistent_volumes: Mapping[str, str] = field(default_factory=dict)
    storage_classes: frozenset[str] = frozenset()


NOT_LOOKED = NotYet("nobody has looked yet")


@dataclass(frozen=True)
class ClusterObservation:
    """One GPUCluster and the world round it."""

    around: Circumstances
    resource: GPUCluster
    credential: Credential | NoCredential | Unknown
    provider: ProviderView
    memory: PurchaseMemory
    volume: NamedVolume | None = None
    other_claims: tuple[Claim, ...] = ()
    jobs: tuple[JobUse, ...] = ()
    wanting_jobs: Known[frozenset[str]] | Unknown = NOT_LOOKED
    """Names of jobs on this cluster that have not ended, in any stage, and could go on by themselves."""
    waiting_jobs: Known[frozenset[str]] | Unknown = NOT_LOOKED
    """Those that say that they wait for the released cluster, and would fit on it."""
    gpu_pods: Known[frozenset[str]] | Unknown = NOT_LOOKED
    """Pods inside the bought cluster that use GPUs or ask for them, as `namespace/name`; whoever made them."""
    credential_secret_held: bool = False
    credential_shared: bool = False
    secrets_of_others: frozenset[str] = frozenset()
    kubeconfig_secret: Known[StoredSecret | None] | Unknown = NOT_LOOKED
    inside: Known[InsideFacts] | Unknown = NOT_LOOKED
    nodes: Known[tuple[NodeFact, ...]] | Unknown = NOT_LOOKED

    @property
    def spec(self) -> GPUClusterSpec:
        """What the user wants."""
        return self.resource.spec

    @property
    def status(self) -> GPUClusterStatus:
        """What was written down before."""
        return self.resource.status

    @property
    def name(self) -> ProviderName:
        """The name of the present incarnation at the provider."""
        first = own_name("GPUCluster", self.resource.metadata, self.around.installation, 1)
        annotated = annotated_name(self.resource.metadata, first)
        believed = annotated.incarnation if annotated is not None and annotated.is_same_object(first) else 1
        incarnation = max(self.status.incarnation or 1, believed)
        return own_name("GPUCluster", self.resource.metadata, self.around.installation, incarnation)

    @property
    def here(self) -> RemoteCluster:
        """The bought cluster, as actions name it."""
        return RemoteCluster(self.resource.metadata.namespace or "", self.resource.metadata.name)

    @property
    def intent(self) -> Intent | None:
        """The open intent, as the protocol reads it."""
        written = self.status.create_intent
        if written is None:
            return None
        started = written.started_time or self.around.now  # without a time it is as young as can be
        return Intent(name=written.name or str(self.name), nonce=written.nonce or "", started=started)

    @property
    def bought(self) -> ProviderCluster | None:
        """The cluster whose id is recorded, when the provider shows it."""
        return None if self.status.cluster_id is None else self.provider.cluster(self.status.cluster_id)

    @property
    def secret_use(self) -> SecretUse:
        """The credential's Secret, and whether one that was named before is still needed."""
        reference, status, credential = self.spec.credentials_ref, self.status, self.credential
        nothing = status.cluster_id is None and status.create_intent is None
        fingerprint = credential.fingerprint if isinstance(credential, Credential) else None
        shown = self.bought is not None and fingerprint == status.credential_fingerprint
        return SecretUse(
            namespace=self.resource.metadata.namespace or "",
            wanted=None if reference is None else reference.name,
            wanted_is_held=self.credential_secret_held,
            recorded=status.credentials_secret_name,
            old_is_free=nothing or shown,
            needed_by_others=self.secrets_of_others,
        )

    @property
    def choice(self) -> ClusterChoice:
        """Where and what: as it was bought, else as the intent says, else as it is tried next."""
        following = next_choice(self.fit_choices, self.status.out_of_stock)
        return present_choice(self.spec, self.status, following)

    @property
    def fit_choices(self) -> tuple[ClusterChoice, ...]:
        """The choices that may be bought, in the order in which they are tried."""
        return fit(self.spec, self.provider.regions, *self._volume_at)

    @property
    def unfit_choices(self) -> tuple[Unfit, ...]:
        """The choices that cannot be bought, and why."""
        return unfit(self.spec, self.provider.regions, *self._volume_at)

    @property
    def _volume_at(self) -> tuple[str | None, tuple[str, ...]]:
        return (None, ()) if self.volume is None else (self.volume.name, self.volume.regions)

    @property
    def prepaid(self) -> bool:
        """It is paid ahead, by the spec or by the provider's word: giving it back early gives no money back."""
        if self.spec.billing.type is not BillingType.ON_DEMAND:
            return True
        found = self.bought
        return found is not None and (found.billing_type != "ON_DEMAND" or found.reserved_gpus > 0)

    @property
    def wanted_nodes(self) -> int:
        """The size that the user wants, in nodes."""
        return self.spec.nodes or 1

    @property
    def wanted_gpus(self) -> int:
        """The size that the user wants, in GPUs."""
        return self.wanted_nodes * GPUS_PER_NODE

    @property
    def secret_name(self) -> str:
        """Where the kubeconfig goes."""
        return self.spec.kubeconfig_secret_name or f"{self.resource.metadata.name}-kubeconfig"


def working(
    seen: ClusterObservation,
    reason: str,
    message: str,
    *actions: Action,
    status: GPUClusterStatus | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = None,
) -> Decision[GPUClusterStatus]:
    """It goes on by itself: not Ready, Reconciling."""
    decision = _told(seen, Summary(Standing.WORKING, reason, message), status, verdicts)
    return replace(decision, actions=actions, events=events, look_again_seconds=again)


def stalled(
    seen: ClusterObservation,
    reason: str,
    message: str,
    *actions: Action,
    status: GPUClusterStatus | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = None,
) -> Decision[GPUClusterStatus]:
    """Somebody must do something: not Ready, Stalled."""
    decision = _told(seen, Summary(Standing.STALLED, reason, message), status, verdicts)
    return replace(decision, actions=actions, events=events, look_again_seconds=again)


def done(
    seen: ClusterObservation,
    reason: str,
    message: str,
    *actions: Action,
    status: GPUClusterStatus | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = None,
) -> Decision[GPUClusterStatus]:
    """Nothing is left to do: Ready."""
    decision = _told(seen, Summary(Standing.DONE, reason, message), status, verdicts)
    return replace(decision, actions=actions, events=events, look_again_seconds=again)


def resting(
    seen: ClusterObservation,
    reason: str,
    message: str,
    *actions: Action,
    status: GPUClusterStatus | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = None,
) -> Decision[GPUClusterStatus]:
    """Not Ready by intention: nothing is under way, and nothing is wrong."""
    decision = _told(seen, Summary(Standing.RESTING, reason, message), status, verdicts)
    return replace(decision, actions=actions, events=events, look_again_seconds=again)


def quietly(seen: ClusterObservation, *actions: Action, again: float | None = None) -> Decision[GPUClusterStatus]:
    """Act, and write nothing: the next pass follows at once and has more to say."""
    return Decision(status=seen.status, actions=actions, look_again_seconds=again)


_NOTHING = "Nothing is bought yet."
_NOT_BOUGHT = {
    "KubeconfigAvailable": Verdict(False, Reason.NOT_BOUGHT, _NOTHING),
    "NodesHealthy": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "AcceptanceTested": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "Drifted": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "Idle": Verdict(None, Reason.NOT_BOUGHT, _NOTHING),
    "WithinBudget": Verdict(True, Reason.NO_BUDGET, "No budget is set."),
}


def _told(
    seen: ClusterObservation,
    summary: Summary,
    status: GPUClusterStatus | None,
    verdicts: Mapping[str, Verdict] | None,
) -> Decision[GPUClusterStatus]:
    after = status if status is not None else seen.status
    after = told(
        after,
        summary,
        {**(_NOT_BOUGHT if after.cluster_id is None else {}), **(verdicts or {})},
        order=CONDITIONS,
        generation=seen.resource.metadata.generation,
        now=seen.around.now,
    )
    return Decision(status=after)
