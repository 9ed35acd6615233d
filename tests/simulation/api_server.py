"""The played API server: versions, finalizers, owners and merge patches as the real one keeps them, and its feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.faults import Boundary, Fault, Kind
from tests.simulation.world import FEED_LAG, Caller, Errors, World

from tunesmith.kube.client import Listing
from tunesmith.kube.errors import KubeError, from_status, unreachable
from tunesmith.kube.kinds import ObjectKind

Raw = Mapping[str, Any]
Place = tuple[str, str, str]
OWN = frozenset({"GPUCluster", "SharedVolume"})
NAMESPACE = "ml"
PARTS = frozenset({"metadata", "spec", "annotations"})


@dataclass(eq=False)
class Store:
    """Objects by kind, namespace and name. What is stored is never changed in place, so it can be handed out.

    `writes` are counted by the name of the resource that the object is or belongs to.
    """

    objects: dict[Place, Raw] = field(default_factory=dict)
    changed: Callable[[Raw, bool], None] = lambda raw, deleted: None
    vanished: Callable[[Raw], None] = lambda raw: None
    version: int = 100
    made: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    applied: dict[Place, Raw] = field(default_factory=dict)

    def find(self, kind: str, name: str, namespace: str = NAMESPACE) -> Raw | None:
        """The object as it is stored."""
        return self.objects.get((kind, namespace, name))

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Raw]:
        """All objects of a kind, by name."""
        return [raw for (k, ns, _), raw in sorted(self.objects.items()) if k == kind and namespace in (None, "", ns)]

    def put(self, raw: Raw) -> Raw:
        """Store a new state under a new version; an object that nothing holds any more is gone with it."""
        self.version += 1
        self.writes[_whose(raw)] += 1
        meta = {**raw["metadata"], "resourceVersion": str(self.version)}
        if "uid" not in meta:
            self.made += 1
            meta["uid"] = f"uid-{self.made}-{meta['name']}"
        stored = {**raw, "metadata": meta}
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self._remove(stored)
            return stored
        if self._owners_are_gone(meta):
            return stored  # it is collected before anybody reads it
        self.objects[_place(stored)] = stored
        self.changed(stored, False)
        return stored

    def apply(self, manifest: Raw) -> Raw:
        """Server-side apply: what the manifest says stands, what it said the last time and says no more goes."""
        place = _place(manifest)
        stored, before = self.objects.get(place), self.applied.get(place, {})
        if stored is None:
            self.applied[place] = manifest
            return self.put(manifest)
        _compare(stored, manifest["metadata"])
        merged = _applied(_applied(stored, before, manifest, "spec"), before, manifest)
        old, new = before.get("metadata") or {}, manifest["metadata"]
        merged["metadata"] = _applied(_applied(stored["metadata"], old, new, "annotations"), old, new)
        self.applied[place] = manifest
        return stored if merged == stored else self.put(merged)

    def status(self, raw: Raw, status: Raw) -> Raw:
        """The whole status, if `raw` is the newest."""
        stored = self._stored(raw["kind"], raw["metadata"].get("namespace"), raw["metadata"]["name"])
        _compare(stored, raw["metadata"])
        before = stored.get("status") or {}
        if {**before, "cost": None} == {**status, "cost": None}:
            self.writes[_whose(stored)] -= 1  # what was spent moves hourly, by design
        return self.put({**stored, "status": status})

    def merge(self, kind: str, namespace: str | None, name: str, patch: Raw) -> Raw:
        """JSON merge patch, of metadata and spec."""
        stored = self._stored(kind, namespace, name)
        _compare(stored, patch.get("metadata") or {})
        patch = {**patch, "metadata": {k: v for k, v in patch["metadata"].items() if k != "resourceVersion"}}
        return self.put(_merged(stored, patch))

    def delete(self, kind: str, namespace: str | None, name: str, uid: str | None = None) -> bool:
        """Delete: at once when nothing holds it, else it is marked."""
        stored = self.objects.get((kind, namespace or "", name))
        if stored is None or (uid is not None and stored["metadata"]["uid"] != uid):
            return False
        if stored["metadata"].get("finalizers"):
            if not stored["metadata"].get("deletionTimestamp"):
                self.put(_merged(stored, {"metadata": {"deletionTimestamp": "2026-01-05T09:00:00Z"}}))
            return True
        self._remove(stored)
        return True

    def lose(self, raw: Raw) -> None:
        """The object vanishes whatever its finalizers say: somebody else's doing."""
        self.objects.pop(_place(raw), None)
        self.version += 1
        meta = {**raw["metadata"], "resourceVersion": str(self.version)}
        self.changed({**raw, "metadata": meta}, True)
        self._collect(raw)

    def _remove(self, raw: Raw) -> None:
        self.objects.pop(_place(raw), None)
        self.changed(raw, True)
        self.vanished(raw)
        self._collect(raw)

    def _owners_are_gone(self, meta: Raw) -> bool:
        owners = {owner["uid"] for owner in meta.get("ownerReferences") or ()}
        return bool(owners) and not any(each["metadata"]["uid"] in owners for each in self.objects.values())

    def _collect(self, raw: Raw) -> None:
        """What only this object owned goes with it."""
        uid = raw["metadata"].get("uid")
        for other in list(self.objects.values()):
            if any(owner["uid"] == uid for owner in other["metadata"].get("ownerReferences") or ()):
                self.delete(other["kind"], other["metadata"].get("namespace"), other["metadata"]["name"])

    def _stored(self, kind: str, namespace: str | None, name: str) -> Raw:
        stored = self.objects.get((kind, namespace or "", name))
        if stored is None:
            raise from_status("write", 404)
        return stored


class Feeds:
    """What the API server tells each process: a little later, and at the weather's pleasure late or twice."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._listeners: dict[Caller, Callable[[Raw, bool], None]] = {}

    def listen(self, caller: Caller, seen: Callable[[Raw, bool], None]) -> None:
        """From now on this process is told."""
        self._listeners[caller] = seen

    def tell(self, raw: Raw, deleted: bool) -> None:
        """Something has changed."""
        if raw["kind"] not in OWN:
            return
        for caller, seen in list(self._listeners.items()):
            if not caller.alive:
                self._listeners.pop(caller, None)  # one listener may have ended another while it was told
                continue
            self._tell(caller, seen, raw, deleted)

    def _tell(self, caller: Caller, seen: Callable[[Raw, bool], None], raw: Raw, deleted: bool) -> None:
        world = self._world
        fault = world.weather.strikes(Boundary.FEED, world.now)
        kind, lag = (None, 0.0) if fault is None else (fault.kind, fault.size * FEED_LAG)
        slow = lag if kind in {Kind.DELAY, Kind.LATE, Kind.STALE} else 0.0

        def arrives() -> None:
            if kind is Kind.CRASH_BEFORE:
                caller.die()
            if not caller.alive:
                return
            seen(raw, deleted)
            if kind is Kind.CRASH_AFTER:
                caller.die()

        world.later(world.latency() + slow, arrives)
        if kind is Kind.DUPLICATE:
            world.later(world.latency() + lag, arrives)
        if fault is not None and kind in world.events:
            world.events[kind](fault.size)


@dataclass(eq=False)
class PlayedKube:
    """An API server as one process reaches it. `store` is looked up at every request: a cluster may be no more."""

    world: World
    caller: Caller
    store: Callable[[], Store]
    boundaries: Mapping[str, Boundary]

    async def get(self, kind: ObjectKind, namespace: str | None, name: str) -> Raw | None:
        """One object."""
        return await self._across("get", lambda _: self.store().objects.get((kind.kind, namespace or "", name)))

    async def list(self, kind: ObjectKind, namespace: str | None = None, **_: Any) -> Listing:
        """All objects of a kind."""

        def listed(_: Fault | None) -> Listing:
            store = self.store()
            return Listing(tuple(store.of_kind(kind.kind, namespace)), str(store.version))

        return await self._across("list", listed)

    async def apply(self, manifest: Raw) -> Raw:
        """Server-side apply."""
        return await self._across("apply", lambda _: self.store().apply(manifest))

    async def patch_status(self, raw: Raw, status: Raw) -> Raw:
        """The whole status, by compare-and-swap."""

        def written(fault: Fault | None) -> Raw:
            self._touched(fault, raw["kind"], raw["metadata"])
            return self.store().status(raw, status)

        return await self._across("status", written)

    async def merge_patch(self, kind: ObjectKind, namespace: str | None, name: str, patch: Raw) -> Raw:
        """JSON merge patch."""

        def written(fault: Fault | None) -> Raw:
            self._touched(fault, kind.kind, {"namespace": namespace, "name": name})
            return self.store().merge(kind.kind, namespace, name, patch)

        return await self._across("metadata", written)

    async def delete(
        self, kind: ObjectKind, namespace: str | None, name: str, *, uid: str | None = None, **_: Any
    ) -> bool:
        """Delete."""
        return await self._across("delete", lambda _: self.store().delete(kind.kind, namespace, name, uid))

    async def _across(self, verb: str, effect: Callable[[Fault | None], Any]) -> Any:
        return await self.world.across(self.caller, self.boundaries[verb], effect, KUBE_ERRORS)

    def _touched(self, fault: Fault | None, kind: str, meta: Raw) -> None:
        """Another writer was faster, so the version that this write carries is not the newest any more."""
        if fault is None or fault.kind is not Kind.CONFLICT:
            return
        stored = self.store().objects.get((kind, meta.get("namespace") or "", meta["name"]))
        if stored is not None:
            labels = {"touched": f"{fault.size:.6f}"}
            self.store().put({**stored, "metadata": {**stored["metadata"], "labels": labels}})


KUBE_ERRORS = Errors(
    lost=lambda: unreachable("the request", "the answer was lost"),
    refused=lambda: from_status("the request", 503),
)
HERE = {
    "get": Boundary.KUBE_GET,
    "list": Boundary.KUBE_LIST,
    "apply": Boundary.KUBE_APPLY,
    "status": Boundary.KUBE_STATUS,
    "metadata": Boundary.KUBE_METADATA,
    "delete": Boundary.KUBE_DELETE,
}
INSIDE = {"get": Boundary.INSIDE_GET, "list": Boundary.INSIDE_LIST, "apply": Boundary.INSIDE_APPLY}


def gone_away() -> KubeError:
    """What a request to a cluster that is no more ends with."""
    return unreachable("the request", "the cluster does not answer")


def _merged(stored: Any, patch: Raw) -> Any:
    merged = dict(stored or {})
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key) or {}, Mapping):
            merged[key] = _merged(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _compare(stored: Raw, sent: Raw) -> None:
    for mark in ("uid", "resourceVersion"):
        if sent.get(mark, stored["metadata"][mark]) != stored["metadata"][mark]:
            raise from_status("write", 409)


def _applied(stored: Raw, before: Raw, now: Raw, part: str | None = None) -> dict[str, Any]:
    """The fields, or those of one part, after an apply; parts are taken one by one and left alone here."""
    if part is not None:
        inner = _applied(stored.get(part) or {}, before.get(part) or {}, now.get(part) or {})
        return {**stored, part: inner} if inner or part in stored else dict(stored)
    gone = {key for key, value in before.items() if key not in now and not isinstance(value, Mapping)}
    said = {key: value for key, value in now.items() if key not in PARTS}
    return {**{key: value for key, value in stored.items() if key not in gone}, **said}


def _whose(raw: Raw) -> str:
    owners = raw["metadata"].get("ownerReferences") or ()
    return str(next((owner["name"] for owner in owners), raw["metadata"]["name"]))


def _place(raw: Raw) -> Place:
    meta = raw["metadata"]
    return str(raw["kind"]), str(meta.get("namespace") or ""), str(meta["name"])
