"""Release in a played world of crashes and lost answers: given back and bought again, never twice, never forgotten."""

import pytest
from tests.simulation.played import MESSAGE_DELAY
from tests.simulation.test_operator import SPEC, Simulation

VOLUME = {"region": "us-central-8", "sizeTiB": 1, "deletionPolicy": "Delete"}
IDLE = {"idle": {"deleteAfterSeconds": 120}}
REACQUIRE = "tunesmith.dev/reacquire-requested-at"


def annotate(world, name, wish):
    """A user annotates a cluster."""
    raw = world.kube.objects["GPUCluster", "ml", name]
    meta = {**raw["metadata"], "annotations": {**raw["metadata"].get("annotations", {}), REACQUIRE: wish}}
    world.changed(world.kube.put({**raw, "metadata": meta}), deleted=False)


async def given_back_and_bought_again(seed):
    """Bought, idle, given back under faults, at rest; bought again when asked for, as the next incarnation; deleted."""
    simulation = Simulation(seed)
    world = simulation.world
    world.give("SharedVolume", "data", VOLUME)
    world.give("GPUCluster", "a", {**SPEC, **IDLE})
    await simulation.go_on(world.chance.choice([300, 600]))
    world.faulty = False
    await simulation.run(lambda: simulation.reason("GPUCluster", "a") == "Released", seconds=4000)
    assert not world.provider.clusters, simulation.told()
    assert len(world.provider.volumes) == 1
    await simulation.go_on(300)
    assert world.status("SharedVolume", "data").get("boundTo") is None
    before = world.writes
    await simulation.go_on(1500)
    assert world.writes == before, simulation.told()
    incarnation = world.status("GPUCluster", "a")["incarnation"]
    world.faulty = True
    annotate(world, "a", "2026-01-01T00:00:00Z")
    await simulation.go_on(400)
    world.faulty = False
    await simulation.run(lambda: simulation.reason("GPUCluster", "a") == "Released", seconds=6000)
    assert world.status("GPUCluster", "a")["incarnation"] > incarnation
    assert world.provider.made > 1
    world.delete("GPUCluster", "a")
    world.delete("SharedVolume", "data")
    await simulation.run(lambda: world.status("SharedVolume", "data") is None, seconds=4000)
    world.pass_time(MESSAGE_DELAY + 100)
    assert simulation.nothing_is_paid(), simulation.told()


async def deleted_while_it_is_given_back(seed):
    """The resource is deleted at some moment of its release."""
    simulation = Simulation(seed)
    world = simulation.world
    world.faulty = False
    world.give("SharedVolume", "data", VOLUME)
    world.give("GPUCluster", "a", {**SPEC, **IDLE})
    await simulation.run(lambda: (world.status("GPUCluster", "a") or {}).get("release"), seconds=4000)
    world.faulty = True
    await simulation.go_on(world.chance.uniform(0, 120))
    world.delete("GPUCluster", "a")
    world.delete("SharedVolume", "data")
    await simulation.go_on(200)
    world.faulty = False
    gone = [("GPUCluster", "a"), ("SharedVolume", "data")]
    await simulation.run(lambda: all(world.status(*each) is None for each in gone), seconds=4000)
    world.pass_time(MESSAGE_DELAY + 100)
    assert simulation.nothing_is_paid(), simulation.told()


@pytest.mark.parametrize("seed", range(4))
async def test_a_cluster_is_given_back_and_bought_again_whatever_crashes(seed):
    await given_back_and_bought_again(seed)


@pytest.mark.parametrize("seed", range(4))
async def test_a_resource_that_is_deleted_during_its_release_leaves_nothing_behind(seed):
    await deleted_while_it_is_given_back(seed)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(3000, 3300))
async def test_crash_releases(seed):
    await given_back_and_bought_again(seed)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(4000, 4300))
async def test_crash_deletions_during_releases(seed):
    await deleted_while_it_is_given_back(seed)
