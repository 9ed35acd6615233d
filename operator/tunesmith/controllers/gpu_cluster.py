"""A GPUCluster's eyes and hands: gathers what planning/gpu_cluster.py decides on, and carries out its requests."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.controllers.cloud_view import CloudView, Eyes
from tunesmith.controllers.controller import Key, pool_key
from tunesmith.controllers.fine_tune_job import jobs_on_cluster
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.purchasing import Purchasing
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CLAIM, FINE_TUNE_JOB, NAMESPACE, SECRET, SHARED_VOLUME, STORAGE_CLASS, VOLUME
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.adoption_target import held_cluster
from tunesmith.planning.circumstances import Circumstances, Known, NotYet, Unknown
from tunesmith.planning.cluster_kubeconfig_facts import (
    CLUSTER_ID_ANNOTATION,
    KUBE_SYSTEM_ANNOTATION,
    REPLACED_ANNOTATION,
    belongs_to,
    hash_of,
)
from tunesmith.planning.cluster_observation import (
    NOT_LOOKED,
    ClusterObservation,
    InsideFacts,
    KubeconfigFacts,
    NamedVolume,
    StoredSecret,
)
from tunesmith.planning.decision import Action, Decision
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.kube_facts import NodeFact, PodFact, node_fact, pod_fact
from tunesmith.planning.neighbours import (
    blames,
    inside_facts,
    job_uses,
    named_volume,
    using_pods,
    waiting_jobs,
    wanting_jobs,
)
from tunesmith.planning.provider import Credential
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.parsing import parse
from tunesmith.resources.shared_volume import SharedVolume

Raw = Mapping[str, Any]
INSIDE_SECONDS = 15.0
KUBECONFIGS_REMEMBERED = 8192
READINGS_A_SECOND = 10
"""So often, of all GPUClusters together, what nobody watches is asked for again where nothing has happened."""
LONGEST_READING_SECONDS = 300.0


@dataclass(frozen=True)
class _Reading:
    """What a pass asked for by requests of its own: of which version of the resource, and when (monotonic seconds)."""

    version: str
    at: float
    eyes: Eyes
    secret: Known[StoredSecret | None] | Unknown
    inside: Known[InsideFacts] | Unknown

    @property
    def is_whole(self) -> bool:
        """Everything was answered, and the answer was that all is there."""
        stored = None if isinstance(self.secret, Unknown) else self.secret.value
        return isinstance(self.eyes.credential, Credential) and stored is not None and isinstance(self.inside, Known)


class GPUClusterController:
    """The GPUCluster's part in a pass."""

    kind = "GPUCluster"

    def __init__(self, ports: Ports, clouds: CloudView) -> None:
        self._ports = ports
        self._clouds = clouds
        self._purchasing = Purchasing(ports, clouds)
        self._kubeconfigs: dict[str, KubeconfigFacts] = {}
        self._readings: dict[Key, _Reading] = {}

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> ClusterObservation:
        """The resource, the provider, the neighbours, the Secret, and the inside of the bought cluster."""
        resource = _typed(raw)
        kept = self._kept(key, resource, around)
        eyes = await self._eyes(resource, kept)
        secret = await self._secret(resource, around) if kept is None else kept.secret
        remote = RemoteCluster(key.namespace, key.name)
        nodes, uid = self._nodes(remote, resource, secret)
        inside: Known[InsideFacts] | Unknown = NOT_LOOKED
        if isinstance(nodes, Known):
            inside = await self._within_time(remote, around) if kept is None else kept.inside
        if kept is None:
            self._readings[key] = _Reading(resource.metadata.resource_version, around.monotonic, eyes, secret, inside)
        jobs = await self._jobs(key, resource)
        return ClusterObservation(
            around=around,
            resource=resource,
            credential=eyes.credential,
            provider=eyes.view,
            memory=self._purchasing.remembered(key, resource, resource.status.cluster_id, eyes, around),
            volume=await self._volume(resource),
            other_claims=self._purchasing.other_claims(resource, held_cluster(resource, eyes.view)),
            jobs=job_uses(jobs, key.name),
            blames=blames(jobs, key.name),
            wanting_jobs=self._known(jobs, wanting_jobs(jobs, key.name), around),
            waiting_jobs=self._known(jobs, waiting_jobs(jobs, key.name, resource.spec.nodes or 1), around),
            gpu_pods=self._gpu_pods(remote, nodes),
            credential_secret_held=eyes.secret_held,
            kubeconfig_secret=secret,
            inside=inside,
            nodes=nodes,
            offered=self._offered(resource, eyes),
            kube_system_uid=uid,
            pods=NOT_LOOKED if isinstance(nodes, Unknown) else self._pods(remote),
        )

    def decide(self, seen: ClusterObservation) -> Decision[GPUClusterStatus]:
        """The pure decision, on what its neighbours need at this very moment: of some that go at once one goes last."""
        needed, leaving = self._clouds.secrets_of_neighbours(seen.resource)
        reference = seen.spec.credentials_ref
        shared = reference is not None and reference.name in needed
        decision = decide(replace(seen, credential_shared=shared, secrets_of_others=needed, secrets_of_leaving=leaving))
        self._clouds.was_decided(seen.resource.metadata.uid, decision.actions)
        return decision

    async def act(self, seen: ClusterObservation, action: Action) -> object:
        """One request to the provider, or one line of the audit log."""
        return await self._purchasing.act(seen, action)

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """The volume that it names, its pool, and the jobs that run or wait on it."""
        meta = raw["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        volume = ((raw.get("spec") or {}).get("volumeRef") or {}).get("name")
        if volume:
            yield Key("SharedVolume", namespace, volume)
        yield pool_key(RemoteCluster(namespace, name))
        yield from jobs_on_cluster(self._ports.cache, namespace, name)

    def forget(self, key: Key) -> None:
        """The resource is gone: drop its memory."""
        self._purchasing.forget(key)
        self._readings.pop(key, None)

    async def _eyes(self, resource: GPUCluster, kept: _Reading | None) -> Eyes:
        """The installation's own key costs no request."""
        if kept is None or resource.spec.credentials_ref is None:
            return await self._purchasing.eyes(resource)
        return kept.eyes

    def _kept(self, key: Key, resource: GPUCluster, around: Circumstances) -> _Reading | None:
        """What was asked for in an earlier pass, while it is good enough: nothing was done, written or open since.

        Nor is the cluster seen with another kubeconfig by now. Of few clusters everything is asked for in every pass.
        """
        kept = self._readings.get(key)
        if kept is None or around.outcomes or kept.version != resource.metadata.resource_version:
            return None
        if not isinstance(self._nodes(RemoteCluster(key.namespace, key.name), resource, kept.secret)[0], Known):
            return None
        longest_seconds = min(LONGEST_READING_SECONDS, self._ports.cache.count(self.kind) / READINGS_A_SECOND)
        fresh = around.monotonic - kept.at < longest_seconds
        return kept if fresh and kept.is_whole else None

    async def _volume(self, resource: GPUCluster) -> NamedVolume | None:
        """The volume that it names. While an order is intended, as it stands now: the election may be taken back."""
        if resource.spec.volume_ref is None:
            return None
        namespace, name = resource.metadata.namespace or "", resource.spec.volume_ref.name
        raw: Raw | None = self._ports.cache.get("SharedVolume", namespace, name)
        if resource.status.create_intent is not None and resource.status.cluster_id is None:
            raw = await self._ports.kube.get(SHARED_VOLUME, namespace, name)
        typed = None if raw is None else parse(raw)
        if not isinstance(typed, SharedVolume):
            return None
        volume, spec = named_volume(typed), typed.spec
        if resource.status.cluster_id is not None:
            return volume
        credential = await self._purchasing.credential_beside(resource, spec.credentials_ref, spec.project_id)
        return replace(volume, credential=credential)

    async def _jobs(self, key: Key, resource: GPUCluster) -> tuple[Raw, ...]:
        """The jobs of the namespace; while the cluster is to be given back, as they stand now."""
        if resource.status.release is not None and resource.status.cluster_id is not None:
            return tuple((await self._ports.kube.list(FINE_TUNE_JOB, key.namespace)).items)
        return tuple(self._ports.cache.list("FineTuneJob", key.namespace))

    def _known(
        self, jobs: tuple[Raw, ...], names: frozenset[str], around: Circumstances
    ) -> Known[frozenset[str]] | Unknown:
        """No jobs in a cache that was never read whole are no news."""
        if not jobs and not self._ports.cache.synced("FineTuneJob"):
            return NotYet("the jobs have not been listed yet")
        return Known(names, around.monotonic)

    def _gpu_pods(
        self, remote: RemoteCluster, nodes: Known[tuple[NodeFact, ...]] | Unknown
    ) -> Known[frozenset[str]] | Unknown:
        """From the reflector that the nodes come from; looked at only once there is a kubeconfig of ours."""
        if isinstance(nodes, Unknown):
            return nodes
        pods = self._ports.remotes.view(remote).pods
        return pods if isinstance(pods, Unknown) else Known(using_pods(map(pod_fact, pods.value)), pods.as_of)

    async def _secret(self, resource: GPUCluster, around: Circumstances) -> Known[StoredSecret | None] | Unknown:
        if resource.status.cluster_id is None:
            return NOT_LOOKED
        name = resource.spec.kubeconfig_secret_name or f"{resource.metadata.name}-kubeconfig"
        try:
            found = await self._ports.kube.get(SECRET, resource.metadata.namespace, name)
        except KubeError as error:
            return Unknown(error.failure.message)
        if found is None:
            return Known(None, around.monotonic)
        owners = frozenset(owner["uid"] for owner in found["metadata"].get("ownerReferences") or ())
        annotations, text = found["metadata"].get("annotations") or {}, _text(found)
        stored = StoredSecret(
            owners,
            text,
            cluster_id=annotations.get(CLUSTER_ID_ANNOTATION, ""),
            kube_system_uid=annotations.get(KUBE_SYSTEM_ANNOTATION, ""),
            replaced=annotations.get(REPLACED_ANNOTATION, ""),
            renew_at=self._judged(text).renew_at,
            uid=found["metadata"].get("uid", ""),
        )
        return Known(stored, around.monotonic)

    def _offered(self, resource: GPUCluster, eyes: Eyes) -> KubeconfigFacts:
        """What reading the provider's kubeconfig says."""
        bought = None if resource.status.cluster_id is None else eyes.view.cluster(resource.status.cluster_id)
        return KubeconfigFacts() if bought is None else self._judged(bought.kubeconfig)

    def _judged(self, kubeconfig: str) -> KubeconfigFacts:
        """Read once per content: certificates are not parsed at every pass."""
        if not kubeconfig:
            return KubeconfigFacts()
        name = hash_of(kubeconfig)
        if name not in self._kubeconfigs:
            if len(self._kubeconfigs) >= KUBECONFIGS_REMEMBERED:
                self._kubeconfigs.clear()
            self._kubeconfigs[name] = self._ports.remotes.judge(kubeconfig)
        return self._kubeconfigs[name]

    def _nodes(
        self, remote: RemoteCluster, resource: GPUCluster, secret: Known[StoredSecret | None] | Unknown
    ) -> tuple[Known[tuple[NodeFact, ...]] | Unknown, str]:
        """Nodes from the reflectors, and who answers; only by our own cluster's kubeconfig."""
        stored = None if isinstance(secret, Unknown) else secret.value
        if stored is None or not belongs_to(resource, stored):
            return NOT_LOOKED, ""
        view = self._ports.remotes.view(remote)
        if view.kubeconfig_hash and view.kubeconfig_hash != hash_of(stored.value):
            self._ports.remotes.look_now(remote)
            return NOT_LOOKED, ""
        if isinstance(view.nodes, Unknown):
            return view.nodes, view.kube_system_uid
        return Known(tuple(node_fact(raw) for raw in view.nodes.value), view.nodes.as_of), view.kube_system_uid

    async def _within_time(self, remote: RemoteCluster, around: Circumstances) -> Known[InsideFacts] | Unknown:
        try:
            async with asyncio.timeout(INSIDE_SECONDS):
                return Known(await self._inside_facts(remote), around.monotonic)
        except KubeError as error:
            return Unknown(error.failure.message)
        except TimeoutError:
            return Unknown(f"It gave no answer within {INSIDE_SECONDS:g} s.")

    def _pods(self, remote: RemoteCluster) -> Known[tuple[PodFact, ...]] | Unknown:
        """Pods that use GPUs or are ours, from the reflectors."""
        pods = self._ports.remotes.view(remote).pods
        return pods if isinstance(pods, Unknown) else Known(tuple(pod_fact(raw) for raw in pods.value), pods.as_of)

    async def _inside_facts(self, remote: RemoteCluster) -> InsideFacts:
        kube, namespace = await self._ports.remotes.kube(remote), self._ports.installation.jobs_namespace
        return inside_facts(
            await kube.get(NAMESPACE, None, namespace),
            (await kube.list(CLAIM, namespace)).items,
            (await kube.list(VOLUME)).items,
            (await kube.list(STORAGE_CLASS)).items,
        )


def _typed(raw: Raw) -> GPUCluster:
    resource = parse(raw)
    if not isinstance(resource, GPUCluster):
        raise TypeError(f"not a GPUCluster that can be read: {resource}")
    return resource


def _text(secret: Raw) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get("value", ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
