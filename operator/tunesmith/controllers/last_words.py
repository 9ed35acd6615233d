"""The end of a failed pod's log, read once, before anybody takes the pod away. Bounded, and without secrets."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from tunesmith.controllers.controller import Key
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.contract import read_line
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.manifests import CONTAINER

LINES = 50
LINES_READ = 200  # the trainer's messages to machines are among them, and are left out
LINE_CHARACTERS = 500
READ_SECONDS = 10.0

log = logging.getLogger(__name__)


class LastWords:
    """Remembers, for each job, what the failed pod asked about last has said."""

    def __init__(
        self, kube_for: Callable[[RemoteCluster | None], Awaitable[Kube]], redacted: Callable[[str], str]
    ) -> None:
        self._kube_for = kube_for
        self._redacted = redacted
        self._said: dict[Key, tuple[str, tuple[str, ...]]] = {}

    async def of(self, key: Key, where: RemoteCluster | None, pod: PodFact) -> tuple[str, ...]:
        """The last lines of the pod's log; none when it cannot be read, which must not hold up what follows."""
        uid, words = self._said.get(key, ("", ()))
        if uid == pod.uid:
            return words
        try:
            async with asyncio.timeout(READ_SECONDS):
                words = await self._read(where, pod)
        except (KubeError, TimeoutError) as error:
            log.warning("The log of a failed pod cannot be read.", extra={"pod": pod.name, "why": str(error)})
            words = ()
        self._said[key] = (pod.uid, words)
        return words

    def forget(self, key: Key) -> None:
        """The job is gone, or has ended."""
        self._said.pop(key, None)

    async def _read(self, where: RemoteCluster | None, pod: PodFact) -> tuple[str, ...]:
        words: deque[str] = deque(maxlen=LINES)
        kube = await self._kube_for(where)
        lines = kube.logs(pod.namespace, pod.name, container=CONTAINER, follow=False, tail_lines=LINES_READ)
        async with aclosing(lines):
            async for line in lines:
                if read_line(line) is None:
                    words.append(self._redacted(line[:LINE_CHARACTERS]))
        return tuple(words)
