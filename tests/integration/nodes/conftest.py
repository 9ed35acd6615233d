"""One control plane with two process nodes for all tests of this folder, and a namespace of its own for each test."""

import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_devcluster.nodes.api import Access
from tunesmith_devcluster.nodes.spec import NodeSpec

Json = dict[str, Any]
PATIENCE_SECONDS = 90


@pytest.fixture(scope="session")
def node_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    specs = [NodeSpec(name, backoff_factor=0.05) for name in ("gpu-a", "gpu-b")]
    cluster = Cluster.create(directory, name="nodes", nodes=specs)
    yield cluster
    cluster.stop()


class Playground:
    """A namespace, and what a test does with pods in it."""

    def __init__(self, cluster: Cluster, api: KubernetesApi, namespace: str) -> None:
        self.cluster = cluster
        self.api = api
        self.namespace = namespace
        self.path = f"/api/v1/namespaces/{namespace}"

    def node(self, name: str) -> Path:
        return self.cluster.node_directory(name)

    def create(self, kind: str, name: str, **fields: Any) -> None:
        self.api.post(f"{self.path}/{kind}", {"metadata": {"name": name}, **fields})

    def pod(self, name: str, script: str = "", *, spec: Json | None = None, **container: Any) -> None:
        """Run `script` in a shell in a pod, with more of the pod's `spec` and of its container."""
        main = {
            "name": "main",
            "image": "busybox:1",
            **({"command": ["sh", "-c", script]} if script else {}),
            **container,
        }
        rest = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, **(spec or {})}
        self.create("pods", name, spec={"containers": [main], **rest})

    def seen(self, name: str) -> Json:
        return self.api.get(f"{self.path}/pods/{name}")

    def is_gone(self, name: str) -> bool:
        return not self.api.exists(f"{self.path}/pods/{name}")

    def delete(self, name: str, query: str = "") -> None:
        self.api.delete(f"{self.path}/pods/{name}{query}")

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (answer := holds()):
            if time.monotonic() > end:
                pods = self.api.get(f"{self.path}/pods")["items"]
                seen = {pod["metadata"]["name"]: pod.get("status") for pod in pods}
                pytest.fail(f"not within {PATIENCE_SECONDS} s: {what}; pods: {seen}")
            time.sleep(0.1)
        return answer

    def until_phase(self, name: str, *phases: str) -> Json:
        def holds() -> Json | None:
            pod = self.seen(name)
            return pod if pod["status"].get("phase") in phases else None

        return self.until(holds, f"{name} is {phases}")

    def container(self, name: str, which: int = 0) -> Json:
        statuses = self.seen(name)["status"].get("containerStatuses") or [{}]
        return statuses[which]

    def until_container(self, name: str, holds: Callable[[Json], Any]) -> Json:
        self.until(lambda: holds(self.container(name)), f"the container of {name}")
        return self.container(name)

    def ended(self, name: str) -> Json:
        """How the first container of a pod ended."""
        pod = self.until_phase(name, "Succeeded", "Failed")
        return pod["status"]["containerStatuses"][0]["state"]["terminated"]

    def log(self, name: str, **query: str) -> str:
        """The container's log through the API server, as `kubectl logs` reads it."""
        access = Access.read(self.cluster.kubeconfig)
        with http_client(access, self.cluster.directory) as client:
            return client.get(f"{self.path}/pods/{name}/log", params=query).raise_for_status().text

    def said(self, name: str) -> str:
        """The log of a pod that has ended."""
        self.until_phase(name, "Succeeded", "Failed")
        return self.log(name)

    def events(self, name: str) -> list[Json]:
        return self.api.get(f"{self.path}/events", fieldSelector=f"involvedObject.name={name}")["items"]

    def until_event(self, name: str, reason: str) -> str:
        def found() -> str | None:
            return next((event["message"] for event in self.events(name) if event["reason"] == reason), None)

        return self.until(found, f"event {reason} of {name}")


def http_client(access: Access, directory: Path) -> httpx.Client:
    tls = ssl.create_default_context(cadata=access.ca_pem.decode())
    pair = directory / f"test-{uuid.uuid4().hex}.pem"
    pair.write_bytes(access.certificate_pem + access.key_pem)
    tls.load_cert_chain(pair)
    pair.unlink()
    return httpx.Client(base_url=access.server, verify=tls, timeout=60, trust_env=False)


@pytest.fixture
def playground(node_cluster: Cluster) -> Iterator[Playground]:
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    with node_cluster.api() as api:
        api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        ground = Playground(node_cluster, api, namespace)
        ground.until(lambda: api.exists(f"{ground.path}/serviceaccounts/default"), "the default service account")
        ground.until(lambda: api.exists(f"{ground.path}/configmaps/kube-root-ca.crt"), "the CA's ConfigMap")
        yield ground
        for pod in api.get(f"{ground.path}/pods")["items"]:
            try:
                ground.delete(pod["metadata"]["name"], "?gracePeriodSeconds=0")
            except DevclusterError:
                continue
        api.delete(f"/api/v1/namespaces/{namespace}")
