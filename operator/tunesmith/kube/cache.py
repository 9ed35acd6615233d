"""The newest known state of the objects that we watch. Read your writes: an older version never replaces a newer one.

Fed by kopf for our own kinds, by reflectors for the rest, and by the answers to our own writes. Holds no logic of any
kind and does no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import islice, takewhile
from typing import Any

from tunesmith.planning.neighbours import held_id

Raw = Mapping[str, Any]
Address = tuple[str, str]  # namespace (empty when cluster-scoped), name
Objects = list[Raw]


class Cache:
    """Objects by kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[Address, Raw]] = {}
        self._ordered: dict[str, list[Address]] = {}  # of a kind to which nothing was added since it was last listed
        self._holders: dict[tuple[str, str], set[Address]] = {}  # of an object of the provider, by kind and its id
        # What was deleted, by uid: a late answer to one of our writes must not bring it back.
        self._gone: dict[str, None] = {}
        self._synced: set[str] = set()

    def get(self, kind: str, namespace: str, name: str) -> Raw | None:
        """The object, or None when it is not known."""
        return self._objects.get(kind, {}).get((namespace, name))

    def list(self, kind: str, namespace: str | None = None) -> Objects:
        """All objects of the kind (in the namespace), ordered by namespace and name."""
        found = self._objects.get(kind, {})
        ordered = self._ordered.get(kind)
        if ordered is None:
            ordered = self._ordered[kind] = sorted(found)
        if namespace is None:
            return [found[at] for at in ordered]
        first = bisect_left(ordered, (namespace, ""))
        return [found[at] for at in takewhile(lambda at: at[0] == namespace, islice(ordered, first, None))]

    def holding(self, kind: str, identifier: str) -> Objects:
        """The resources of the kind that have recorded this object of the provider, ordered by namespace and name."""
        found = self._objects.get(kind, {})
        return [found[at] for at in sorted(self._holders.get((kind, identifier), ()))]

    def count(self, kind: str) -> int:
        """How many objects of the kind are known."""
        return len(self._objects.get(kind, {}))

    def observe(self, raw: Raw) -> bool:
        """Take a state that was seen. False: it is not newer than what is known."""
        kind, address = str(raw["kind"]), _address(raw)
        if self.is_gone(raw):
            return False
        known = self._objects.get(kind, {}).get(address)
        if known is not None and _uid(known) == _uid(raw) and _version(raw) <= _version(known):
            return False
        if known is not None and _uid(known) != _uid(raw):
            if _version(raw) < _version(known):
                return False
            self._bury(_uid(known))
        if known is None:
            self._ordered.pop(kind, None)
        self._hold(kind, address, known, raw)
        self._objects.setdefault(kind, {})[address] = raw
        return True

    def remove(self, raw: Raw) -> bool:
        """Take a deletion that was seen. False: nothing of that uid is known."""
        kind, address = str(raw["kind"]), _address(raw)
        self._bury(_uid(raw))
        return self._forget(kind, address, raw)

    def is_gone(self, raw: Raw) -> bool:
        """Whether the deletion of this very object, by its uid, has been taken in."""
        return _uid(raw) in self._gone

    def drop(self, raw: Raw) -> bool:
        """Stop keeping an object that still exists but is of no interest any more. False: it was not kept."""
        return self._forget(str(raw["kind"]), _address(raw), raw)

    def replace(self, kind: str, listed: Iterable[Raw], resource_version: str) -> tuple[Objects, Objects]:
        """Take a whole list of a kind, marking it synced. Returns what is new or newer, and what is gone.

        What is known and not in the list is deleted, unless it is newer than the list: our own write since.
        """
        listed = tuple(listed)
        present = {_uid(raw) for raw in listed}
        as_of = int(resource_version or 0)
        gone = [raw for raw in self.list(kind) if _uid(raw) not in present and _version(raw) <= as_of]
        for raw in gone:
            self.remove(raw)
        changed = [raw for raw in listed if self.observe(raw)]
        self._synced.add(kind)
        return changed, gone

    def mark_synced(self, kind: str) -> None:
        """Say that everything of the kind that existed at some moment after the start has been taken in."""
        self._synced.add(kind)

    def synced(self, kind: str) -> bool:
        """Whether a full list of the kind has been taken in since this process began to lead."""
        return kind in self._synced

    def _forget(self, kind: str, address: Address, raw: Raw) -> bool:
        known = self._objects.get(kind, {}).get(address)
        if known is None or _uid(known) != _uid(raw):
            return False
        del self._objects[kind][address]
        self._ordered.pop(kind, None)
        self._hold(kind, address, known, None)
        return True

    def _hold(self, kind: str, address: Address, before: Raw | None, after: Raw | None) -> None:
        old, new = (None if raw is None else held_id(raw) for raw in (before, after))
        if old == new:
            return
        if old is not None:
            left = self._holders[kind, old]
            left.discard(address)
            if not left:
                del self._holders[kind, old]
        if new is not None:
            self._holders.setdefault((kind, new), set()).add(address)

    def _bury(self, uid: str) -> None:
        if not uid:
            return
        self._gone[uid] = None
        while len(self._gone) > 10_000:
            del self._gone[next(iter(self._gone))]


def _address(raw: Raw) -> Address:
    meta = raw["metadata"]
    return str(meta.get("namespace", "")), str(meta["name"])


def _uid(raw: Raw) -> str:
    return str(raw["metadata"].get("uid", ""))


def _version(raw: Raw) -> int:
    """Since Kubernetes 1.35 resourceVersions of one kind are promised to be comparable numbers; they always were."""
    return int(raw["metadata"].get("resourceVersion") or 0)
