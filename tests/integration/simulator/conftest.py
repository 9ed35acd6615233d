"""A simulator with real clusters behind it, everything in seconds, and the official client, strict."""

import pytest
import together
from tests.integration.simulator.bought import processes_that_mention

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator


@pytest.fixture
async def simulator(tmp_path):
    async with Simulator(scenarios.named("demo"), state_directory=tmp_path) as running:
        yield running
    assert processes_that_mention(tmp_path) == []


@pytest.fixture
async def client(simulator):
    async with together.AsyncTogether(
        api_key=simulator.key, base_url=simulator.url, max_retries=0, _strict_response_validation=True
    ) as strict:
        yield strict
