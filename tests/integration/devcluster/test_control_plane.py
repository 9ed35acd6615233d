"""A control plane of ours behaves like a user's."""

import json
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tunesmith_devcluster import tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_devcluster.progress import Lines


@pytest.fixture
def api(cluster: Cluster) -> Iterator[KubernetesApi]:
    with cluster.api() as client:
        yield client


@pytest.fixture
def namespace(api: KubernetesApi) -> Iterator[str]:
    name = f"plane-{uuid.uuid4().hex[:6]}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    until(lambda: api.exists(account))
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def trusting(cluster: Cluster) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cluster.directory / "pki" / "ca.crt")


def token_of(api: KubernetesApi, namespace: str, account: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return api.post(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})["status"][
        "token"
    ]


def test_it_is_the_kubernetes_that_is_pinned(api: KubernetesApi):
    assert api.get("/version")["gitVersion"].startswith("v1.")


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(
    api: KubernetesApi, cluster: Cluster, namespace: str
):
    api.post(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
        {
            "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
        },
    )
    api.post(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
        {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        },
    )
    headers = {"authorization": f"Bearer {token_of(api, namespace, 'default')}"}
    tls = trusting(cluster)
    with httpx.Client(base_url=cluster.server, headers=headers, verify=tls, trust_env=False) as account:
        until(lambda: account.get(f"/api/v1/namespaces/{namespace}/configmaps").status_code == 200)
        assert account.get(f"/api/v1/namespaces/{namespace}/secrets").status_code == 403
        assert account.get("/api/v1/nodes").status_code == 403


def test_a_request_without_credentials_is_refused(cluster: Cluster):
    answer = httpx.get(f"{cluster.server}/api/v1/nodes", verify=trusting(cluster), trust_env=False)
    assert answer.status_code in (401, 403)


def test_a_validating_admission_policy_denies_with_its_own_words(api: KubernetesApi, namespace: str):
    group = "/apis/admissionregistration.k8s.io/v1"
    name = f"no-{namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    policy = {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "!('forbidden' in object.data)", "message": "must not hold 'forbidden'"}],
        },
    }
    in_namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    binding = {
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": in_namespace},
    }
    api.post(f"{group}/validatingadmissionpolicies", policy)
    api.post(f"{group}/validatingadmissionpolicybindings", binding)
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"

    def is_denied() -> bool:
        try:
            api.post(config_maps, {"metadata": {"generateName": "try-"}, "data": {"forbidden": "x"}})
        except DevclusterError as error:
            return "must not hold 'forbidden'" in str(error)
        return False

    until(is_denied)
    api.delete(f"{group}/validatingadmissionpolicybindings/{name}")
    api.delete(f"{group}/validatingadmissionpolicies/{name}")


def test_every_request_stands_once_in_the_audit_log(api: KubernetesApi, cluster: Cluster, namespace: str):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.post(path, {"metadata": {"name": "seen"}, "data": {"secret": "never-logged"}})

    def events() -> list[dict]:
        all_of_them = map(json.loads, cluster.audit_log.read_text().splitlines())
        ours = (event for event in all_of_them if event["user"]["username"] == "admin")
        return [event for event in ours if event["requestURI"] == path and event["verb"] == "create"]

    until(lambda: len(events()) == 1)
    assert events()[0]["stage"] == "ResponseComplete"
    assert "never-logged" not in cluster.audit_log.read_text()


def test_a_pod_is_bound_to_a_node_with_enough_gpus(api: KubernetesApi, namespace: str):
    gpus = {"nvidia.com/gpu": "8"}
    container = {"name": "main", "image": "no.such/image:1", "resources": {"limits": gpus, "requests": gpus}}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, {"metadata": {"name": "wants-eight"}, "spec": {"containers": [container]}})
    too_many = {**container, "resources": {"limits": {"nvidia.com/gpu": "9"}}}
    api.post(pods, {"metadata": {"name": "wants-nine"}, "spec": {"containers": [too_many]}})
    until(lambda: api.get(f"{pods}/wants-eight")["spec"].get("nodeName") in ("gpu-1", "gpu-2"))

    def is_refused() -> bool:
        conditions = api.get(f"{pods}/wants-nine")["status"].get("conditions", [])
        return any("Insufficient nvidia.com/gpu" in one.get("message", "") for one in conditions)

    until(is_refused)


def test_kubectl_and_helm_speak_to_it(cluster: Cluster):
    found = tools.ensure(Lines(print))
    kubectl = [found.kubectl, f"--kubeconfig={cluster.kubeconfig}", "get", "nodes", "--output=name"]
    nodes = subprocess.run(kubectl, capture_output=True, text=True, check=True).stdout.split()
    assert {"node/gpu-1", "node/gpu-2"} <= set(nodes)
    helm = [found.helm, f"--kubeconfig={cluster.kubeconfig}", "list", "--output=json"]
    assert json.loads(subprocess.run(helm, capture_output=True, text=True, check=True).stdout) == []


def test_the_kubeconfig_travels_without_files(cluster: Cluster, tmp_path: Path):
    copy = tmp_path / "elsewhere"
    copy.write_text(cluster.kubeconfig.read_text())
    assert str(cluster.directory) not in copy.read_text()
    with KubernetesApi(copy) as client:
        assert client.is_ready()


def test_nobody_else_on_the_machine_can_read_the_keys(cluster: Cluster):
    private = [*cluster.directory.glob("pki/*.key"), cluster.kubeconfig, cluster.plane.layout.etcd_socket.parent]
    assert all(file.stat().st_mode & 0o077 == 0 for file in private)
