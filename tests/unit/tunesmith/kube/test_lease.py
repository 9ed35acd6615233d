"""Two contenders, one lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from tunesmith.kube.client import Kube
from tunesmith.kube.lease import Lease, LeaseTimes

from .conftest import ApiStub

AT = "/apis/coordination.k8s.io/v1/namespaces/system/leases/tunesmith"
QUICK = LeaseTimes(lease_seconds=3, renew_deadline_seconds=2.5, retry_seconds=0.05)


def a_contender(kube: Kube, identity: str, lost: Callable[[str], None] | None = None) -> Lease:
    return Lease(
        kube,
        "system",
        "tunesmith",
        identity,
        lost=lost or (lambda why: None),
        now=lambda: datetime.now(UTC),
        monotonic=asyncio.get_running_loop().time,
        times=QUICK,
    )


async def waits(lease: Lease, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await lease.acquire()
    except TimeoutError:
        return True
    return False


async def test_while_the_holder_renews_nobody_else_takes_it(kube: Kube) -> None:
    first, second = a_contender(kube, "first"), a_contender(kube, "second")
    await first.acquire()
    assert await waits(second, 4)
    assert first.held
    await first.release()


async def test_a_released_lease_is_taken_at_once(kube: Kube, stub: ApiStub) -> None:
    first, second = a_contender(kube, "first"), a_contender(kube, "second")
    await first.acquire()
    await first.release()
    await second.acquire()
    assert stub.objects[AT]["spec"]["holderIdentity"] == "second"
    assert stub.objects[AT]["spec"]["leaseTransitions"] == 1
    await second.release()


async def test_a_holder_that_vanished_is_succeeded_after_its_time_whatever_its_clock_says(
    kube: Kube, stub: ApiStub
) -> None:
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2999-01-01T00:00:00.000000Z"}
    metadata = {"namespace": "system", "name": "tunesmith"}
    stub.put(AT, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    second = a_contender(kube, "second")
    begun = asyncio.get_running_loop().time()
    await second.acquire()
    assert asyncio.get_running_loop().time() - begun >= 1.0
    await second.release()


async def test_a_holder_that_cannot_renew_gives_up_before_its_lease_can_run_out(kube: Kube, stub: ApiStub) -> None:
    reasons: asyncio.Queue[str] = asyncio.Queue()
    first = a_contender(kube, "first", reasons.put_nowait)
    await first.acquire()
    stub.silent = True
    async with asyncio.timeout(30):
        assert "could not be renewed" in await reasons.get()
    assert not first.held


async def test_a_holder_that_sees_another_one_gives_up(kube: Kube, stub: ApiStub) -> None:
    reasons: asyncio.Queue[str] = asyncio.Queue()
    first = a_contender(kube, "first", reasons.put_nowait)
    await first.acquire()
    stub.objects[AT]["spec"]["holderIdentity"] = "usurper"
    async with asyncio.timeout(30):
        assert "another process holds it" in await reasons.get()


async def test_of_two_that_come_at_once_one_gets_it(kube: Kube) -> None:
    contenders = [a_contender(kube, name) for name in ("first", "second")]
    waiting = [asyncio.create_task(contender.acquire()) for contender in contenders]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    await asyncio.sleep(0.3)
    assert sum(contender.held for contender in contenders) == 1
    for task in pending:
        task.cancel()
    for contender in contenders:
        await contender.release()
    assert done
