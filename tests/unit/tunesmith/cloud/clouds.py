"""Clients of the provider whose network is a function."""

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.canary import KEY

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError
from tunesmith.cloud.g2 import G2Cloud
from tunesmith.cloud.gate import Gate
from tunesmith.cloud.limiter import RateLimiter
from tunesmith.cloud.retries import ReadRetries
from tunesmith.cloud.transport import Transport

FAR = 1e18


async def no_sleep(seconds):
    """Time does not pass."""


def a_gate(clock=lambda: 0.0, sleep=no_sleep, **parts):
    """A gate that lets everything through at once."""
    return Gate(limiter=RateLimiter(1000, 1000, monotonic=clock, sleep=sleep), monotonic=clock, sleep=sleep, **parts)


def a_transport(
    answer,
    *,
    base_url="https://provider.test/v1",
    project_id="p-1",
    clock=lambda: 0.0,
    gate=None,
    retries=None,
    **parts,
):
    """Requests go to `answer(request) -> httpx.Response`."""
    return Transport(
        base_url,
        ApiCredential(SecretStr(KEY), project_id),
        gate=gate or a_gate(clock),
        retries=retries or ReadRetries(tries=1, monotonic=clock, sleep=no_sleep),
        monotonic=clock,
        http=httpx.MockTransport(answer),
        **parts,
    )


def a_cloud(answer, **parts):
    """The current generation."""
    return G2Cloud(a_transport(answer, **parts))


def answering(status, body=None, **headers):
    """Always the same answer."""
    return lambda request: httpx.Response(status, json=body if body is not None else {}, headers=headers)


async def failure_of(awaitable):
    """The failure that it ends with."""
    with pytest.raises(CloudError) as caught:
        await awaitable
    return caught.value.failure
