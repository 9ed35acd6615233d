"""Keeps a cache in step with one collection of an API server: list, watch, and list again when the watch has a gap.

What was deleted in such a gap is found by comparing the new list with the cache, and is told like any other change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube, WatchEvent
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import ObjectKind

Raw = Mapping[str, Any]
LONGEST_PAUSE_SECONDS = 30.0
BETWEEN_WATCHES_SECONDS = 0.2  # a server that ends every watch at once must not be hammered

log = logging.getLogger(__name__)


def keep_all(raw: Raw) -> bool:
    """Every object is of interest."""
    return bool(raw)


class Reflector:
    """One kind (in one namespace, with one label selector) of one API server. `run` never ends by itself."""

    def __init__(
        self,
        kube: Kube,
        kind: ObjectKind,
        cache: Cache,
        *,
        changed: Callable[[Raw], None],
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        namespace: str | None = None,
        label_selector: str = "",
        keep: Callable[[Raw], bool] = keep_all,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        inactivity_seconds: float = 70.0,
    ) -> None:
        """`changed` is told each object that is new, newer or gone. `keep` says which objects are cached at all."""
        self.kind = kind
        self.last_contact = monotonic()  # monotonic seconds of the last sign of life: a list, an event, a bookmark
        self._kube = kube
        self._cache = cache
        self._changed = changed
        self._monotonic = monotonic
        self._jitter = jitter
        self._namespace = namespace
        self._label_selector = label_selector
        self._keep = keep
        self._sleep = sleep
        self._inactivity_seconds = inactivity_seconds
        self._version: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
                await self._sleep(BETWEEN_WATCHES_SECONDS)
            except KubeError as error:
                await self._after(error)

    async def _after(self, error: KubeError) -> None:
        if error.expired and self._version is not None:
            self._version = None
            return
        if error.status is not None and error.status != 429:
            self._version = None  # whatever the server means by it, a new list is right
        pause = min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(self._failures, 8)) * (0.5 + 0.5 * self._jitter())
        self._failures += 1
        log.warning("A watch failed.", extra={"watched": self.kind.kind, "why": str(error), "pause_seconds": pause})
        await self._sleep(pause)

    async def _list(self) -> None:
        listing = await self._kube.list(self.kind, self._namespace, label_selector=self._label_selector)
        self._version = listing.resource_version
        self._contact()
        kept = [trimmed(raw) for raw in listing.items if self._keep(raw)]
        changed, gone = self._cache.replace(self.kind.kind, kept, listing.resource_version)
        for raw in (*changed, *gone):
            self._changed(raw)

    async def _watch(self) -> None:
        assert self._version is not None
        stream = self._kube.watch(
            self.kind,
            self._namespace,
            self._version,
            label_selector=self._label_selector,
            inactivity_seconds=self._inactivity_seconds,
        )
        async with aclosing(stream) as events:
            async for event in events:
                self._contact()
                self._take(event)
                self._version = str(event.object["metadata"]["resourceVersion"])

    def _take(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            return
        raw = trimmed(event.object)
        if event.type == "DELETED" or not self._keep(raw):
            taken = self._cache.remove(raw) if event.type == "DELETED" else self._cache.drop(raw)
        else:
            taken = self._cache.observe(raw)
        if taken:
            self._changed(raw)

    def _contact(self) -> None:
        self.last_contact = self._monotonic()
        self._failures = 0


def trimmed(raw: Raw) -> Raw:
    """The object without its managed fields, which are half of its size and of no use to us."""
    if "managedFields" not in raw["metadata"]:
        return raw
    return {**raw, "metadata": {key: value for key, value in raw["metadata"].items() if key != "managedFields"}}
