"""One life of the operator in the played world, from a seed: a stormy time, order, silence, another storm, the end.

Whatever happened, when the faults stop everything comes to rest and then nothing is written; when all resources are
deleted nothing is paid for but what was to be kept.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.simulation.accounts import Books
from tests.simulation.api_server import NAMESPACE, OWN, Feeds, Store
from tests.simulation.faults import Fault, Kind, Weather, planned
from tests.simulation.oracles import Paid, Raw, Watch
from tests.simulation.process import INSTALLATION, OperatorProcess
from tests.simulation.provider import Provider
from tests.simulation.reading import read_once
from tests.simulation.user import FOREIGN_KEY, WRONG_KEY, User, is_ready, reason_of
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import BEGIN, MESSAGE_DELAY, OracleError, World

from tunesmith.planning.naming import parse_provider_name
from tunesmith.planning.price_table import BilledFrom, BilledUntil, BillingRules
from tunesmith.resources.timestamps import parse_time

STORMS = 2
TO_REST_SECONDS = 2400.0
QUIET_SECONDS = 700.0
KEY_TROUBLE_SECONDS = 300.0
OLDER_LEADER_SECONDS = 400.0
ENDS_BY_ITSELF = frozenset({"schedule", "expireAfterSeconds", "idle"})
SLACK_SECONDS = 120.0
BEGINS = (BilledFrom.CREATED, BilledFrom.READY)
ENDS = (BilledUntil.DELETE_REQUESTED, BilledUntil.GONE)
MISMATCHED = frozenset({"CredentialMismatch", "AbsenceUnproven"})
RESTS = frozenset(
    {"WaitingForVolume", "VolumeInUse", "VolumeInAnotherRegion", "Released", "OutsideSchedule", "InOrder"}
)
"""A resource that says one of these waits for nothing that comes by itself soon."""


@dataclass
class Told:
    """What came of one life."""

    seed: int
    steps: int = 0
    passes: int = 0
    bought: int = 0
    seconds: float = 0.0
    faults: tuple[Fault, ...] = ()
    struck: list[tuple[float, Fault]] = field(default_factory=list)
    violation: str | None = None

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How often which fault struck at which boundary."""
        return Counter((str(fault.boundary), str(fault.kind)) for _, fault in self.struck)


def lived(seed: int, faults: tuple[Fault, ...] | None = None) -> Told:
    """Play one life. `faults` other than None are those of a replay: some of what the seed has planned."""
    faults = planned(random.Random(f"faults {seed}"), STORMS) if faults is None else faults
    read_once()
    loop = VirtualLoop(BEGIN)
    asyncio.set_event_loop(loop)
    try:
        life = Life(seed, faults, loop)
        told = Told(seed, faults=faults, struck=life.world.weather.struck)
        try:
            loop.run_until_complete(life.whole())
        except OracleError as broken:
            told.violation = str(broken)
        told.steps, told.passes = life.world.weather.steps, life.world.passes
        told.bought = sum(entry.is_cluster for provider in life.providers for entry in provider.ledger.values())
        told.seconds = life.world.now - BEGIN
        return told
    finally:
        life.abandon()
        loop.close()
        asyncio.set_event_loop(None)


class Life:
    """The world of one seed, and what happens in it."""

    def __init__(self, seed: int, faults: tuple[Fault, ...], loop: VirtualLoop) -> None:
        chance = random.Random(f"world {seed}")
        self.world = World(chance, Weather(faults), loop)
        self.api = Store()
        self.feeds = Feeds(self.world)
        self.watch = Watch(self.world, self.api)
        self.providers = tuple(Provider(self.world, label, self.watch.acts) for label in ("main", "other"))
        self.watch.providers = self.providers
        self.api.changed, self.api.vanished = self.feeds.tell, self.watch.vanished
        self.user = User(self.world, self.api, self.watch, random.Random(f"user {seed}"))
        self.watch.account_of_key = lambda: {FOREIGN_KEY: "other", WRONG_KEY: ""}.get(self.user.key, "main")
        rules = random.Random(f"rules {seed}")
        billed = BillingRules(rules.choice(BEGINS), rules.choice(ENDS))
        self.books = Books(self.world, self.watch, billed)
        self.installation = replace(INSTALLATION, billing=rules.choice((billed, BillingRules())))
        self.processes: list[OperatorProcess] = []
        self.world.events.update(
            {Kind.SECOND_LEADER: self._second_leader, Kind.RESTORE: self._restore, Kind.KEY: self._other_key}
        )
        self._past: dict[str, dict[str, object]] = {}
        self._chance = random.Random(f"events {seed}")

    async def whole(self) -> None:
        """Storm, order, silence, storm, end. Raises what the oracles say."""
        story = asyncio.ensure_future(self._story())
        watcher = asyncio.ensure_future(self.world.ended.wait())
        keeper = asyncio.ensure_future(self._keep_running())
        await asyncio.wait((story, watcher), return_when=asyncio.FIRST_COMPLETED)
        if self.world.violation is not None:
            story.cancel()
            raise self.world.violation
        keeper.cancel()
        watcher.cancel()
        await story

    def abandon(self) -> None:
        """Nothing of this life goes on."""
        loop = self.world.loop
        tasks = asyncio.all_tasks(loop)
        for process in self.processes:
            process.alive = False
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _story(self) -> None:
        world, user = self.world, self.user
        await user.begin()
        await user.live(user.chance.choice((100, 500, 1500)))
        await self._to_rest()
        world.weather.rise()
        await user.delete_everything()
        await asyncio.sleep(user.chance.choice((50, 300)))
        await self._to_the_end()

    async def _to_rest(self) -> None:
        """No faults any more: everything comes to rest, is as it was wanted, and then nothing is written."""
        self._calm()
        await asyncio.sleep(MESSAGE_DELAY + 1)
        await self._until(self._rests, "the resources came to no rest")
        await asyncio.sleep(QUIET_SECONDS / 2)
        while not self._rests():  # somebody may have changed the key while one resource looked again
            await self._until(self._rests, "the resources came to no rest")
            await asyncio.sleep(QUIET_SECONDS / 2)
        before, moving, forgetting = self._writes(), self._moves_by_itself(), self._forgets_what_vanished()
        await asyncio.sleep(QUIET_SECONDS)
        more = self._writes() - before - forgetting
        written = {name: count for name, count in more.items() if name not in moving}
        if written:
            self.world.broken(f"{written} writes while nothing was to be done: {self._stand()}")
        self._as_wanted()
        for raw in self._objects():
            self.books.at_rest(raw)

    async def _to_the_end(self) -> None:
        """Everything was deleted: it goes, and nothing is paid for but what was to be kept."""
        self._calm()
        await asyncio.sleep(MESSAGE_DELAY + 1)
        await self._until(lambda: not self._objects(), "what was deleted did not go")
        await asyncio.sleep(MESSAGE_DELAY + 1)
        left = [thing for thing in self.watch.living() if not self._is_excused(thing)]
        if left:
            self.world.broken(f"all is deleted, and this is paid for: {[(each.id, each.name) for each in left]}")
        self.books.over()

    def _calm(self) -> None:
        self.world.weather.calm = True
        for process in self.processes[:-1]:
            process.die()
        self.user.come_to_reason()

    async def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        begun = self.world.now
        turn = 0
        while not holds():
            if self.world.now > begun + TO_REST_SECONDS:
                self.world.broken(f"{otherwise}: {self._stand()}")
                await asyncio.sleep(1)
            await asyncio.sleep(20)
            turn += 1
            if turn % 16 == 0:  # people are slower than `settle`
                self.user.create_what_is_missing()
                self.user.answer_questions()
                self._try_the_other_key()
                if self.world.now > begun + TO_REST_SECONDS / 2:
                    self._abandon_what_no_key_shows()

    def _try_the_other_key(self) -> None:
        """What was bought or ordered with another account's key needs that account to be seen."""
        mismatched = MISMATCHED & {reason_of(raw) for raw in self._objects()}
        if mismatched:
            self.user.key = FOREIGN_KEY if self.user.key == self.user.own_key else self.user.own_key

    def _abandon_what_no_key_shows(self) -> None:
        """The key that could tell is dead, and nothing of it bills: people look in the console, and say so."""
        for raw in self._objects():
            hidden = reason_of(raw) in MISMATCHED and self.user.needs_a_dead_key(raw)
            if hidden and not self.watch.things_of(raw):
                self.user.abandon(raw)

    def _rests(self) -> bool:
        return all(self._is_at_rest(raw) for raw in self._objects()) and len(self._objects()) == len(self.user.wanted)

    def _is_at_rest(self, raw: Raw) -> bool:
        reason = reason_of(raw)
        if raw["metadata"].get("deletionTimestamp"):
            return raw["kind"] == "SharedVolume" and reason == "InUse"
        if reason == "CredentialMismatch":
            bought = raw.get("status", {}).get("clusterID") or raw.get("status", {}).get("volumeID") or ""
            return not bought.startswith(self.watch.account_of_key())
        if raw["kind"] == "SharedVolume" and reason == "WaitingForCluster":
            return True
        return reason in RESTS or (is_ready(raw))

    def _as_wanted(self) -> None:
        """What is Ready is there, once, in the size that is wanted, and opened by its own kubeconfig."""
        for raw in self._objects():
            if raw["kind"] != "GPUCluster" or not is_ready(raw):
                continue
            cluster_id = raw["status"]["clusterID"]
            cluster = next((p.clusters[cluster_id] for p in self.providers if cluster_id in p.clusters), None)
            self._has_not_outlived_its_time(raw)
            if cluster is None or cluster.status != "Ready":
                self.world.broken(f"'{raw['metadata']['name']}' says Ready, and its cluster is {cluster}")
            elif cluster.gpus != raw["spec"]["nodes"] * 8:
                self.world.broken(f"'{raw['metadata']['name']}' wants {raw['spec']['nodes']} nodes, has {cluster.gpus}")
        for thing in self.watch.unowned():
            if not self._is_excused(thing):
                self.world.broken(f"'{thing.name}' ({thing.id}) is paid for, and nobody owns it")

    def _has_not_outlived_its_time(self, raw: Raw) -> None:
        limit, begun = raw["spec"].get("expireAfterSeconds"), raw["status"].get("firstReadyTime")
        if limit is None or begun is None:
            return
        lived = (self.world.wall() - parse_time(begun)).total_seconds()
        if lived > limit + SLACK_SECONDS:
            self.world.broken(f"'{raw['metadata']['name']}' has lived {lived:.0f} s, and was to end after {limit} s")

    def _is_excused(self, thing: Paid) -> bool:
        """Kept by Retain; or of an object that a restore took away and nobody took over."""
        lost = {self.watch.uid_mark(uid) for uid in self.watch.lost_uids}
        name = thing.name.split("-")
        return thing.id in self.watch.kept or name[-2] in lost

    def _objects(self) -> list[Raw]:
        return [raw for kind in sorted(OWN) for raw in self.api.of_kind(kind)]

    def _writes(self) -> Counter[str]:
        """By the name of the resource that was written, or for which."""
        writes = Counter(self.api.writes)
        for provider in self.providers:
            inside = {provider.ledger[cluster_id].name: store for cluster_id, store in provider.insides.items()}
            for name, count in (*provider.writes.items(), *((each, s.writes.total()) for each, s in inside.items())):
                parsed = parse_provider_name(name)
                writes[name if parsed is None else parsed.text.removeprefix(f"{NAMESPACE}-")] += count
        return writes

    def _moves_by_itself(self) -> set[str]:
        """Resources whose time ends or begins while all is silent, and those that share a volume with one."""
        ends = [raw for raw in self._objects() if ENDS_BY_ITSELF & raw["spec"].keys()]
        shared = {_volume_of(raw) for raw in ends} - {None}
        waiting = [raw for raw in self._objects() if _volume_of(raw) in shared]
        return {raw["metadata"]["name"] for raw in (*ends, *waiting)} | {name for name in shared if name}

    def _forgets_what_vanished(self) -> Counter[str]:
        """One write each: once a cluster has long been Ready, those that vanished before it are no series any more."""
        return Counter(raw["metadata"]["name"] for raw in self._objects() if (raw.get("status") or {}).get("vanished"))

    def _stand(self) -> str:
        kinds = {(raw["kind"], raw["metadata"]["name"]): reason_of(raw) for raw in self._objects()}
        return f"{kinds}, paid for {[thing.id for thing in self.watch.living()]}"

    # what the weather does

    async def _keep_running(self) -> None:
        """Some time after a process has died, another begins."""
        while True:
            self.processes = [process for process in self.processes if process.alive]
            if not self.processes:
                self._start()
            await asyncio.sleep(self.world.chance.uniform(0.5, 8))

    def _start(self) -> OperatorProcess:
        process = OperatorProcess(
            self.world,
            self.api,
            self.feeds,
            self._account,
            self.providers,
            lambda: self.user.key,
            self.installation,
            self.books.recorded,
        )
        self.processes.append(process)
        return process

    def _account(self, key: str) -> Provider | None:
        """Whom the provider takes the bearer of this key for, just now."""
        main, other = self.providers
        return {self.user.own_key: main, FOREIGN_KEY: other}.get(key)

    def _second_leader(self, size: float) -> None:
        """Another process leads; the older does not know yet, and goes on."""
        older = [process for process in self.processes if process.alive]
        if len(older) > 1:
            older[0].die()
        self._start()
        if older:
            self.world.later(size * OLDER_LEADER_SECONDS, older[-1].die)

    def _restore(self, size: float) -> None:
        """A backup brings an object back without its status, or with that of an earlier time, or as another object."""
        found = [raw for raw in self._objects() if raw["metadata"].get("finalizers")]
        if not found:
            return
        raw = self._chance.choice(found)
        wanted = (raw["kind"], raw["metadata"]["name"]) in self.user.wanted
        if size < 0.5 or not wanted:  # an object that is just lost is for the orphan sweep, which does not run here
            self.watch.restored(raw)
            self.api.put({key: value for key, value in raw.items() if key != "status"})
            return
        self.watch.lost_uids.add(raw["metadata"]["uid"])
        self.api.lose(raw)
        kept = {"uid", "resourceVersion", "deletionTimestamp"}
        metadata = {key: value for key, value in raw["metadata"].items() if key not in kept}
        again = {key: value for key, value in raw.items() if key != "status"}
        self.api.put({**again, "metadata": metadata})

    def _other_key(self, size: float) -> None:
        """The key is rotated; or it is another account's, or nobody's, until somebody notices."""
        if self.world.weather.calm:
            return
        key = self._chance.choice((None, None, FOREIGN_KEY, WRONG_KEY))
        if key is None:
            self.user.rotate_the_key()
        else:
            self.user.key = key
            self.world.later(size * KEY_TROUBLE_SECONDS, self._right_key)

    def _right_key(self) -> None:
        if not self.world.weather.calm:
            self.user.key = self.user.own_key


def _volume_of(raw: Raw) -> str | None:
    return (raw["spec"].get("volumeRef") or {}).get("name")
