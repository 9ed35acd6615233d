"""A provider on loopback, a clock that tests move by hand, and the official client, unmodified and strict."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from together import AsyncTogether

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.scenario import Scenario
from tunesmith_simulator.server import Simulator


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scenario() -> Scenario:
    return scenarios.named("default")


@pytest.fixture
async def simulator(scenario: Scenario, clock: ManualClock) -> AsyncIterator[Simulator]:
    async with Simulator(scenario, clock=clock) as running:
        yield running


def client_for(simulator: Simulator, key: str | None = None) -> AsyncTogether:
    return AsyncTogether(
        api_key=key or simulator.key, base_url=simulator.url, max_retries=0, _strict_response_validation=True
    )


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncTogether]:
    async with client_for(simulator) as strict:
        yield strict


@pytest.fixture
async def clients(simulator: Simulator) -> AsyncIterator[dict[str, AsyncTogether]]:
    """One client per account of the default scenario, by the account's name."""
    names = ["acme", "acme-editor", "globex", "penniless"]
    made = {name: client_for(simulator, f"simulated-key-{name}") for name in names}
    yield made
    for each in made.values():
        await each.close()


@pytest.fixture
def an_order() -> dict[str, object]:
    """What the official client needs to buy the smallest cluster."""
    return {
        "billing_type": "ON_DEMAND",
        "cluster_name": "training",
        "gpu_type": "H100_SXM",
        "num_gpus": 16,
        "region": "us-central-8",
        "nvidia_version_id": "nvidia-570-22",
    }
