"""Posts Kubernetes Events about our resources: best effort, aggregated, and never in the way of a pass.

The name of an Event is a hash of what it says about whom, so that a repetition counts up the one that is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import EVENT
from tunesmith.planning.decision import EventNote

Raw = Mapping[str, Any]
WAITING_AT_MOST = 1000
OBJECTS_REMEMBERED = 5000
BURST = 10
REFILL_SECONDS = 300.0
LONGEST_MESSAGE = 1024

log = logging.getLogger(__name__)


@dataclass
class _Bucket:
    """How many Events an object may still post, and when that was counted."""

    tokens: float
    counted: float


class EventRecorder:
    """Takes Events at once and posts them from a task of its own."""

    def __init__(
        self, kube: Kube, *, now: Callable[[], datetime], monotonic: Callable[[], float], instance: str
    ) -> None:
        """`instance` names this process in the Events."""
        self._kube = kube
        self._now = now
        self._monotonic = monotonic
        self._instance = instance
        self._waiting: asyncio.Queue[tuple[Raw, EventNote]] = asyncio.Queue(WAITING_AT_MOST)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def record(self, raw: Raw, note: EventNote) -> None:
        """Tell this about the resource; dropped when the resource or the process tells too much."""
        if not self._allowed(str(raw["metadata"].get("uid", ""))) or self._waiting.full():
            log.info("An Event was dropped, because there were too many.", extra={"reason": note.reason})
            return
        self._waiting.put_nowait((raw, note))

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            raw, note = await self._waiting.get()
            try:
                await self._post(raw, note)
            except KubeError as error:
                log.warning("An Event could not be posted.", extra={"reason": note.reason, "why": str(error)})
            except Exception:
                log.exception("An Event could not be posted.")
            finally:
                self._waiting.task_done()

    async def drain(self) -> None:
        """Wait until everything taken so far has been posted or given up."""
        await self._waiting.join()

    async def _post(self, raw: Raw, note: EventNote) -> None:
        manifest = self._manifest(raw, note)
        try:
            await self._kube.create(manifest)
        except KubeError as error:
            if error.status != 409:
                raise
            await self._count_up(manifest)

    async def _count_up(self, manifest: Raw) -> None:
        meta = manifest["metadata"]
        found = await self._kube.get(EVENT, meta["namespace"], meta["name"])
        count = int((found or {}).get("count") or 1) + 1
        patch = {"count": count, "lastTimestamp": manifest["lastTimestamp"]}
        await self._kube.merge_patch(EVENT, meta["namespace"], meta["name"], patch)

    def _manifest(self, raw: Raw, note: EventNote) -> dict[str, Any]:
        meta = raw["metadata"]
        namespace = meta.get("namespace") or "default"  # where Kubernetes keeps Events about cluster-scoped objects
        said = hashlib.sha256(f"{meta.get('uid')}\0{note.reason}\0{note.message}".encode()).hexdigest()[:16]
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta.get("uid", ""),
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"namespace": namespace, "name": f"{meta['name'][:230].rstrip('.-')}.{said}"},
            "involvedObject": involved,
            "type": str(note.type),
            "reason": note.reason,
            "message": note.message[:LONGEST_MESSAGE],
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "source": {"component": "tunesmith"},
            "reportingComponent": "tunesmith.dev/operator",
            "reportingInstance": self._instance,
        }

    def _allowed(self, uid: str) -> bool:
        """A token bucket per object."""
        now = self._monotonic()
        bucket = self._buckets.pop(uid, None) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.counted) / REFILL_SECONDS)
        bucket.counted = now
        self._buckets[uid] = bucket
        while len(self._buckets) > OBJECTS_REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
