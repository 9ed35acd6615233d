"""What the controllers of clusters and of volumes do alike: the eyes, the memory of purchases, and the requests."""

from __future__ import annotations

from tunesmith.controllers.cloud_view import CloudView, Eyes, PurchaseMemories, Remembered, carry_out
from tunesmith.controllers.controller import Key
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.usage_log import write_usage
from tunesmith.planning.adoption_target import Held
from tunesmith.planning.bought import BoughtObservation, BoughtStatus, NoCredential
from tunesmith.planning.circumstances import Circumstances, Unknown
from tunesmith.planning.decision import Action
from tunesmith.planning.neighbours import may_be_bought_by_another, other_claims
from tunesmith.planning.ownership import Claim
from tunesmith.planning.provider import Credential
from tunesmith.planning.purchase import Intent, PurchaseMemory, after_looking
from tunesmith.planning.usage import RecordUsage
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.references import NameReference
from tunesmith.resources.shared_volume import SharedVolume

Bought = GPUCluster | SharedVolume


class Purchasing:
    """The provider as the resources of one kind see it and ask things of it."""

    def __init__(self, ports: Ports, clouds: CloudView) -> None:
        self._ports = ports
        self._clouds = clouds
        self._memories = PurchaseMemories()

    async def eyes(self, resource: Bought) -> Eyes:
        """What the resource sees the provider with."""
        spec = resource.spec
        return await self._clouds.eyes(resource.metadata.namespace or "", spec.credentials_ref, spec.project_id)

    async def credential_beside(
        self, resource: Bought, reference: NameReference | None, project_id: str | None
    ) -> Credential | NoCredential | Unknown | None:
        """What a neighbour in the namespace sees the provider with; None: by both specs the same as the resource."""
        if (resource.spec.credentials_ref, resource.spec.project_id) == (reference, project_id):
            return None
        return (await self._clouds.eyes(resource.metadata.namespace or "", reference, project_id)).credential

    def other_claims(self, resource: Bought, held: Held | None) -> tuple[Claim, ...]:
        """Who else holds what the resource holds, or bought it. Of thousands only those are asked who may."""
        if held is None:
            return ()
        installation, cache = self._ports.installation, self._ports.cache
        by_name = may_be_bought_by_another(held, resource, installation)
        raws = cache.list(resource.kind) if by_name else cache.holding(resource.kind, held.id)
        return other_claims(raws, resource, held, installation)

    def remembered(
        self, key: Key, resource: Bought, bought_id: str | None, eyes: Eyes, around: Circumstances
    ) -> PurchaseMemory:
        """What this process remembers of the resource's dealings, after this look."""
        written = resource.status.create_intent
        intent = None
        if written is not None:
            intent = Intent(written.name or "", written.nonce or "", written.started_time or around.now)
        memory = self._memories.get(key, around.monotonic)
        memory = after_looking(memory, eyes.view, bought_id=bought_id, intent=intent, around=around)
        self._memories.keep(key, memory)
        return memory

    async def act(self, seen: BoughtObservation[BoughtStatus], action: Action) -> object:
        """One request to the provider, or one line of the audit log."""
        if isinstance(action, RecordUsage):
            write_usage(action, self._ports.clock.now())
            return None
        metadata = seen.resource.metadata
        key = Key(seen.resource.kind, metadata.namespace or "", metadata.name)
        eyes = await self.eyes(seen.resource)
        return await carry_out(
            self._clouds, eyes, seen.credential, Remembered(self._memories, key, metadata.uid), action
        )

    def forget(self, key: Key) -> None:
        """The resource is gone: drop its memory."""
        self._memories.drop(key)
