"""Events about pods, as kubelet tells them; the same one again only counts up."""

import asyncio
import contextlib
import logging
import uuid
from dataclasses import dataclass

from tunesmith_devcluster.nodes.api import Api, ApiError, Json, Unreachable
from tunesmith_devcluster.nodes.clock import now_text
from tunesmith_devcluster.nodes.pod_object import PodObject

_log = logging.getLogger(__name__)
_MOST_REMEMBERED = 1000


@dataclass
class _Told:
    path: str
    count: int


class EventRecorder:
    """Writes Events one after the other, in the background; an Event that cannot be written is dropped."""

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._queue: asyncio.Queue[tuple[PodObject, str, str, str]] = asyncio.Queue()
        self._told: dict[tuple[str, str, str], _Told] = {}

    def normal(self, pod: PodObject, reason: str, message: str) -> None:
        """Something went as it should."""
        self._queue.put_nowait((pod, "Normal", reason, message))

    def warning(self, pod: PodObject, reason: str, message: str) -> None:
        """Something that a user may have to mend."""
        self._queue.put_nowait((pod, "Warning", reason, message))

    async def run(self) -> None:
        """Write what is told, for ever."""
        while True:
            pod, kind, reason, message = await self._queue.get()
            with contextlib.suppress(ApiError, Unreachable):
                await self._write(pod, kind, reason, message)

    async def _write(self, pod: PodObject, kind: str, reason: str, message: str) -> None:
        known = self._told.get((pod.uid, reason, message))
        if known is not None:
            known.count += 1
            await self._api.patch(known.path, {"count": known.count, "lastTimestamp": now_text()})
            return
        if len(self._told) > _MOST_REMEMBERED:
            self._told.clear()
        name = f"{pod.name}.{uuid.uuid4().hex[:16]}"
        path = f"/api/v1/namespaces/{pod.namespace}/events"
        await self._api.post(path, self._event(name, pod, kind, reason, message))
        self._told[(pod.uid, reason, message)] = _Told(f"{path}/{name}", 1)

    def _event(self, name: str, pod: PodObject, kind: str, reason: str, message: str) -> Json:
        now = now_text()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": pod.namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid,
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }  # fmt: skip
