"""Takes what was seen or written into the cache, and wakes whoever should look because of it.

One place for both, because the feed does not bring our own writes back as news: the cache has them already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tunesmith.controllers.controller import Key, key_of
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.wakes import woken_by
from tunesmith.kube.cache import Cache
from tunesmith.kube.kinds import FINE_TUNE_JOB, OWN_KINDS
from tunesmith.planning.actions import RemoteCluster

Raw = Mapping[str, Any]
Wakes = Callable[[Raw], Iterable[Key]]
_OWN = frozenset(kind.kind for kind in OWN_KINDS)

log = logging.getLogger(__name__)


class Intake:
    """Cache and queue seen from outside. `gone` is told each GPUCluster that no longer exists."""

    def __init__(self, cache: Cache, queue: WorkQueue) -> None:
        self.gone: Callable[[RemoteCluster], None] | None = None
        self._cache = cache
        self._queue = queue
        self._wakes: dict[str, Wakes] = {}

    def serve(self, kind: str, wakes: Wakes) -> None:
        """Make a kind of key known; keys of others are never queued. `wakes` says who depends on a resource of it."""
        self._wakes[kind] = wakes

    def wake(self, key: Key, *, after_seconds: float = 0.0) -> None:
        """Ask for a pass over this key."""
        if key.kind in self._wakes:
            self._queue.add_after(key, after_seconds)

    def seen(self, raw: Raw, deleted: bool = False) -> None:
        """The feed saw a resource of ours. Never raises: the feed would not try again."""
        try:
            self._take(raw, deleted)
        except Exception:
            log.exception("An event of the feed could not be taken in; the next resync will.")

    def wrote(self, raw: Raw) -> None:
        """The answer to a write of our own. An object that no finalizer holds any more is gone with it."""
        meta = raw["metadata"]
        if raw["kind"] in _OWN:
            self._take(raw, bool(meta.get("deletionTimestamp")) and not meta.get("finalizers"))
        elif self._cache.synced(str(raw["kind"])):
            self._cache.observe(raw)

    def absent(self, raw: Raw) -> None:
        """The API server says that this resource of ours does not exist any more."""
        self._take(raw, deleted=True)

    def look_at(self, raw: Raw) -> None:
        """Ask for a pass over this resource, and over whoever depends on it."""
        self.wake(key_of(raw))
        for key in self._wakes.get(str(raw["kind"]), _nobody)(raw):
            self.wake(key)

    def begin(self, raws: Iterable[Raw]) -> None:
        """Ask for a pass over all resources, after a start, in this order.

        Who depends on one of them is among them. Only pools are not, and it is by their jobs that they are known. To
        ask every resource who depends on it would take a time that grows with the square of their number, while
        nobody renews the lease.
        """
        raws = tuple(raws)
        for raw in raws:
            self.wake(key_of(raw))
        for raw in raws:
            if raw["kind"] == FINE_TUNE_JOB.kind:
                self.look_at(raw)

    def child_changed(self, where: RemoteCluster | None, raw: Raw) -> None:
        """An object that is not a resource of ours has changed, here or in a bought cluster."""
        for key in woken_by(where, raw):
            self.wake(key)

    def _take(self, raw: Raw, deleted: bool) -> None:
        taken = self._cache.remove(raw) if deleted else self._cache.observe(raw)
        if not taken:
            return
        self.look_at(raw)
        if deleted and raw["kind"] == "GPUCluster" and self.gone is not None:
            self.gone(RemoteCluster(raw["metadata"]["namespace"], raw["metadata"]["name"]))


def _nobody(raw: Raw) -> Iterable[Key]:
    del raw
    return ()
