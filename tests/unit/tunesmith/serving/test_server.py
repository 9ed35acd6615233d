"""What the probes and the scraper see."""

from __future__ import annotations

import aiohttp
import pytest

from tunesmith.serving.metrics import Metrics, Readings
from tunesmith.serving.server import HttpServer


def some_metrics(*clusters: dict[str, object]) -> Metrics:
    resources = {"GPUCluster": clusters, "SharedVolume": ()}
    breakers = {"Open": 1}
    return Metrics(Readings(lambda: 3, lambda: 1, lambda: True, lambda kind: resources[kind], lambda: breakers))


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_alive_and_ready_are_two_things(ready: bool, status: int) -> None:
    async with HttpServer("127.0.0.1", 0, registry=some_metrics().registry, ready=lambda: ready) as server:
        assert (await get(server.port, "/livez"))[0] == 200
        assert (await get(server.port, "/readyz"))[0] == status


async def test_a_dead_watch_fails_the_liveness_probe_and_says_which() -> None:
    registry = some_metrics().registry
    dead = "the watch of pods was silent for 301 s"
    async with HttpServer("127.0.0.1", 0, registry=registry, ready=lambda: True, dead=lambda: dead) as server:
        assert await get(server.port, "/livez") == (503, f"{dead}\n")


async def test_metrics_tell_what_is_paid_for_and_what_is_intended() -> None:
    paid = {"status": {"clusterID": "c1", "providerStatus": "Ready"}}
    intended = {"status": {"createIntent": {"name": "x"}}}
    metrics = some_metrics(paid, intended)
    metrics.passed("GPUCluster", "settled", 0.01)
    metrics.kube_request("PATCH", "GPUCluster", "ok", 0.01)
    metrics.kube_request("GET", "GPUCluster", "ok", 0.01)
    metrics.cloud_request("POST", "clusters", "OutOfStock", 0.01)
    metrics.cloud_held(7.5)
    async with HttpServer("127.0.0.1", 0, registry=metrics.registry, ready=lambda: True) as server:
        _, text = await get(server.port, "/metrics")
    for line in (
        'tunesmith_paid_clusters{phase="Ready"} 1.0',
        'tunesmith_open_intents{kind="GPUCluster"} 1.0',
        'tunesmith_kube_writes_total{kind="GPUCluster"} 1.0',
        'tunesmith_reconcile_seconds_count{kind="GPUCluster",outcome="settled"} 1.0',
        'tunesmith_cloud_request_seconds_count{collection="clusters",method="POST",outcome="OutOfStock"} 1.0',
        "tunesmith_cloud_retry_after_seconds_total 7.5",
        'tunesmith_cloud_breakers{state="Open"} 1.0',
        'tunesmith_cloud_breakers{state="Closed"} 0.0',
        "tunesmith_queue_depth 3.0",
        "tunesmith_lease_held 1.0",
    ):
        assert line in text
