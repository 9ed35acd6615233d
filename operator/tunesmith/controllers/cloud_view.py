"""Where a resource's API key comes from, and what the provider shows with it. Holds no rules about what that means."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from tunesmith.cloud.accounts import Account, Accounts, no_credential
from tunesmith.cloud.audit import Purpose, acting_for
from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError
from tunesmith.controllers.controller import ActionFailed, Key
from tunesmith.controllers.name_book import NameBook
from tunesmith.controllers.ports import Ports
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import SECRET
from tunesmith.planning.audited import intent_of, usd_per_hour
from tunesmith.planning.bought import NoCredential
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.decision import Action, ErrorClass, Failure
from tunesmith.planning.looks import LookAtCluster, LookAtProvider, LookAtRemediations
from tunesmith.planning.name_book import KeepName, NotePolicy, RecordName
from tunesmith.planning.neighbours import needed_secrets
from tunesmith.planning.orders import (
    ApproveRemediation,
    BuyCluster,
    BuyVolume,
    ChangeCluster,
    DeleteCluster,
    DeleteVolume,
    PurchaseAction,
    RepairNode,
    ResizeVolume,
)
from tunesmith.planning.ownership import IN_USE_FINALIZER, lets_go
from tunesmith.planning.provider import Credential, ProviderView
from tunesmith.planning.purchase import HoldIntent, PurchaseMemory
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.reasons import Reason
from tunesmith.resources.references import NameReference
from tunesmith.resources.shared_volume import SharedVolume


@dataclass(frozen=True)
class Eyes:
    """What a resource sees the provider with: the credential as a fact, and the account behind it if there is one."""

    credential: Credential | NoCredential | Unknown
    account: Account | None = None
    secret_held: bool = False

    @property
    def view(self) -> ProviderView:
        """The newest lists; unknown without an account."""
        return ProviderView() if self.account is None else self.account.view()


class CloudView:
    """Resolves credentials, and carries out what every bought kind asks of the provider."""

    def __init__(
        self,
        ports: Ports,
        accounts: Accounts,
        installation_key: Callable[[], SecretStr | None] = lambda: None,
        installation_project_id: str | None = None,
    ) -> None:
        self.names = NameBook(ports)
        self._leaving: set[str] = set()
        self._ports = ports
        self._accounts = accounts
        self._installation_key = installation_key
        self._installation_project_id = installation_project_id

    async def eyes(self, namespace: str, reference: NameReference | None, project_id: str | None) -> Eyes:
        """The credential of a resource: its own Secret's, else the installation's where that is allowed."""
        if reference is not None:
            return await self._from_secret(namespace, reference.name, project_id)
        allowed = self._ports.installation.credential_namespaces
        if allowed is not None and namespace not in allowed:
            message = (
                f"The installation's API key may not be used in namespace '{namespace}'. Give `spec.credentialsRef`."
            )
            return Eyes(NoCredential(Reason.CREDENTIALS_MISSING, message))
        return self.of_installation(project_id)

    def of_installation(self, project_id: str | None = None) -> Eyes:
        """What the installation's own credential sees."""
        key = self._installation_key()
        if key is None or not key.get_secret_value():
            message = "The installation has no API key. Give `spec.credentialsRef`, or one to the installation."
            return Eyes(NoCredential(Reason.CREDENTIALS_MISSING, message))
        return self._with_key(key, project_id or self._installation_project_id)

    def accounts_in_use(self, since: float) -> tuple[Account, ...]:
        """Every account that a resource or the installation has looked with since then (monotonic seconds)."""
        return self._accounts.in_use(since)

    def monotonic(self) -> float:
        """The process's clock, in seconds."""
        return self._ports.clock.monotonic()

    def purpose(self, eyes: Eyes, action: Action, key: Key, uid: str) -> Purpose:
        """For whom, why and at what price the audit log says that this is done."""
        price = usd_per_hour(action, eyes.view, self._ports.installation.prices)
        return Purpose(key.kind, key.namespace, key.name, uid, intent_of(action), price)

    async def act(self, eyes: Eyes, memory: PurchaseMemory, action: Action) -> tuple[PurchaseMemory, object]:
        """One request to the provider that is not a purchase; the memory after it, and the outcome's value."""
        if isinstance(action, HoldIntent):
            written = self._ports.clock.monotonic()
            return memory.with_intent_written(action.nonce, decided=action.decided_monotonic, written=written), None
        if eyes.account is None:
            raise ActionFailed(no_credential().failure)
        try:
            return await self._request(eyes.account, memory, action)
        except CloudError as error:
            raise ActionFailed(error.failure) from error

    async def buy(self, eyes: Eyes, action: PurchaseAction) -> str | Failure:
        """The one POST of a nonce: the id of what was made, or why not. Never raises what the provider answers."""
        if eyes.account is None:
            return no_credential().failure
        try:
            if isinstance(action, BuyCluster):
                return await eyes.account.buy_cluster(action.order, deadline=action.deadline)
            return await eyes.account.buy_volume(action.order, deadline=action.deadline)
        except CloudError as error:
            return error.failure

    async def _request(self, account: Account, memory: PurchaseMemory, action: Action) -> tuple[PurchaseMemory, object]:
        match action:
            case LookAtProvider(not_before, cluster_id, volume_id):
                await account.look(not_before, cluster_id=cluster_id, volume_id=volume_id)
                return memory, None
            case LookAtCluster(not_before, cluster_id):
                await account.look_at_cluster(cluster_id, not_before)
                return memory, None
            case LookAtRemediations(not_before, cluster_id):
                await account.look_at_remediations(cluster_id, not_before)
                return memory, None
            case RepairNode(cluster_id, instance_id, mode, reason):
                return memory, (await account.repair_node(cluster_id, instance_id, mode, reason)).id
            case ApproveRemediation(cluster_id, instance_id, remediation_id, comment):
                await account.cloud.approve_remediation(cluster_id, instance_id, remediation_id, comment)
                return memory, None
            case ChangeCluster(cluster_id, changes):
                await account.cloud.change_cluster(cluster_id, changes)
            case ResizeVolume(volume_id, size_tib):
                await account.cloud.resize_volume(volume_id, size_tib)
            case DeleteCluster(cluster_id):
                await account.cloud.delete_cluster(cluster_id)
                return memory.with_delete_sent(self._ports.clock.monotonic()), None
            case DeleteVolume(volume_id):
                await account.cloud.delete_volume(volume_id)
                return memory.with_delete_sent(self._ports.clock.monotonic()), None
            case _:
                raise TypeError(f"{type(action).__name__} is not a request to the provider")
        return memory.with_write(self._ports.clock.monotonic()), None

    def secrets_of_neighbours(self, resource: GPUCluster | SharedVolume) -> tuple[frozenset[str], frozenset[str]]:
        """Credential Secrets that its neighbours need, and those of neighbours that are just being let go.

        Looked up only where it has to do with a Secret itself.
        """
        if resource.spec.credentials_ref is None and resource.status.credentials_secret_name is None:
            return frozenset(), frozenset()
        others = {uid: raw for uid, raw in self._bought(resource.metadata.namespace) if uid != resource.metadata.uid}
        staying = (raw for uid, raw in others.items() if uid not in self._leaving)
        return needed_secrets(staying), needed_secrets(raw for uid, raw in others.items() if uid in self._leaving)

    def was_decided(self, uid: str, actions: Iterable[Action]) -> None:
        """Remember whether the resource is let go now: it needs its key no more."""
        if lets_go(actions):
            self._leaving = {uid, *(other for other, _ in self._bought(None) if other in self._leaving)}
        else:
            self._leaving.discard(uid)

    def _bought(self, namespace: str | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The resources that are bought with a key, by uid."""
        for kind in ("GPUCluster", "SharedVolume"):
            for raw in self._ports.cache.list(kind, namespace):
                yield str(raw["metadata"].get("uid", "")), raw

    async def _from_secret(self, namespace: str, name: str, project_id: str | None) -> Eyes:
        try:
            secret = await self._ports.kube.get(SECRET, namespace, name)
        except KubeError as error:
            return Eyes(Unknown(error.failure.message))
        if secret is None:
            message = f"Secret '{name}' of `spec.credentialsRef` does not exist in this namespace. Create it."
            return Eyes(NoCredential(Reason.CREDENTIALS_MISSING, message))
        held = IN_USE_FINALIZER in (secret["metadata"].get("finalizers") or ())
        key = _value(secret, "apiKey")
        if not key:
            message = f"Secret '{name}' has no key 'apiKey'. Put the provider's API key there."
            return Eyes(NoCredential(Reason.CREDENTIALS_MISSING, message), secret_held=held)
        eyes = self._with_key(SecretStr(key), project_id or _value(secret, "projectID") or None)
        return Eyes(eyes.credential, eyes.account, held)

    def _with_key(self, key: SecretStr, project_id: str | None) -> Eyes:
        self._ports.secret(key.get_secret_value())
        credential = ApiCredential(key, project_id)
        return Eyes(credential.fact, self._accounts.account(credential))


class PurchaseMemories:
    """What this process remembers of each resource's dealings with the provider."""

    def __init__(self) -> None:
        self._memories: dict[Key, PurchaseMemory] = {}

    def get(self, key: Key, monotonic: float) -> PurchaseMemory:
        """The memory of a resource; begun now when it is seen first."""
        return self._memories.setdefault(key, PurchaseMemory(first_seen=monotonic))

    def keep(self, key: Key, memory: PurchaseMemory) -> None:
        """Remember."""
        self._memories[key] = memory

    def drop(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._memories.pop(key, None)


@dataclass(frozen=True)
class Remembered:
    """The memory of one resource among all. `uid` is for the audit log."""

    memories: PurchaseMemories
    key: Key
    uid: str = ""

    def get(self, monotonic: float) -> PurchaseMemory:
        """What is remembered."""
        return self.memories.get(self.key, monotonic)

    def keep(self, memory: PurchaseMemory) -> None:
        """Remember."""
        self.memories.keep(self.key, memory)


async def carry_out(
    clouds: CloudView, eyes: Eyes, decided_with: object, remembered: Remembered, action: Action
) -> object:
    """One action on the provider, with what is remembered of it written down before and after.

    A decision is carried out only with the credential that it was made with.
    """
    if isinstance(decided_with, Credential) and eyes.credential != decided_with:
        message = "The credential changed while the decision was made; it is decided again."
        raise ActionFailed(Failure(ErrorClass.NOT_SENT, message))
    with acting_for(clouds.purpose(eyes, action, remembered.key, remembered.uid)):
        return await _carried_out(clouds, eyes, remembered, action)


async def _carried_out(clouds: CloudView, eyes: Eyes, remembered: Remembered, action: Action) -> object:
    memory = remembered.get(clouds.monotonic())
    if isinstance(action, RecordName | NotePolicy | KeepName):
        await clouds.names.write(action)
        if not isinstance(action, KeepName):
            remembered.keep(memory.with_policy_noted(action.name, retains=action.retains))
        return None
    if not isinstance(action, BuyCluster | BuyVolume):
        memory, value = await clouds.act(eyes, memory, action)
        remembered.keep(memory)
        return value
    memory = memory.with_post_begun(action.nonce)
    remembered.keep(memory)
    answer = await clouds.buy(eyes, action)
    remembered.keep(memory.with_post_answered(action.nonce, answer, clouds.monotonic()))
    if isinstance(answer, Failure):
        raise ActionFailed(answer)
    return answer


def _value(secret: Mapping[str, Any], key: str) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""), validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""
