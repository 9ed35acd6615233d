"""What is seen of anything that is bought, a cluster or a volume, and how a decision about it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

from tunesmith.planning.adoption_target import Held
from tunesmith.planning.circumstances import Circumstances, Unknown
from tunesmith.planning.credential_secret import SecretUse
from tunesmith.planning.decision import Action, Decision, EventNote
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.naming import ProviderName
from tunesmith.planning.ownership import Claim, annotated_name, own_name
from tunesmith.planning.provider import Credential, ProviderCluster, ProviderView, ProviderVolume
from tunesmith.planning.purchase import Intent, PurchaseMemory, may_have_lost_its_intent
from tunesmith.planning.verdict import Standing, Summary, Verdict, told
from tunesmith.resources.gpu_cluster import GPUCluster, GPUClusterSpec
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.purchase import DeletionPolicy, ManagementPolicy
from tunesmith.resources.shared_volume import SharedVolume, SharedVolumeSpec, SharedVolumeStatus

BoughtStatus = TypeVar("BoughtStatus", GPUClusterStatus, SharedVolumeStatus)
Thing = ProviderCluster | ProviderVolume


@dataclass(frozen=True)
class NoCredential:
    """There is no API key to ask the provider with, and why."""

    reason: str
    message: str


@dataclass(frozen=True)
class BoughtObservation(ABC, Generic[BoughtStatus]):
    """One resource for which something is bought, and what both kinds need to know of the world round it.

    `word` is what people call it. `conditions` are in the order in which they are shown; `not_bought` is what is said
    of them while there is nothing to say.
    """

    word: ClassVar[str]
    conditions: ClassVar[tuple[str, ...]]
    not_bought: ClassVar[Mapping[str, Verdict]]

    around: Circumstances
    resource: GPUCluster | SharedVolume
    credential: Credential | NoCredential | Unknown
    provider: ProviderView
    memory: PurchaseMemory
    other_claims: tuple[Claim, ...] = ()
    credential_secret_held: bool = False
    credential_shared: bool = False
    secrets_of_others: frozenset[str] = frozenset()
    secrets_of_leaving: frozenset[str] = frozenset()

    @property
    @abstractmethod
    def status(self) -> BoughtStatus:
        """What was written down before."""

    @abstractmethod
    def id_in(self, status: BoughtStatus) -> str | None:
        """The provider's id of what this status speaks of."""

    @property
    @abstractmethod
    def wished_id(self) -> str | None:
        """The id that `spec.adopt` names, if it names one."""

    @property
    @abstractmethod
    def wished_name(self) -> str | None:
        """The name that `spec.adopt` names, if it names one."""

    @property
    @abstractmethod
    def held(self) -> Held | None:
        """What this resource holds, or would take over."""

    @property
    @abstractmethod
    def adoptable(self) -> tuple[Thing, ...]:
        """What lives at the provider and is what `spec.adopt` names, in the order of ids."""

    @abstractmethod
    def shown(self, thing_id: str) -> Thing | None:
        """The thing with this id, when the provider's lists show it."""

    @abstractmethod
    def look(self, not_before: float, thing_id: str | None) -> LookAtProvider:
        """Lists that are begun at `not_before` or later; an id that they lack is asked for by itself."""

    @property
    def spec(self) -> GPUClusterSpec | SharedVolumeSpec:
        """What the user wants."""
        return self.resource.spec

    @property
    def bought_id(self) -> str | None:
        """The provider's id of what is recorded."""
        return self.id_in(self.status)

    @property
    def bought(self) -> Thing | None:
        """What is recorded, when the provider shows it."""
        return None if self.bought_id is None else self.shown(self.bought_id)

    @property
    def looked_for(self) -> str | None:
        """The id that is asked for by itself when the lists lack it."""
        return self.bought_id or self.wished_id

    @property
    def name(self) -> ProviderName:
        """The name of the present incarnation at the provider."""
        kind, metadata, installation = self.resource.kind, self.resource.metadata, self.around.installation
        first = own_name(kind, metadata, installation, 1)
        annotated = annotated_name(metadata, first)
        believed = annotated.incarnation if annotated is not None and annotated.is_same_object(first) else 1
        return own_name(kind, metadata, installation, max(self.status.incarnation or 1, believed))

    @property
    def intent(self) -> Intent | None:
        """The open intent, as the protocol reads it."""
        written = self.status.create_intent
        if written is None:
            return None
        started = written.started_time or self.around.now  # without a time it is as young as can be
        return Intent(name=written.name or str(self.name), nonce=written.nonce or "", started=started)

    @property
    def secret_use(self) -> SecretUse:
        """The credential's Secret, and whether one that was named before is still needed."""
        reference, status, credential = self.spec.credentials_ref, self.status, self.credential
        nothing = self.bought_id is None and status.create_intent is None
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
    def has_lost_its_status(self) -> bool:
        """It bears our name and says nothing: a backup took its status, or its process died before writing one."""
        nothing = not self.status.conditions and self.bought_id is None and self.intent is None
        return nothing and may_have_lost_its_intent(self.memory)

    @property
    def may_change(self) -> bool:
        """Whether anything may be changed at the provider or in a bought cluster; 'Observe' only watches."""
        return self.spec.management_policy is ManagementPolicy.MANAGE

    @property
    def is_to_stay(self) -> bool:
        """Whether what was bought stays at the provider when the resource goes."""
        return self.spec.deletion_policy is DeletionPolicy.RETAIN or not self.may_change


def tell(
    seen: BoughtObservation[BoughtStatus],
    standing: Standing,
    reason: str,
    message: str,
    *actions: Action,
    status: BoughtStatus | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = None,
) -> Decision[BoughtStatus]:
    """A decision with its status told. `status` is written instead of the one of before."""
    after = status if status is not None else seen.status
    nothing = seen.not_bought if seen.id_in(after) is None else {}
    after = told(
        after,
        Summary(standing, reason, message),
        {**nothing, **(verdicts or {})},
        order=seen.conditions,
        generation=seen.resource.metadata.generation,
        now=seen.around.now,
    )
    return Decision(status=after, actions=actions, events=events, look_again_seconds=again)


@dataclass(frozen=True)
class Telling:
    """How a decision is told in one of the four standings."""

    standing: Standing

    def __call__(
        self,
        seen: BoughtObservation[BoughtStatus],
        reason: str,
        message: str,
        *actions: Action,
        status: BoughtStatus | None = None,
        verdicts: Mapping[str, Verdict] | None = None,
        events: tuple[EventNote, ...] = (),
        again: float | None = None,
    ) -> Decision[BoughtStatus]:
        """The decision; see `tell`."""
        standing = self.standing
        decision = tell(seen, standing, reason, message, *actions, status=status, verdicts=verdicts, events=events)
        return replace(decision, look_again_seconds=again)


working = Telling(Standing.WORKING)
"""It goes on by itself: not Ready, Reconciling."""
stalled = Telling(Standing.STALLED)
"""Somebody must do something: not Ready, Stalled."""
done = Telling(Standing.DONE)
"""Nothing is left to do: Ready."""
resting = Telling(Standing.RESTING)
"""Not Ready by intention: nothing is under way, and nothing is wrong."""


def quietly(
    seen: BoughtObservation[BoughtStatus], *actions: Action, again: float | None = None
) -> Decision[BoughtStatus]:
    """Act, and write nothing: the next pass follows at once and has more to say."""
    return Decision(status=seen.status, actions=actions, look_again_seconds=again)
