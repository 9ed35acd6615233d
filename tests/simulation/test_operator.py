"""The operator's real shell and minds in a played world of crashes, lost answers, stale reads and wrong clocks.

Whatever happens: never two clusters or volumes for one resource; nothing paid that nobody owns once the resources are
gone; when the faults stop everything is Ready, and then nothing is written any more.
"""

import asyncio
import random

import pytest
from tests.simulation.operator_process import OperatorProcess
from tests.simulation.played import CrashError, World

SPEC = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "volumeRef": {"name": "data"}}
LONG_QUIET = {**SPEC, "idle": {"warnAfterSeconds": 86400}}  # the warning of idleness would be one write more
RESOURCES = (("GPUCluster", "a"), ("GPUCluster", "b"), ("SharedVolume", "data"))


class Simulation:
    """A world, and one process of the operator in it after the other; now and then two at once."""

    def __init__(self, seed):
        self.world = World(random.Random(seed))
        self.processes = []

    async def run(self, until, *, seconds):
        """Passes until the condition holds; so much of the world's time may go by."""
        end = self.world.clock + seconds
        while not until():
            assert self.world.clock < end, f"no end was reached: {self.told()}"
            await self.turn()

    async def go_on(self, seconds):
        """Passes for so long."""
        end = self.world.clock + seconds
        while self.world.clock < end:
            await self.turn()

    async def turn(self):
        """One pass of every process at once, or time until there is something to do."""
        world = self.world
        if not self.processes or (len(self.processes) < 2 and world.fails(0.01)):
            self.processes.append(OperatorProcess(world))
        results = await asyncio.gather(*(process.step() for process in self.processes), return_exceptions=True)
        for process, result in list(zip(self.processes, results, strict=True)):
            if isinstance(result, CrashError):
                self.processes.remove(process)
                process.end()
            elif isinstance(result, BaseException):
                raise result
        if len(self.processes) == 2 and (not world.faulty or world.fails(0.03)):
            self.processes.pop(0).end()
        world.check()
        if not any(result is True for result in results):
            due = [process.queue.next_due() for process in self.processes]
            soonest = min((at for at in (*due, world.next_event()) if at is not None), default=world.clock + 5)
            world.pass_time(max(soonest - world.clock, 0.01))

    def told(self):
        """Where everything stands, for a failed assertion."""
        kube, provider = self.world.kube, self.world.provider
        ready = {}
        for kind, name in RESOURCES:
            status = self.world.status(kind, name)
            conditions = (status or {}).get("conditions", ())
            ready[name] = next((c["reason"] for c in conditions if c["type"] == "Ready"), status)
        return ready, list(provider.clusters.values()), list(provider.volumes.values()), len(kube.objects)

    def reason(self, kind, name):
        """Why a resource is or is not Ready."""
        conditions = (self.world.status(kind, name) or {}).get("conditions", ())
        return next((c["reason"] for c in conditions if c["type"] == "Ready"), None)

    def begin(self):
        """A user gives a volume and two clusters that name it, at about the same time."""
        names = list(RESOURCES)
        self.world.chance.shuffle(names)
        for kind, name in names:
            volume = {"region": "us-central-8", "sizeTiB": 1, "deletionPolicy": "Delete"}
            self.world.give(kind, name, volume if kind == "SharedVolume" else LONG_QUIET)

    def gone(self):
        """Nothing is left of what the user gave."""
        return all(self.world.status(*each) is None for each in RESOURCES)

    def delete_everything(self):
        """In any order."""
        names = list(RESOURCES)
        self.world.chance.shuffle(names)
        for each in names:
            self.world.delete(*each)

    def nothing_is_paid(self):
        """The provider has nothing left, and nothing on its way."""
        provider = self.world.provider
        return not provider.clusters and not provider.volumes and not provider.landing


async def a_life(seed):
    """Bought under faults, in order without, then silence; the first gives way to the second; all given back."""
    simulation = Simulation(seed)
    world = simulation.world
    simulation.begin()
    await simulation.go_on(world.chance.choice([100, 400, 900]))
    world.faulty = False
    await simulation.run(
        lambda: "InOrder" in (simulation.reason("GPUCluster", "a"), simulation.reason("GPUCluster", "b")), seconds=4000
    )
    await simulation.go_on(500)
    assert simulation.reason("SharedVolume", "data") == "InOrder", simulation.told()
    assert len(world.provider.clusters) == 1
    before = world.writes
    await simulation.go_on(1500)
    assert world.writes == before, simulation.told()
    first, second = ("a", "b") if simulation.reason("GPUCluster", "a") == "InOrder" else ("b", "a")
    world.faulty = True
    world.delete("GPUCluster", first)
    await simulation.go_on(200)
    world.faulty = False
    await simulation.run(
        lambda: simulation.reason("GPUCluster", second) == "InOrder" and world.status("GPUCluster", first) is None,
        seconds=4000,
    )
    assert len(world.provider.volumes) == 1
    world.faulty = True
    simulation.delete_everything()
    await simulation.go_on(150)
    world.faulty = False
    await simulation.run(simulation.gone, seconds=4000)
    world.pass_time(200)
    assert simulation.nothing_is_paid(), simulation.told()


async def a_life_cut_short(seed):
    """Everything is deleted in the middle of being bought."""
    simulation = Simulation(seed)
    simulation.begin()
    await simulation.go_on(simulation.world.chance.uniform(0, 150))
    simulation.delete_everything()
    await simulation.go_on(600)
    simulation.world.faulty = False
    await simulation.run(simulation.gone, seconds=4000)
    simulation.world.pass_time(200)
    assert simulation.nothing_is_paid(), simulation.told()


@pytest.mark.parametrize("seed", range(5))
async def test_one_cluster_at_a_time_makes_and_holds_the_volume_whatever_crashes(seed):
    await a_life(seed)


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_deleted_while_it_is_bought_leaves_nothing_behind(seed):
    await a_life_cut_short(seed)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(1000, 1400))
async def test_crash_whole_lives(seed):
    await a_life(seed)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2000, 2400))
async def test_crash_lives_cut_short(seed):
    await a_life_cut_short(seed)
