"""The CatalogModels as the API server has them: from the cache where this replica keeps one, else from a short memory.

Only the active replica watches; the other one is asked by clients all the same, and reads the list itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CATALOG_MODEL

Raw = Mapping[str, Any]
REMEMBERED_SECONDS = 15.0
KIND = "CatalogModel"


class ModelsSeen:
    """Call it for the models. Raises OSError when the API server cannot be asked."""

    def __init__(self, cache: Cache, kube: Kube, watches: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        """`watches` says whether the cache is kept up to date now."""
        self._cache = cache
        self._kube = kube
        self._watches = watches
        self._monotonic = monotonic
        self._read: tuple[float, Sequence[Raw]] | None = None
        self._reading = asyncio.Lock()

    async def __call__(self) -> Sequence[Raw]:
        """All of them."""
        if self._watches() and self._cache.synced(KIND):
            return self._cache.list(KIND)
        async with self._reading:
            if self._read is None or self._monotonic() - self._read[0] > REMEMBERED_SECONDS:
                try:
                    listed = await self._kube.list(CATALOG_MODEL)
                except KubeError as error:
                    raise OSError(str(error)) from error
                self._read = (self._monotonic(), [{**raw, "kind": KIND} for raw in listed.items])
            return self._read[1]
