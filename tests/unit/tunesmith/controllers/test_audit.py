"""A feed that died silently is found; a feed that is only slow is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.controllers.audit import FeedAudit
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Listing
from tunesmith.kube.errors import unreachable
from tunesmith.kube.kinds import ObjectKind


def a_cluster(version: int, name: str = "a") -> dict[str, Any]:
    metadata = {"namespace": "team", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"kind": "GPUCluster", "metadata": metadata}


class ListingKube:
    def __init__(self, *clusters: dict[str, Any]) -> None:
        self.clusters = clusters

    async def list(self, kind: ObjectKind, *, metadata_only: bool) -> Listing:
        assert metadata_only
        return Listing(self.clusters if kind.kind == "GPUCluster" else (), "50")


async def audited(cache: Cache, kube: object, meanwhile: Callable[[], object] = lambda: None) -> list[str]:
    reasons: list[str] = []

    async def sleep(_: float) -> None:
        meanwhile()

    await FeedAudit(cache, kube, reasons.append, sleep).check()
    return reasons


async def test_a_cache_that_follows_is_well() -> None:
    cache = Cache()
    cache.observe(a_cluster(9))
    assert await audited(cache, ListingKube(a_cluster(9))) == []


async def test_what_arrives_in_time_was_only_slow() -> None:
    cache = Cache()
    assert await audited(cache, ListingKube(a_cluster(9)), lambda: cache.observe(a_cluster(9))) == []


async def test_what_was_deleted_after_the_list_was_made_is_not_behind_it() -> None:
    cache = Cache()
    cache.observe(a_cluster(8))
    assert await audited(cache, ListingKube(a_cluster(9)), lambda: cache.remove(a_cluster(10))) == []


async def test_what_was_deleted_and_made_again_after_the_list_was_made_is_not_behind_it() -> None:
    cache = Cache()
    cache.observe(a_cluster(8))
    again = a_cluster(60)
    again["metadata"]["uid"] = "another"

    def renewed() -> None:
        cache.remove(a_cluster(10))
        cache.observe(again)

    assert await audited(cache, ListingKube(a_cluster(9)), renewed) == []


async def test_a_change_that_never_arrives_means_a_dead_feed() -> None:
    cache = Cache()
    cache.observe(a_cluster(8))
    assert "gpuclusters" in (await audited(cache, ListingKube(a_cluster(9))))[0]


async def test_a_deletion_that_never_arrives_means_a_dead_feed() -> None:
    cache = Cache()
    cache.observe(a_cluster(8))
    assert await audited(cache, ListingKube()) != []


async def test_an_api_server_that_does_not_answer_says_nothing_about_the_feed() -> None:
    class Dead:
        async def list(self, *_: object, **__: object) -> Listing:
            raise unreachable("list", "no answer")

    assert await audited(Cache(), Dead()) == []
