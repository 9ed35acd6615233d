"""What each credential sees of its project, listed once for all resources that ask, however many they are.

One list is in flight per credential and project; whoever needs a list that was begun later than it waits for the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError
from tunesmith.cloud.interface import Cloud
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.orders import ClusterOrder, VolumeOrder
from tunesmith.planning.provider import ProviderCluster, ProviderView, ProviderVolume, Region, Remediation

Fact = TypeVar("Fact")

REGIONS_SECONDS = 600.0
"""Regions and driver catalogues change rarely: listed again with the next look after this time."""


@dataclass
class _Apart:
    """What single look-ups found of objects that a list lacked, and what they did not find. By id, with begin times."""

    clusters: dict[str, Known[ProviderCluster]] = field(default_factory=dict)
    volumes: dict[str, Known[ProviderVolume]] = field(default_factory=dict)
    not_found: dict[str, float] = field(default_factory=dict)
    fetched: dict[str, float] = field(default_factory=dict)
    remediations: dict[str, Known[tuple[Remediation, ...]]] = field(default_factory=dict)


class Account:
    """One credential in one project: its newest lists, and the requests that are made with it."""

    def __init__(
        self, cloud: Cloud, credential: ApiCredential, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.cloud = cloud
        self.credential = credential
        self._monotonic = monotonic
        self._lists = ProviderView()
        self._apart = _Apart()
        self._listing = asyncio.Lock()
        self._failures = 0
        self._last_failure: Failure | None = None
        self._listing_remediations: dict[str, asyncio.Lock] = {}

    @property
    def name(self) -> str:
        """What tells it from others, restarts included: its key's fingerprint, and the project that it asks for."""
        project = self.credential.project_id
        return self.credential.fingerprint if project is None else f"{self.credential.fingerprint}/{project}"

    def view(self) -> ProviderView:
        """The newest clean lists, with what single look-ups added to them."""
        lists = self._lists
        if not isinstance(lists.clusters, Known) or not isinstance(lists.volumes, Known):
            return replace(lists, remediations=dict(self._apart.remediations))
        clusters = _merged(lists.clusters, self._apart.clusters, lambda cluster: cluster.id)
        volumes = _merged(lists.volumes, self._apart.volumes, lambda volume: volume.id)
        return replace(
            lists,
            clusters=clusters,
            volumes=volumes,
            not_found=dict(self._apart.not_found),
            fetched=dict(self._apart.fetched),
            remediations=dict(self._apart.remediations),
        )

    async def look(self, not_before: float, *, cluster_id: str | None = None, volume_id: str | None = None) -> None:
        """Have lists begun at `not_before` or later; ask for an id that they lack by itself. Raises `CloudError`."""
        begun = self._lists.begun
        if begun is None or begun < not_before:
            await self._list(not_before)
        if cluster_id is not None and self._lists.cluster(cluster_id) is None:
            await self._look_up_cluster(cluster_id)
        if volume_id is not None and self._lists.volume(volume_id) is None:
            await self._look_up_volume(volume_id)

    async def look_at_cluster(self, cluster_id: str, not_before: float) -> None:
        """Ask for one cluster by itself, unless that was done at `not_before` or later. Raises `CloudError`."""
        if self._apart.fetched.get(cluster_id, float("-inf")) < not_before:
            begun = self._monotonic()
            await self._look_up_cluster(cluster_id)
            self._apart.fetched[cluster_id] = begun

    async def look_at_remediations(self, cluster_id: str, not_before: float) -> None:
        """Have the repairs of one cluster, listed at `not_before` or later. Raises `CloudError`."""
        async with self._listing_remediations.setdefault(cluster_id, asyncio.Lock()):
            known = self._apart.remediations.get(cluster_id)
            if known is not None and known.as_of >= not_before:
                return
            begun = self._monotonic()
            found = await self.cloud.list_remediations(cluster_id)
            self._apart.remediations[cluster_id] = Known(found, begun)

    async def repair_node(self, cluster_id: str, instance_id: str, mode: str, reason: str) -> Remediation:
        """Have a node repaired, once. Seen at once, because the list may lag. Raises `CloudError`."""
        made = await self.cloud.create_remediation(cluster_id, instance_id, mode, reason)
        known = self._apart.remediations.get(cluster_id)
        if known is not None:
            others = tuple(each for each in known.value if each.id != made.id)
            self._apart.remediations[cluster_id] = Known((*others, made), known.as_of)
        return made

    async def buy_cluster(self, order: ClusterOrder, *, deadline: float) -> str:
        """Buy a cluster, once; its id. Raises `CloudError`."""
        begun = self._monotonic()
        made = await self.cloud.create_cluster(order, deadline=deadline)
        self._apart.clusters[made.id] = Known(made, begun)
        return made.id

    async def buy_volume(self, order: VolumeOrder, *, deadline: float) -> str:
        """Buy a volume, once; its id. Raises `CloudError`."""
        begun = self._monotonic()
        made = await self.cloud.create_volume(order, deadline=deadline)
        self._apart.volumes[made.id] = Known(made, begun)
        return made.id

    async def _list(self, not_before: float) -> None:
        """One list at a time. Whoever waited for one shares how it ended, so a dead provider holds up nobody twice."""
        failed_before = self._failures
        async with self._listing:
            already = self._lists.begun
            if already is not None and already >= not_before:
                return  # the list that was in flight when we came serves us too
            if self._failures != failed_before and self._last_failure is not None:
                raise CloudError(self._last_failure)
            try:
                await self._list_now()
            except CloudError as error:
                self._failures, self._last_failure = self._failures + 1, error.failure
                raise

    async def _list_now(self) -> None:
        begun = self._monotonic()
        clusters, volumes = await asyncio.gather(self.cloud.list_clusters(), self.cloud.list_volumes())
        regions = self._lists.regions
        if not isinstance(regions, Known) or begun - regions.as_of >= REGIONS_SECONDS:
            regions = await self._regions(regions, begun)
        self._lists = ProviderView(Known(clusters, begun), Known(volumes, begun), regions)
        self._drop_superseded(begun)

    async def _regions(
        self, before: Known[tuple[Region, ...]] | Unknown, begun: float
    ) -> Known[tuple[Region, ...]] | Unknown:
        """The regions of now; those of before when they cannot be read, because no purchase hangs on their age."""
        try:
            return Known(await self.cloud.list_regions(), begun)
        except CloudError as error:
            return before if isinstance(before, Known) else Unknown(error.failure.message)

    async def _look_up_cluster(self, cluster_id: str) -> None:
        begun = self._monotonic()
        found = await self.cloud.get_cluster(cluster_id)
        if found is None:
            self._apart.clusters.pop(cluster_id, None)
            self._apart.not_found[cluster_id] = begun
            return
        self._apart.not_found.pop(cluster_id, None)
        self._apart.clusters[cluster_id] = Known(found, begun)

    async def _look_up_volume(self, volume_id: str) -> None:
        begun = self._monotonic()
        found = await self.cloud.get_volume(volume_id)
        if found is None:
            self._apart.volumes.pop(volume_id, None)
            self._apart.not_found[volume_id] = begun
            return
        self._apart.not_found.pop(volume_id, None)
        self._apart.volumes[volume_id] = Known(found, begun)

    def _drop_superseded(self, begun: float) -> None:
        listed = {c.id for c in self._lists.seen_clusters()} | {v.id for v in self._lists.seen_volumes()}
        for found in (self._apart.clusters, self._apart.volumes):
            for each in [key for key, fact in found.items() if fact.as_of < begun]:
                del found[each]
        for each in [key for key in self._apart.not_found if key in listed]:
            del self._apart.not_found[each]
        for each in [key for key in self._apart.remediations if key not in listed]:
            del self._apart.remediations[each]  # its cluster is gone
            self._listing_remediations.pop(each, None)


class Accounts:
    """All credentials in use. Two resources with the same key and project share one account, and so its lists."""

    def __init__(
        self, make_cloud: Callable[[ApiCredential], Cloud], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._make_cloud = make_cloud
        self._monotonic = monotonic
        self._accounts: dict[tuple[str, str | None], Account] = {}
        self._used: dict[tuple[str, str | None], float] = {}

    def account(self, credential: ApiCredential) -> Account:
        """The account of a credential, made at its first use."""
        key = (credential.fingerprint, credential.project_id)
        if key not in self._accounts:
            self._accounts[key] = Account(self._make_cloud(credential), credential, monotonic=self._monotonic)
        self._used[key] = self._monotonic()
        return self._accounts[key]

    def in_use(self, since: float) -> tuple[Account, ...]:
        """The accounts that something has asked for since then (monotonic seconds); a rotated key is not among them."""
        return tuple(account for key, account in self._accounts.items() if self._used[key] >= since)


def no_credential() -> CloudError:
    """What a request says when there is no API key to make it with."""
    message = "There is no API key for this resource. Give `spec.credentialsRef`, or one to the whole installation."
    return CloudError(Failure(ErrorClass.UNAUTHENTICATED, message))


def _merged(
    listed: Known[tuple[Fact, ...]], apart: dict[str, Known[Fact]], id_of: Callable[[Fact], str]
) -> Known[tuple[Fact, ...]]:
    """The list, with what single look-ups found beside it; of two answers about one thing the later question counts."""
    newer = {key: fact.value for key, fact in apart.items() if fact.as_of >= listed.as_of}
    known = {id_of(fact) for fact in listed.value}
    extra = tuple(fact.value for key, fact in sorted(apart.items()) if key not in known)
    return Known((*(newer.get(id_of(fact), fact) for fact in listed.value), *extra), listed.as_of)
