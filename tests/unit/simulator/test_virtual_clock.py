"""A clock of the scenario's own: a month passes when it is told to, or at a rate."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.admin_client import AdminClient, AdminError
from tunesmith_simulator.server import Simulator
from tunesmith_simulator.virtual_clock import VirtualClock

START = datetime(2026, 9, 1, tzinfo=UTC)
CLUSTERS = "/v1/compute/clusters"


class Wall:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def by_hand():
    return scenarios.named("default").model_copy(update={"clock": scenarios.ClockEntry(starts_at=START), "seed": 1})


def test_it_stands_still_until_it_is_moved():
    wall = Wall()
    clock = VirtualClock(START, monotonic=wall)
    wall.seconds += 1000
    assert clock() == START
    clock.advance(60)
    assert clock() == START + timedelta(seconds=60)
    assert clock.wall_seconds_until(START + timedelta(seconds=61)) is None


def test_it_runs_at_a_rate_and_changes_it_without_a_jump():
    wall = Wall()
    clock = VirtualClock(START, rate=60, monotonic=wall)
    wall.seconds += 10
    assert clock() == START + timedelta(minutes=10)
    assert clock.wall_seconds_until(START + timedelta(minutes=11)) == 1
    clock.run_at(1)
    wall.seconds += 10
    assert clock() == START + timedelta(minutes=10, seconds=10)
    assert clock.wall_seconds_until(START) == 0


async def test_a_month_passes_by_one_call_and_every_dollar_of_it_is_in_the_ledger(by_hand, an_order):
    async with Simulator(by_hand) as simulator, aiohttp.ClientSession(simulator.url) as http:
        admin = AdminClient(simulator.url)
        async with http.post(CLUSTERS, json=an_order, headers={"Authorization": f"Bearer {simulator.key}"}) as answer:
            cluster_id = (await answer.json())["cluster_id"]
        told = await asyncio.to_thread(admin.advance, 30 * 86_400)
        assert told.time == START + timedelta(days=30)
        ledger = await asyncio.to_thread(admin.ledger)
        (interval,) = ledger.object(cluster_id).intervals
        assert (interval.begins, interval.until, interval.units) == (START, told.time, 16)
        assert (interval.usd, interval.unit_hours, ledger.usd_per_hour) == ("45964.8", "11520", "63.84")
        (cluster,) = (await asyncio.to_thread(admin.state))["clusters"]
        assert cluster["status"] == "Ready"


async def test_speed_and_a_clock_of_its_own_work_together(by_hand, an_order):
    async with Simulator(by_hand.model_copy(update={"speed": 100})) as simulator:
        async with aiohttp.ClientSession(simulator.url) as http:
            key = {"Authorization": f"Bearer {simulator.key}"}
            async with http.post(CLUSTERS, json=an_order, headers=key) as answer:
                assert (await answer.json())["status"] == "WaitingForControlPlaneNodes"
            simulator.simulation.advance(20)
            async with http.get(CLUSTERS, headers=key) as answer:
                (cluster,) = (await answer.json())["clusters"]
        assert cluster["status"] == "Ready"
        assert cluster["created_at"] == "2026-09-01T00:00:00.000Z"


async def test_a_running_clock_moves_the_world_by_itself(by_hand, an_order):
    async with Simulator(by_hand) as simulator, aiohttp.ClientSession(simulator.url) as http:
        async with http.post(CLUSTERS, json=an_order, headers={"Authorization": f"Bearer {simulator.key}"}) as answer:
            cluster_id = (await answer.json())["cluster_id"]
        moved = asyncio.Event()
        follow = simulator.simulation.backing.follow

        def following(world):
            follow(world)
            if world.clusters[cluster_id].first_ready_at:
                moved.set()

        simulator.simulation.backing.follow = following
        simulator.simulation.run_clock_at(100_000)
        async with asyncio.timeout(60):
            await moved.wait()


async def test_the_clock_on_the_wall_cannot_be_moved(simulator):
    admin = AdminClient(simulator.url)
    for call in (admin.advance, admin.run_clock_at):
        with pytest.raises(AdminError, match="give its scenario a `clock`"):
            await asyncio.to_thread(call, 1)
    assert not (await asyncio.to_thread(admin.clock)).virtual
