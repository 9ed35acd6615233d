"""A toy kind, a Kubernetes in memory and a clock for tests of the shell."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from tunesmith.controllers.controller import ActionFailed, Key
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Chance, Reconciler
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Listing
from tunesmith.kube.errors import from_status
from tunesmith.kube.kinds import ObjectKind, kind_of
from tunesmith.planning.circumstances import Circumstances, Installation
from tunesmith.planning.decision import Action, Decision, EventNote, Failure

Raw = Mapping[str, Any]


class ManualClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class MemoryKube:
    """Objects in a dictionary, with resourceVersions that are compared as the API server compares them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str | None, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: dict[str, Callable[[], None]] = {}  # what happens just before a verb, once
        self._version = 100

    def put(self, raw: Raw) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(dict(raw))
        stored["metadata"].setdefault("uid", f"uid-{stored['metadata']['name']}")
        stored["metadata"]["resourceVersion"] = str(self._version)
        meta = stored["metadata"]
        self.objects[stored["kind"], meta.get("namespace"), meta["name"]] = stored
        return copy.deepcopy(stored)

    async def get(self, kind: ObjectKind, namespace: str | None, name: str) -> Raw | None:
        self._begin("get", kind.kind)
        return copy.deepcopy(self.objects.get((kind.kind, namespace, name)))

    async def list(self, kind: ObjectKind, namespace: str | None = None, **_: Any) -> Listing:
        self._begin("list", kind.kind)
        found = [raw for (name, at, _), raw in self.objects.items() if name == kind.kind and namespace in (None, at)]
        return Listing(tuple(copy.deepcopy(found)), str(self._version))

    async def apply(self, manifest: Raw) -> Raw:
        self._begin("apply", manifest["kind"])
        return self.put(manifest)

    async def patch_status(self, raw: Raw, status: Raw) -> Raw:
        self._begin("patch_status", raw["kind"])
        meta = raw["metadata"]
        stored = self._stored(kind_of(raw["apiVersion"], raw["kind"]), meta.get("namespace"), meta["name"])
        self._compare(stored, meta)
        return self.put({**stored, "status": status})

    async def merge_patch(self, kind: ObjectKind, namespace: str | None, name: str, patch: Raw) -> Raw:
        self._begin("merge_patch", kind.kind)
        stored = self._stored(kind, namespace, name)
        self._compare(stored, patch["metadata"])
        meta = {**stored["metadata"], **patch["metadata"]}
        changed = {**(stored["metadata"].get("annotations") or {}), **(patch["metadata"].get("annotations") or {})}
        meta["annotations"] = {key: value for key, value in changed.items() if value is not None}
        return self.put({**stored, "metadata": meta})

    async def json_patch(self, kind: ObjectKind, namespace: str | None, name: str, patch: list[dict[str, Any]]) -> Raw:
        self._begin("json_patch", kind.kind)
        stored = self._stored(kind, namespace, name)
        for operation in patch:
            if operation["path"] == "/spec/nodeSelector":
                stored["spec"]["nodeSelector"] = operation["value"]
            if operation["path"] == "/spec/schedulingGates":
                del stored["spec"]["schedulingGates"]
        return self.put(stored)

    async def delete(self, kind: ObjectKind, namespace: str | None, name: str, **_: Any) -> bool:
        self._begin("delete", kind.kind)
        return self.objects.pop((kind.kind, namespace, name), None) is not None

    def writes(self) -> list[str]:
        return [verb for verb, _ in self.requests if verb not in {"get", "list"}]

    def _begin(self, verb: str, kind: str) -> None:
        self.requests.append((verb, kind))
        self.before.pop(verb, lambda: None)()

    def _stored(self, kind: ObjectKind, namespace: str | None, name: str) -> dict[str, Any]:
        stored = self.objects.get((kind.kind, namespace, name))
        if stored is None:
            raise from_status("write", 404)
        return copy.deepcopy(stored)

    def _compare(self, stored: Raw, sent: Raw) -> None:
        if sent.get("resourceVersion", stored["metadata"]["resourceVersion"]) != stored["metadata"]["resourceVersion"]:
            raise from_status("write", 409)


class ToyStatus(BaseModel):
    model_config = ConfigDict(frozen=True)
    observedGeneration: int = -1
    word: str = ""


@dataclass(frozen=True)
class Buy(Action):
    thing: str
    costs_money = True


@dataclass(frozen=True)
class Look(Action):
    thing: str


@dataclass(frozen=True)
class ToySeen:
    raw: Raw
    around: Circumstances


@dataclass
class ToyController:
    """Does what the test tells it to."""

    kind: str = "GPUCluster"
    decision: Callable[[ToySeen], Decision[ToyStatus]] = lambda seen: Decision(ToyStatus(word="fine"))
    seen: list[ToySeen] = field(default_factory=list)
    acted: list[Action] = field(default_factory=list)
    failing: dict[str, Failure] = field(default_factory=dict)
    forgotten: list[Key] = field(default_factory=list)
    dependents: list[Key] = field(default_factory=list)

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> ToySeen:
        return ToySeen(raw, around)

    def decide(self, seen: ToySeen) -> Decision[ToyStatus]:
        self.seen.append(seen)
        return self.decision(seen)

    async def act(self, seen: ToySeen, action: Action) -> object:
        self.acted.append(action)
        if type(action).__name__ in self.failing:
            raise ActionFailed(self.failing[type(action).__name__])
        return "done"

    def wakes(self, raw: Raw) -> Iterable[Key]:
        return self.dependents

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


@dataclass
class Shell:
    """A reconciler with everything around it."""

    cache: Cache
    queue: WorkQueue
    intake: Intake
    kube: MemoryKube
    clock: ManualClock
    toy: ToyController
    reconciler: Reconciler
    events: list[EventNote]
    key: Key = field(default_factory=lambda: Key("GPUCluster", "team", "a"))

    def known(self) -> Raw:
        raw = self.cache.get(self.key.kind, self.key.namespace, self.key.name)
        assert raw is not None
        return raw

    def stored(self) -> dict[str, Any]:
        return self.kube.objects[self.key.kind, self.key.namespace, self.key.name]


class ListRecorder:
    def __init__(self, events: list[EventNote]) -> None:
        self.events = events

    def record(self, raw: Raw, note: EventNote) -> None:
        self.events.append(note)


def a_resource(**status: Any) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "a", "generation": 1}
    return {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "metadata": metadata,
        "spec": {},
        "status": status,
    }


@pytest.fixture
def shell() -> Shell:
    cache, kube, clock, toy = Cache(), MemoryKube(), ManualClock(), ToyController()
    events: list[EventNote] = []
    queue = WorkQueue(clock.monotonic, lambda: 0.0)
    intake = Intake(cache, queue)
    reconciler = Reconciler(
        cache=cache,
        intake=intake,
        kube=kube,
        kube_actions=KubeActions(kube, remotes=None, wrote=intake.wrote),
        installation=Installation(id="abc123"),
        clock=clock,
        chance=Chance(jitter=lambda: 0.0, nonce=lambda: "nonce"),
        recorder=ListRecorder(events),
        refusal=lambda raw, now: {"word": "refused"} if raw["spec"].get("broken") else None,
    )
    reconciler.register(toy)
    cache.observe(kube.put(a_resource()))
    return Shell(cache, queue, intake, kube, clock, toy, reconciler, events)
