"""The life of one bought cluster and its volume, told step by step, so that many can be lived at the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.proof.stage import ManagementCluster, Object, OperatorProcess, Provider, path_of

NAMESPACE = "lives"
ASK_AGAIN_SECONDS = 3.0
LIFE_SECONDS = 900.0
READY, RELEASED = "InOrder", "Released"


@dataclass(frozen=True)
class Boundary:
    """A moment in the story at which the operator dies."""

    stage: str
    effect: str
    when: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.when} {self.effect}"


@dataclass
class World:
    """What everybody sees, looked at once a turn."""

    management: ManagementCluster
    provider: Provider
    clusters: dict[str, Object] = field(default_factory=dict)
    volumes: dict[str, Object] = field(default_factory=dict)
    bought: list[Object] = field(default_factory=list)
    bought_volumes: list[Object] = field(default_factory=list)

    def look(self) -> None:
        """At everything."""
        self.clusters = {it["metadata"]["name"]: it for it in self.management.items("GPUCluster", NAMESPACE)}
        self.volumes = {it["metadata"]["name"]: it for it in self.management.items("SharedVolume", NAMESPACE)}
        state = self.provider.state()
        self.bought, self.bought_volumes = state["clusters"], state["volumes"]


class Life:
    """One GPUCluster and one SharedVolume of the same name, from creation to the end."""

    def __init__(
        self, world: World, directory: Path, name: str, *, policy: str, boundaries: tuple[Boundary, ...] = ()
    ) -> None:
        """`boundaries`: at the first of these that is met the operator dies, once."""
        self.name = name
        self.boundaries = boundaries
        self._world = world
        self._directory = directory
        self._policy = policy
        self._stage_now = ""
        self._asked = 0.0
        self._end = time.monotonic() + LIFE_SECONDS
        self._steps = self._told()
        if boundaries:
            moments = [{"name": name, "stage": at.stage, "effect": at.effect, "when": at.when} for at in boundaries]
            _write(directory / "plan" / name, json.dumps(moments))

    def go_on(self) -> bool:
        """Do what can be done now. False: the story is over. Raises AssertionError as soon as something is wrong."""
        self._nothing_is_there_twice()
        assert time.monotonic() < self._end, f"{self} did not get on: {self._where()}"
        return next(self._steps, False)

    @property
    def died(self) -> bool:
        """The operator died at one of this life's boundaries."""
        return (self._directory / "deaths" / self.name).exists()

    def __str__(self) -> str:
        return f"'{self.name}' (killed at {' or '.join(map(str, self.boundaries)) or 'nothing'})"

    def _told(self) -> Iterator[bool]:
        yield from self._created()
        if self._policy == "Delete":
            yield from self._sized("scale up", 3)
            yield from self._sized("scale down", 1)
            yield from self._released()
            yield from self._bought_again()
        yield from self._deleted()

    def _created(self) -> Iterator[bool]:
        self._stage("create")
        where = {"region": "us-central-8", "deletionPolicy": self._policy}
        # One way of each: bought by an order of its own, and made with the cluster.
        mode = "Immediate" if self._policy == "Delete" else "WaitForFirstCluster"
        self._create("SharedVolume", {**where, "sizeTiB": 1, "bindingMode": mode})
        spec = {**where, "gpuType": "H100_SXM", "nodes": 2, "volumeRef": {"name": self.name}}
        self._create("GPUCluster", {**spec, "idle": {"warnAfterSeconds": 86400}})
        yield from self._until(lambda: self._reason() == READY)

    def _sized(self, stage: str, nodes: int) -> Iterator[bool]:
        self._stage(stage)
        self._patch({"spec": {"nodes": nodes}})
        yield from self._until(lambda: self._gpus() == [nodes * 8] and self._reason() == READY)

    def _released(self) -> Iterator[bool]:
        self._stage("release")
        self._patch({"spec": {"idle": {"deleteAfterSeconds": 1}}})
        yield from self._until(lambda: self._reason() == RELEASED)
        assert not self._there(self._world.bought), f"{self} is Released and bills on"

    def _bought_again(self) -> Iterator[bool]:
        self._stage("reacquire")
        wish = {"tunesmith.dev/reacquire-requested-at": "2026-01-01T00:00:00Z"}
        self._patch({"metadata": {"annotations": wish}, "spec": {"idle": {"deleteAfterSeconds": None}}})
        yield from self._until(lambda: self._gpus() == [8] and self._reason() == READY)

    def _deleted(self) -> Iterator[bool]:
        self._stage("delete")
        for kind in ("GPUCluster", "SharedVolume"):
            self._world.management.api.delete(path_of(kind, NAMESPACE, self.name))
        yield from self._until(lambda: self.name not in self._world.clusters and self.name not in self._world.volumes)
        kept = 1 if self._policy == "Retain" else 0
        assert len(self._there(self._world.bought)) == kept, f"{self}: {self._there(self._world.bought)}"
        assert len(self._there(self._world.bought_volumes)) == kept, f"{self}: {self._world.bought_volumes}"

    def _nothing_is_there_twice(self) -> None:
        """Two clusters in the whole life, one after the other, because it is bought again once; one volume."""
        clusters, volumes = self._ever(self._world.bought), self._ever(self._world.bought_volumes)
        assert len(self._there(clusters)) <= 1, f"{self} was bought twice: {clusters}"
        assert len(clusters) <= (2 if self._stage_now in {"reacquire", "delete"} else 1), f"{self}: {clusters}"
        assert len(volumes) <= 1, f"{self}: the volume was bought twice: {volumes}"

    def _until(self, holds: Callable[[], bool]) -> Iterator[bool]:
        while not holds():
            self._ask()
            yield True

    def _ask(self) -> None:
        """As a user does who is in a hurry: without it the provider is looked at every ten seconds."""
        if time.monotonic() - self._asked < ASK_AGAIN_SECONDS:
            return
        self._asked = time.monotonic()
        for kind, known in (("GPUCluster", self._world.clusters), ("SharedVolume", self._world.volumes)):
            if self.name in known:
                wish = {"tunesmith.dev/reconcile-requested-at": f"{self._asked:.0f}"}
                self._world.management.annotate(kind, NAMESPACE, self.name, wish)

    def _stage(self, name: str) -> None:
        self._stage_now = name
        _write(self._directory / "stage" / self.name, name)

    def _create(self, kind: str, spec: Object) -> None:
        meta = {"name": self.name, "namespace": NAMESPACE}
        self._world.management.create(
            {"apiVersion": "tunesmith.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
        )

    def _patch(self, patch: Object) -> None:
        self._world.management.api.merge_patch(path_of("GPUCluster", NAMESPACE, self.name), patch)

    def _reason(self) -> str:
        raw = self._world.clusters.get(self.name) or {}
        status = raw.get("status") or {}
        if status.get("observedGeneration") != (raw.get("metadata") or {}).get("generation"):
            return ""
        return next((each["reason"] for each in status.get("conditions") or () if each["type"] == "Ready"), "")

    def _gpus(self) -> list[int]:
        return [each["num_gpus"] for each in self._there(self._world.bought)]

    def _ever(self, found: list[Object]) -> list[Object]:
        mark = f"-{NAMESPACE}-{self.name}-"
        return [each for each in found if mark in each.get("cluster_name", each.get("volume_name", ""))]

    def _there(self, found: list[Object]) -> list[Object]:
        return [each for each in self._ever(found) if each["gone_at"] is None]

    def _where(self) -> str:
        raw = self._world.clusters.get(self.name) or {}
        return json.dumps({"stage": self._stage_now, "status": raw.get("status"), "bought": self._gpus()})


@dataclass
class Stage:
    """Where lives are lived: one operator, which lives again whenever it has killed itself."""

    world: World
    operator: OperatorProcess
    directory: Path

    @property
    def kills(self) -> int:
        """How often it has."""
        return len(list((self.directory / "deaths").iterdir()))

    def live(self, lives: list[Life], *, at_once: int) -> None:
        """All of them, so many at the same time, to their ends."""
        waiting, running = list(lives), list[Life]()
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(waiting.pop(0))
            assert self.operator.ended is None, self.operator.log.read_text()[-2000:]
            self.world.look()
            running = [life for life in running if life.go_on()]
            time.sleep(0.1)

    def boundaries(self, name: str) -> list[Boundary]:
        """Every boundary of a life that was lived, in the order in which they were first met."""
        lines = (self.directory / "effects").read_text().splitlines()
        met = [json.loads(line) for line in lines]
        found = dict.fromkeys(
            Boundary(each["stage"], each["effect"], each["when"]) for each in met if each["name"] == name
        )
        return list(found)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}")
    new.write_text(text)
    new.rename(file)
