"""The verbs, the reflector and remote clusters on a real API server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CONFIG_MAP, GPU_CLUSTER, NAMESPACE, POD, SECRET
from tunesmith.kube.reflector import Reflector
from tunesmith.kube.remote import RemoteClusters, RemotePorts, RemoteView
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Known, Rejected, Unknown
from tunesmith.planning.decision import ErrorClass
from tunesmith_devcluster.cluster import Cluster

from .conftest import until

SPEC = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1}


def a_cluster(namespace: str, name: str = "a") -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": metadata, "spec": SPEC}


def a_config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "labels": {"followed": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_a_status_decided_from_an_older_version_is_refused(kube: Kube, namespace: str) -> None:
    created = await kube.create(a_cluster(namespace))
    assert created["status"] == {"observedGeneration": -1}
    written = await kube.patch_status(created, {"observedGeneration": 1, "providerStatus": "Ready"})
    assert written["status"]["providerStatus"] == "Ready"
    with pytest.raises(KubeError) as refused:
        await kube.patch_status(created, {"observedGeneration": 1, "providerStatus": "Deleting"})
    assert refused.value.failure.error is ErrorClass.CONFLICT


@pytest.mark.parametrize(
    "text", ("\U0001f680", "o\U000b2504\U00037e27", "a\x7f\x85\u2028\ufeff\ufffe\uffffb", "\ud83d")
)
async def test_whatever_a_user_writes_can_be_told_in_a_status(kube: Kube, namespace: str, text: str) -> None:
    created = await kube.create(a_cluster(namespace))
    written = await kube.patch_status(created, {"observedGeneration": 1, "providerStatus": text})
    assert written["status"]["providerStatus"] == text.replace("\ud83d", "\ufffd")


async def test_a_field_that_is_left_out_of_the_next_status_goes_away(kube: Kube, namespace: str) -> None:
    created = await kube.create(a_cluster(namespace))
    written = await kube.patch_status(created, {"observedGeneration": 1, "providerStatus": "Ready"})
    written = await kube.patch_status(written, {"observedGeneration": 1})
    assert written["status"] == {"observedGeneration": 1}


async def test_the_same_status_again_is_no_change(kube: Kube, namespace: str) -> None:
    created = await kube.create(a_cluster(namespace))
    first = await kube.patch_status(created, {"observedGeneration": 1})
    second = await kube.patch_status(first, {"observedGeneration": 1})
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_status_is_never_written_to_a_successor_of_the_same_name(kube: Kube, namespace: str) -> None:
    created = await kube.create(a_cluster(namespace))
    await kube.delete(GPU_CLUSTER, namespace, "a", uid=created["metadata"]["uid"])
    await kube.create(a_cluster(namespace))
    with pytest.raises(KubeError) as refused:
        await kube.patch_status(created, {"observedGeneration": 1})
    assert refused.value.failure.error is ErrorClass.CONFLICT
    assert not await kube.delete(GPU_CLUSTER, namespace, "a", uid=created["metadata"]["uid"])


async def test_finalizers_are_swapped_only_on_the_version_that_was_seen(kube: Kube, namespace: str) -> None:
    created = await kube.create(a_cluster(namespace))
    patch = {"metadata": {"resourceVersion": created["metadata"]["resourceVersion"], "finalizers": ["tunesmith.dev/x"]}}
    stored = await kube.merge_patch(GPU_CLUSTER, namespace, "a", patch)
    assert stored["metadata"]["finalizers"] == ["tunesmith.dev/x"]
    with pytest.raises(KubeError) as refused:
        await kube.merge_patch(GPU_CLUSTER, namespace, "a", patch)
    assert refused.value.failure.error is ErrorClass.CONFLICT
    await kube.merge_patch(GPU_CLUSTER, namespace, "a", {"metadata": {"finalizers": []}})


async def test_what_the_schema_refuses_is_invalid(kube: Kube, namespace: str) -> None:
    broken = a_cluster(namespace)
    broken["spec"] = {**SPEC, "nodes": 0}
    with pytest.raises(KubeError) as refused:
        await kube.create(broken)
    assert refused.value.failure.error is ErrorClass.INVALID


async def test_a_list_of_metadata_has_versions_and_no_specs(kube: Kube, namespace: str) -> None:
    await kube.create(a_cluster(namespace))
    listing = await kube.list(GPU_CLUSTER, namespace, metadata_only=True)
    (item,) = listing.items
    assert item["metadata"]["resourceVersion"]
    assert "spec" not in item


async def test_the_reflector_follows_a_real_collection(kube: Kube, namespace: str) -> None:
    cache, told = Cache(), []
    await kube.create(a_config_map(namespace, "a"))
    reflector = Reflector(
        kube,
        CONFIG_MAP,
        cache,
        changed=lambda raw: told.append(raw["metadata"]["name"]),
        monotonic=asyncio.get_running_loop().time,
        jitter=lambda: 0.0,
        namespace=namespace,
        label_selector="followed=yes",
    )
    task = asyncio.create_task(reflector.run())

    def names() -> list[str]:
        return [raw["metadata"]["name"] for raw in cache.list("ConfigMap")]

    try:
        await until(lambda: names() == ["a"])
        await kube.apply(a_config_map(namespace, "b", key="value"))
        await until(lambda: names() == ["a", "b"])
        await kube.delete(CONFIG_MAP, namespace, "a")
        await until(lambda: names() == ["b"])
        unlabelled = {"metadata": {"labels": {"followed": "no"}}}
        await kube.merge_patch(CONFIG_MAP, namespace, "b", unlabelled)  # the server tells it as a deletion
        await until(lambda: names() == [])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert told == ["a", "b", "a", "b"]


async def test_a_log_is_followed_until_its_container_ends(kube: Kube, namespace: str) -> None:
    script = "for step in 1 2 3; do echo step $step; sleep 0.2; done"
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script]}
    metadata = {"namespace": namespace, "name": "speaker"}
    await kube.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"restartPolicy": "Never", "containers": [container], "automountServiceAccountToken": False},
        }
    )

    async with asyncio.timeout(90):
        lines: list[str] = []
        while len(lines) < 3:  # until the container runs there is no log
            try:
                lines = [line async for line in kube.logs(namespace, "speaker")]
            except KubeError:
                await asyncio.sleep(0.2)
    assert lines == ["step 1", "step 2", "step 3"]
    await kube.delete(POD, namespace, "speaker", grace_period_seconds=0)


class Fleet:
    """Remote clusters whose kubeconfigs lie in the Secrets of a namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube, self.namespace = kube, namespace
        self.changes: list[RemoteCluster] = []
        self.secrets: list[str] = []
        self.remotes = RemoteClusters(
            RemotePorts(
                local=kube,
                secret_name=lambda remote: f"{remote.name}-kubeconfig",
                changed=lambda remote, raw: self.changes.append(remote),
                secret=self.secrets.append,
                monotonic=asyncio.get_running_loop().time,
                jitter=lambda: 0.0,
                allow_loopback=True,
            )
        )

    def at(self, name: str) -> RemoteCluster:
        return RemoteCluster(self.namespace, name)

    async def give(self, name: str, kubeconfig: str) -> None:
        metadata = {"namespace": self.namespace, "name": f"{name}-kubeconfig"}
        data = {"value": base64.b64encode(kubeconfig.encode()).decode()}
        await self.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    async def seen(self, name: str) -> RemoteView:
        def is_known() -> bool:
            view = self.remotes.view(self.at(name))
            return all(isinstance(each, Known) for each in (view.nodes, view.pods, view.jobs))

        await until(is_known)
        return self.remotes.view(self.at(name))


@pytest.fixture
async def fleet(kube: Kube, namespace: str) -> AsyncIterator[Fleet]:
    made = Fleet(kube, namespace)
    yield made
    await made.remotes.close()


async def test_a_bought_cluster_is_seen_through_its_kubeconfig_secret(fleet: Fleet, installed: Cluster) -> None:
    await fleet.give("bought", installed.kubeconfig.read_text())
    view = await fleet.seen("bought")
    assert isinstance(view.nodes, Known)
    assert {"gpu-1", "gpu-2"} <= {node["metadata"]["name"] for node in view.nodes.value}
    remote = await fleet.remotes.kube(fleet.at("bought"))
    assert await remote.get(SECRET, fleet.namespace, "bought-kubeconfig") is not None
    assert any("PRIVATE KEY" in secret for secret in fleet.secrets)


async def test_a_dead_cluster_is_unknown_and_delays_nobody(fleet: Fleet, installed: Cluster) -> None:
    text = installed.kubeconfig.read_text()
    await fleet.give("dead", text.replace(installed.server, "https://127.0.0.1:1"))
    await fleet.give("alive", text)
    fleet.remotes.view(fleet.at("dead"))
    await fleet.seen("alive")
    await until(lambda: fleet.remotes.view(fleet.at("dead")).reachable == Known(False, pytest.approx(0, abs=1e12)))
    assert isinstance(fleet.remotes.view(fleet.at("dead")).nodes, Unknown)
    dead = await fleet.remotes.kube(fleet.at("dead"))
    with pytest.raises(KubeError) as failed:
        await dead.get(POD, "default", "x")
    assert failed.value.failure.error is ErrorClass.UNAVAILABLE


async def test_a_kubeconfig_with_exec_is_not_used_and_says_so(fleet: Fleet, installed: Cluster) -> None:
    hostile = yaml.safe_load(installed.kubeconfig.read_text())
    hostile["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh"}}
    await fleet.give("hostile", yaml.safe_dump(hostile))
    with pytest.raises(KubeError, match="does not use from a Secret: exec") as refused:
        await fleet.remotes.kube(fleet.at("hostile"))
    assert refused.value.failure.error is ErrorClass.INVALID
    view = fleet.remotes.view(fleet.at("hostile"))
    assert isinstance(view.nodes, Unknown)


async def test_a_renewed_secret_is_used_without_a_restart(fleet: Fleet, installed: Cluster) -> None:
    text = installed.kubeconfig.read_text()
    await fleet.give("renewed", text.replace(installed.server, "https://127.0.0.1:1"))
    fleet.remotes.view(fleet.at("renewed"))
    await until(lambda: isinstance(fleet.remotes.view(fleet.at("renewed")).reachable, Known))
    await fleet.give("renewed", text)
    await fleet.seen("renewed")


async def test_a_kubeconfig_that_is_answered_with_401_is_rejected_until_a_newer_one_comes(
    fleet: Fleet, installed: Cluster
) -> None:
    text = installed.kubeconfig.read_text()
    revoked = yaml.safe_load(text)
    revoked["users"][0]["user"] = {"token": "revoked"}
    await fleet.give("rotated", yaml.safe_dump(revoked))
    await until(lambda: isinstance(fleet.remotes.view(fleet.at("rotated")).nodes, Rejected))
    await fleet.give("rotated", text)
    fleet.remotes.look_now(fleet.at("rotated"))
    view = await fleet.seen("rotated")
    assert view.kube_system_uid == (await fleet.kube.get(NAMESPACE, None, "kube-system") or {})["metadata"]["uid"]
