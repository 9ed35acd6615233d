"""The operator as a process, on a real control plane: one active replica, and what follows when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tunesmith.kube.client import Kube
from tunesmith.kube.kinds import LEASE
from tunesmith_devcluster.cluster import Cluster

from .conftest import until

Process = asyncio.subprocess.Process


def a_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def an_operator(
    cluster: Cluster, namespace: str, name: str, port: int, log: Path, **settings: str
) -> AsyncIterator[Process]:
    """`tunesmith run` in a process of its own, with further settings; killed at the end if it still runs."""
    environment = {
        **os.environ,
        "TUNESMITH_OPERATOR_NAMESPACE": namespace,
        "TUNESMITH_POD_NAME": name,
        "TUNESMITH_LISTEN_PORT": str(port),
        "TUNESMITH_INSTALLATION_ID": "test01",
        **{f"TUNESMITH_{key.upper()}": value for key, value in settings.items()},
    }
    program = Path(sys.executable).parent / "tunesmith"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            str(program), "run", "--kubeconfig", str(cluster.kubeconfig), env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(port: int, path: str) -> tuple[int, str]:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, await response.text()
    except aiohttp.ClientError:
        return 0, ""


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


async def test_the_second_replica_takes_over_from_one_that_ends_and_from_one_that_is_killed(
    installed: Cluster, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    async def holder() -> str:
        lease = await kube.get(LEASE, namespace, "tunesmith")
        return str(lease["spec"].get("holderIdentity", "")) if lease else ""

    async def leads(name: str, port: int) -> bool:
        _, metrics = await answers(port, "/metrics")
        return (await holder()).startswith(f"{name}_") and "tunesmith_lease_held 1.0" in metrics

    async def tells_limits(port: int) -> bool:
        status, body = await answers(port, "/v1/fine-tunes/models/limits?model_name=Qwen/Qwen3-8B")
        return status == 200 and '"max_seq_length_sft": 32768' in body

    ports = [a_free_port() for _ in range(3)]
    limits = [{"limits_port": str(a_free_port())} for _ in range(2)]
    async with an_operator(installed, namespace, "first", ports[0], tmp_path / "first.log", **limits[0]) as first:
        await eventually(lambda: leads("first", ports[0]))
        async with an_operator(
            installed, namespace, "second", ports[1], tmp_path / "second.log", **limits[1]
        ) as second:
            await eventually(lambda: _is(200, ports[1], "/livez"))
            for replica in limits:  # the one that watches and the one that stands by
                await eventually(lambda port=int(replica["limits_port"]): tells_limits(port))
            assert (await answers(ports[1], "/readyz"))[0] == 200  # a standby is ready to take over
            assert (await holder()).startswith("first_")

            first.send_signal(signal.SIGTERM)
            await until(lambda: first.returncode is not None)
            assert first.returncode == 0, (tmp_path / "first.log").read_text()
            await eventually(lambda: leads("second", ports[1]))

            async with an_operator(installed, namespace, "third", ports[2], tmp_path / "third.log"):
                await eventually(lambda: _is(200, ports[2], "/livez"))
                second.kill()
                await eventually(lambda: leads("third", ports[2]))
                await eventually(lambda: _is(200, ports[2], "/readyz"))  # as soon as it has listed everything


async def test_a_standby_ends_at_once_when_it_is_asked_to(
    installed: Cluster, kube: Kube, namespace: str, tmp_path: Path
) -> None:
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 3600}
    metadata = {"namespace": namespace, "name": "tunesmith"}
    await kube.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
    port = a_free_port()
    async with an_operator(installed, namespace, "standby", port, tmp_path / "log") as standby:
        await eventually(lambda: _is(200, port, "/readyz"))
        standby.send_signal(signal.SIGTERM)
        await until(lambda: standby.returncode is not None)
    assert standby.returncode == 0, (tmp_path / "log").read_text()


async def _is(status: int, port: int, path: str) -> bool:
    return (await answers(port, path))[0] == status
