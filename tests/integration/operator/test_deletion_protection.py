"""The chart's admission policy on a real API server: what its user protects is not deleted, whoever asks."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import GPU_CLUSTER, NAMESPACE, SHARED_VOLUME, ObjectKind
from tunesmith_devcluster import tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.progress import Lines

ROOT = Path(__file__).parents[3]
TRIES = 120
PROTECTED = {"tunesmith.dev/deletion-protection": "enabled"}
SPECS: dict[str, dict[str, Any]] = {
    "GPUCluster": {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1},
    "SharedVolume": {"region": "us-central-8", "sizeTiB": 1},
}
BOTH = pytest.mark.parametrize("kind", [GPU_CLUSTER, SHARED_VOLUME], ids=lambda kind: kind.kind)


def a_resource(kind: ObjectKind, namespace: str, name: str, annotations: dict[str, str] | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": namespace, "name": name}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": kind.kind, "metadata": metadata, "spec": SPECS[kind.kind]}


@pytest.fixture(scope="module")
def policy(installed: Cluster) -> Iterator[None]:
    """The policy as the chart renders it, and in force: the API server takes a moment to compile it."""
    programs, chart = tools.ensure(Lines(print)), str(ROOT / "charts" / "tunesmith")
    show = ["--show-only", "templates/deletionprotection.yaml"]
    rendered = subprocess.run(
        [str(programs.helm), "template", "tunesmith", chart, *show], check=True, capture_output=True, text=True
    ).stdout

    def kubectl(*arguments: str, text: str | None = None) -> int:
        command = [str(programs.kubectl), "--kubeconfig", str(installed.kubeconfig), *arguments]
        return subprocess.run(command, input=text, text=True, check=False).returncode

    canary = yaml.safe_dump(a_resource(SHARED_VOLUME, "default", "canary", PROTECTED))
    assert kubectl("apply", "--filename", "-", text=rendered + "\n---\n" + canary) == 0
    probe = ("delete", "sharedvolume", "canary", "--namespace", "default", "--dry-run=server")
    for _ in range(TRIES):
        if kubectl(*probe) != 0:
            break
        time.sleep(0.5)
    else:
        raise AssertionError("the policy does not come into force")
    yield
    assert kubectl("delete", "--filename", "-", text=rendered) == 0
    while kubectl("delete", "sharedvolume", "canary", "--namespace", "default", "--ignore-not-found") != 0:
        time.sleep(0.5)


@BOTH
@pytest.mark.usefixtures("policy")
async def test_what_is_protected_is_refused_until_the_annotation_goes(
    kube: Kube, namespace: str, kind: ObjectKind
) -> None:
    await kube.create(a_resource(kind, namespace, "kept", PROTECTED))
    with pytest.raises(KubeError) as refused:
        await kube.delete(kind, namespace, "kept")
    assert refused.value.status == 403
    found = await kube.get(kind, namespace, "kept")
    assert found is not None
    await kube.merge_patch(kind, namespace, "kept", {"metadata": {"annotations": dict.fromkeys(PROTECTED)}})
    assert await kube.delete(kind, namespace, "kept")


@BOTH
@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("annotations", [None, {"other": "x"}, {"tunesmith.dev/deletion-protection": "disabled"}])
async def test_everything_else_is_deleted_as_ever(
    kube: Kube, namespace: str, kind: ObjectKind, annotations: dict[str, str] | None
) -> None:
    await kube.create(a_resource(kind, namespace, "free", annotations))
    assert await kube.delete(kind, namespace, "free")


@pytest.mark.usefixtures("policy")
async def test_the_end_of_a_namespace_does_not_take_what_is_protected_along(kube: Kube, namespace: str) -> None:
    await kube.create(a_resource(GPU_CLUSTER, namespace, "kept", PROTECTED))
    await kube.delete(NAMESPACE, None, namespace)
    async with asyncio.timeout(90):
        while "NamespaceDeletionContentFailure" not in await troubles(kube, namespace):
            await asyncio.sleep(0.2)
    assert await kube.get(GPU_CLUSTER, namespace, "kept") is not None
    await kube.merge_patch(GPU_CLUSTER, namespace, "kept", {"metadata": {"annotations": dict.fromkeys(PROTECTED)}})
    async with asyncio.timeout(90):
        while (await kube.get(NAMESPACE, None, namespace)) is not None:
            await asyncio.sleep(0.2)


async def troubles(kube: Kube, namespace: str) -> set[str]:
    """What keeps a namespace that is being deleted."""
    found = await kube.get(NAMESPACE, None, namespace) or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    return {condition["type"] for condition in conditions if condition["status"] == "True"}
