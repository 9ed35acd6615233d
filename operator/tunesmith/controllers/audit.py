"""Audits the feed: does the cache follow what the API server holds? A watch that died silently is found here.

The feed hides its bookmarks, so its life can only be judged by comparing versions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import OWN_KINDS, ObjectKind

Raw = Mapping[str, Any]
PATIENCE_SECONDS = 90.0

log = logging.getLogger(__name__)


class FeedAudit:
    """Compares the cache with a list of metadata; what is still behind that list after a while means a dead feed."""

    def __init__(
        self,
        cache: Cache,
        kube: Kube,
        dead: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`dead` is called with the reason; it should end the process."""
        self._cache = cache
        self._kube = kube
        self._dead = dead
        self._sleep = sleep

    async def check(self) -> None:
        """One audit of all our kinds. An API server that does not answer says nothing about the feed."""
        try:
            listed = [(kind, await self._kube.list(kind, metadata_only=True)) for kind in OWN_KINDS]
        except KubeError as error:
            log.warning("The feed could not be audited.", extra={"why": str(error)})
            return
        suspects = [kind for kind, listing in listed if self._behind(kind, listing.items, listing.resource_version)]
        if not suspects:
            return
        await self._sleep(PATIENCE_SECONDS)
        for kind, listing in listed:
            if self._behind(kind, listing.items, listing.resource_version):
                self._dead(f"The feed of {kind.plural} is {PATIENCE_SECONDS:g} s behind the API server.")
                return

    def _behind(self, kind: ObjectKind, items: tuple[Raw, ...], resource_version: str) -> bool:
        """Whether the cache lacks something of the list, or holds something that was gone when the list was made."""
        listed = {(raw["metadata"].get("namespace", ""), raw["metadata"]["name"]): raw for raw in items}
        held = {
            (raw["metadata"].get("namespace", ""), raw["metadata"]["name"]): raw for raw in self._cache.list(kind.kind)
        }
        older = any(
            at not in held or _version(held[at]) < _version(raw)
            for at, raw in listed.items()
            if not self._cache.is_gone(raw)  # its deletion has been seen since
        )
        ghosts = any(at not in listed and _version(raw) <= int(resource_version) for at, raw in held.items())
        return older or ghosts


def _version(raw: Raw) -> int:
    return int(raw["metadata"]["resourceVersion"])
