"""The book of names in its ConfigMap, in the operator's namespace. One writer: the process with the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tunesmith.controllers.ports import Ports
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CONFIG_MAP
from tunesmith.planning.name_book import (
    BOOK_ANNOTATION,
    Book,
    BookAction,
    KeepName,
    RecordName,
    after,
    foreign_uid,
    read_book,
    written_book,
)

TRIES = 3


class NameBook:
    """Reads and writes the ConfigMap. Every write compares the version that it was made from."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._recorded: set[RecordName] = set()
        self._writing = asyncio.Lock()

    @property
    def name(self) -> str:
        """What the ConfigMap is called."""
        return f"{self._ports.installation.release}-names"

    async def write(self, action: BookAction | KeepName) -> None:
        """Put the action's entry into the book; nothing is asked when this process has just recorded the same."""
        if action in self._recorded:
            return
        await self.change(lambda book: after(book, action, self._ports.clock.now()))
        self._recorded = {each for each in self._recorded if each.name != action.name}
        if isinstance(action, RecordName):
            self._recorded.add(action)

    async def read(self) -> Book:
        """The book as it stands; empty when there is none."""
        found = await self._found()
        return read_book((found or {}).get("data") or {})

    async def confirmation_wanted(self) -> str:
        """What a person must do before the book is believed; empty: nothing."""
        found = await self._found()
        uid = None if found is None else foreign_uid(found["metadata"])
        return "" if uid is None else f"annotate ConfigMap '{self.name}' with {BOOK_ANNOTATION}={uid}"

    async def change(self, changed: Callable[[Book], Book]) -> None:
        """Read, change, and write if anything changed. Raises `KubeError`."""
        async with self._writing:
            for attempt in range(TRIES):
                found = await self._found()
                before = read_book((found or {}).get("data") or {})
                wanted = changed(before)
                if wanted is before:
                    return
                try:
                    stored = await self._ports.kube.apply(self._manifest(wanted, found))
                    if found is None:  # only now is its uid known
                        await self._ports.kube.apply(self._manifest(wanted, stored))
                    return
                except KubeError as error:
                    if error.status != 409 or attempt == TRIES - 1:
                        raise

    async def _found(self) -> Any:
        return await self._ports.kube.get(CONFIG_MAP, self._ports.installation.operator_namespace, self.name)

    def _manifest(self, book: Book, found: Any) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": self._ports.installation.operator_namespace,
            "labels": {"app.kubernetes.io/managed-by": "tunesmith"},
        }
        if found is not None:
            meta = found["metadata"]
            mark = (meta.get("annotations") or {}).get(BOOK_ANNOTATION) or meta.get("uid")
            metadata["resourceVersion"] = meta["resourceVersion"]
            metadata["annotations"] = {BOOK_ANNOTATION: mark}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": written_book(book)}
