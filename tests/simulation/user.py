"""The people in the played world: they create, change and delete resources, and sometimes act behind our back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from tests.simulation.api_server import NAMESPACE, Store
from tests.simulation.oracles import Watch
from tests.simulation.world import START, World

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.resources.timestamps import format_time

Raw = Mapping[str, Any]
API_VERSION = "tunesmith.dev/v1alpha1"
RECORDED = {"GPUCluster": "clusterID", "SharedVolume": "volumeID"}
FOREIGN_KEY = "the other account's"
WRONG_KEY = "nobody-knows-it"


@dataclass(eq=False)
class User:
    """What is wanted, and by which key. `wanted` are the resources as they would stand in Git.

    `own_key` is the account's own one; when it is rotated, those before are dead.
    """

    world: World
    api: Store
    watch: Watch
    chance: random.Random
    own_key: str = "key-1"
    key: str = own_key
    wanted: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted = _wishes(self.chance)

    async def begin(self) -> None:
        """Everything at about the same time, in any order."""
        for kind, name in self._shuffled():
            self.create(kind, name)
            await asyncio.sleep(self.chance.choice((0.0, 0.5, 20.0)))

    async def live(self, seconds: float) -> None:
        """Now and then something is done."""
        end = self.world.now + seconds
        while self.world.now < end:
            await asyncio.sleep(min(self.chance.uniform(20, 300), max(end - self.world.now, 1)))
            self.chance.choice(self._habits())()

    async def delete_everything(self) -> None:
        """In any order, at about the same time."""
        names = self._shuffled()
        self.wanted.clear()
        for kind, name in names:
            self.api.delete(kind, NAMESPACE, name)
            await asyncio.sleep(self.chance.choice((0.0, 0.5, 20.0)))

    def come_to_reason(self) -> None:
        """The right key, no pause, no protection, and everything that is wanted exists."""
        self.key = self.own_key
        for kind in ("GPUCluster", "SharedVolume"):
            for raw in self.api.of_kind(kind):
                held = {"tunesmith.dev/paused": None, "tunesmith.dev/deletion-protection": None}
                self._annotate(raw, held)
        self.create_what_is_missing()

    def rotate_the_key(self) -> None:
        """A new key of the same account takes the old one's place, which opens nothing any more."""
        self.own_key = self.key = f"key-{int(self.own_key.rpartition('-')[2]) + 1}"

    def answer_questions(self) -> None:
        """Resources that ask whether a predecessor is taken over are answered; so is a cluster that vanished."""
        for kind in ("GPUCluster", "SharedVolume"):
            for raw in self.api.of_kind(kind):
                if reason_of(raw) in {"Restored", "PredecessorFound"}:
                    self._change(raw, {"adoptionPolicy": "SameIdentity"})
                if reason_of(raw) == "Gone" and kind == "GPUCluster":
                    self._change(raw, {"recreatePolicy": "WhenGone"})
        self.watch.kept -= {thing.id for thing in self.watch.living() if self.watch.was_taken_over(thing)}

    def needs_a_dead_key(self, raw: Raw) -> bool:
        """What was bought or ordered was so with a key that was rotated since."""
        status = raw.get("status") or {}
        record = status if status.get(RECORDED[raw["kind"]]) else status.get("createIntent") or {}
        living = {ApiCredential(SecretStr(key)).fingerprint for key in (self.own_key, FOREIGN_KEY)}
        return record.get("credentialFingerprint", min(living)) not in living

    def abandon(self, raw: Raw) -> None:
        """Let it go without proof, by the name of what may bill, as its message says; what is wanted is made anew."""
        status = raw.get("status") or {}
        ordered = (status.get("createIntent") or {}).get("name")
        target = status.get(RECORDED[raw["kind"]]) or ordered or str(self.watch.name_of(raw))
        self._annotate(raw, {"tunesmith.dev/abandon": target})
        self.api.delete(raw["kind"], NAMESPACE, raw["metadata"]["name"])

    def create(self, kind: str, name: str) -> None:
        """Apply the wish, if nothing of the name stands there."""
        if self.api.find(kind, name) is not None or (kind, name) not in self.wanted:
            return
        created = format_time(self.world.wall())
        metadata = {"name": name, "namespace": NAMESPACE, "generation": 1, "creationTimestamp": created}
        spec = self.wanted[kind, name]
        self.api.put({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})

    def create_what_is_missing(self) -> None:
        """What a GitOps tool does all day."""
        for kind, name in self.wanted:
            self.create(kind, name)

    def _habits(self) -> list[Callable[[], None]]:
        return [
            self._delete_one,
            self.create_what_is_missing,
            self.create_what_is_missing,
            self._scale,
            self._scale,
            self._scale,
            self._ask_to_look,
            self._ask_to_buy_again,
            self._pause,
            self._protect,
            self._take_down_outside,
            self.answer_questions,
        ]

    def _delete_one(self) -> None:
        kind, name = self.chance.choice(self._shuffled())
        self.api.delete(kind, NAMESPACE, name)

    def _scale(self) -> None:
        raw = self._some_cluster()
        if raw is not None:
            self._change(
                raw, {"nodes": self.chance.choice([each for each in (1, 2, 3) if each != raw["spec"]["nodes"]])}
            )

    def _ask_to_look(self) -> None:
        self._annotate(self._some_cluster(), {"tunesmith.dev/reconcile-requested-at": format_time(self.world.wall())})

    def _ask_to_buy_again(self) -> None:
        self._annotate(self._some_cluster(), {"tunesmith.dev/reacquire-requested-at": format_time(self.world.wall())})

    def _pause(self) -> None:
        raw = self._some_cluster()
        paused = raw is not None and "tunesmith.dev/paused" in raw["metadata"].get("annotations", {})
        self._annotate(raw, {"tunesmith.dev/paused": None if paused else "true"})

    def _protect(self) -> None:
        raw = self._some_cluster()
        kept = raw is not None and "tunesmith.dev/deletion-protection" in raw["metadata"].get("annotations", {})
        self._annotate(raw, {"tunesmith.dev/deletion-protection": None if kept else "enabled"})

    def _take_down_outside(self) -> None:
        """Somebody deletes a cluster in the provider's console, of a resource that buys another then."""
        for provider in self.watch.providers:
            for cluster in list(provider.clusters.values()):
                owner = self.watch.owner_of(cluster)
                if owner is not None and owner["spec"].get("recreatePolicy") == "WhenGone":
                    provider.take_down(cluster.id)
                    return

    def _some_cluster(self) -> Raw | None:
        found = self.api.of_kind("GPUCluster")
        return self.chance.choice(found) if found else None

    def _annotate(self, raw: Raw | None, annotations: Mapping[str, str | None]) -> None:
        if raw is None:
            return
        held = raw["metadata"].get("annotations", {})
        merged = {key: value for key, value in {**held, **annotations}.items() if value is not None}
        if merged != held:
            self.api.put({**raw, "metadata": {**raw["metadata"], "annotations": merged}})

    def _change(self, raw: Raw, spec: Mapping[str, Any]) -> None:
        """The wish changes with the resource, as in Git."""
        if raw["metadata"].get("deletionTimestamp"):
            return
        changed = {**raw["spec"], **spec}
        if changed == raw["spec"]:
            return
        generation = raw["metadata"].get("generation", 1) + 1
        wish = (raw["kind"], raw["metadata"]["name"])
        if wish in self.wanted:
            self.wanted[wish] = {**self.wanted[wish], **spec}
        self.api.put({**raw, "metadata": {**raw["metadata"], "generation": generation}, "spec": changed})

    def _shuffled(self) -> list[tuple[str, str]]:
        names = sorted(self.wanted)
        self.chance.shuffle(names)
        return names


def reason_of(raw: Raw) -> str | None:
    """Why a resource is or is not Ready."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return next((c["reason"] for c in conditions if c["type"] == "Ready"), None)


def is_ready(raw: Raw) -> bool:
    """Whether the resource says that it is in order."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _wishes(chance: random.Random) -> dict[tuple[str, str], dict[str, Any]]:
    """Two clusters that share a volume, and one that stands alone, each with some of what a spec may say."""
    cluster = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1}
    volume = {"region": "us-central-8", "sizeTiB": 1, "deletionPolicy": chance.choice(("Delete", "Retain"))}
    if chance.random() < 0.3:
        volume["bindingMode"] = "Immediate"
    alone: dict[str, Any] = dict(cluster, nodes=chance.choice((1, 2)))
    alone["deletionPolicy"] = chance.choice(("Delete", "Delete", "Retain"))
    alone["recreatePolicy"] = chance.choice(("Never", "WhenGone"))
    if chance.random() < 0.5:
        alone["alternatives"] = [{"region": "us-east-1", "gpuType": "B200"}]
    if chance.random() < 0.3:
        alone["expireAfterSeconds"] = chance.choice((600, 1200))
    if chance.random() < 0.3:
        opens = START.hour * 60 + chance.choice((0, 10, 30))
        closes = opens + chance.choice((15, 40))
        alone["schedule"] = {"start": _daily(opens), "stop": _daily(closes), "timeZone": "UTC"}
    idle = {"deleteAfterSeconds": chance.choice((120, 400))}
    if chance.random() < 0.2:
        alone["idle"] = idle
    wishes: dict[tuple[str, str], dict[str, Any]] = {("GPUCluster", "alone"): alone}
    if chance.random() < 0.7:
        wishes["SharedVolume", "data"] = volume
        wishes["GPUCluster", "first"] = {**cluster, "volumeRef": {"name": "data"}}
        wishes["GPUCluster", "second"] = {**cluster, "volumeRef": {"name": "data"}}
        if chance.random() < 0.3:
            wishes["GPUCluster", "first"]["idle"] = idle
    return wishes


def _daily(minutes: int) -> str:
    return f"{minutes % 60} {minutes // 60 % 24} * * *"
