"""The chart installed by Helm: the operator's pod runs on a node, with its own service account and no right too few."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith_devcluster import tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.progress import Lines

from .conftest import ROOT

CHART = ROOT / "charts" / "tunesmith"
LEASE_SECONDS = 30


class Installed:
    """A release in a namespace of its own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        found = tools.ensure(Lines(print))
        self._helm = [str(found.helm), "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
        self._kubectl = [str(found.kubectl), "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]

    def helm(self, *arguments: str) -> str:
        return _run([*self._helm, *arguments])

    def kubectl(self, *arguments: str) -> str:
        return _run([*self._kubectl, *arguments])

    def pods(self) -> set[str]:
        """The names of the operator's pods."""
        found = json.loads(self.kubectl("get", "pods", "--output=json"))["items"]
        return {pod["metadata"]["name"] for pod in found}

    def leader(self) -> str:
        """The pod that holds the lease."""
        lease = json.loads(self.kubectl("get", "lease", "tunesmith", "--output=json"))
        return str(lease["spec"]["holderIdentity"]).split("_")[0]

    def refusals(self) -> list[str]:
        """What the API server refused to this release's service account, by its audit log."""
        user = f"system:serviceaccount:{self.namespace}:tunesmith"
        refused = []
        for line in self.cluster.audit_log.read_text().splitlines():
            entry = json.loads(line)
            if entry["user"]["username"] == user and entry["responseStatus"]["code"] == 403:
                refused.append(f"{entry['verb']} {entry['requestURI']}")
        return refused


@pytest.fixture(scope="module")
def release(installed: Cluster) -> Iterator[Installed]:
    made = Installed(installed, f"tunesmith-{uuid.uuid4().hex[:6]}")
    made.kubectl("create", "namespace", made.namespace)
    made.kubectl("create", "secret", "generic", "together", "--from-literal=apiKey=canary-key-0123456789")
    values = ["apiKey.existingSecret=together", "installationID=test01", "crds.enabled=false", "replicaCount=2"]
    values += ["developer.allowLoopback=true", "provider.baseURL=http://127.0.0.1:9/v1"]  # nobody answers there
    made.helm("install", "tunesmith", str(CHART), "--set", ",".join(values), "--wait", "--timeout", "3m")
    yield made
    made.helm("uninstall", "tunesmith", "--wait")
    made.kubectl("delete", "namespace", made.namespace, "--wait=false")


def test_two_replicas_become_ready_and_one_of_them_leads(release: Installed) -> None:
    deployment = json.loads(release.kubectl("get", "deployment", "tunesmith", "--output=json"))
    assert deployment["status"]["readyReplicas"] == 2
    assert release.leader() in release.pods()


def test_the_log_is_json_and_shows_no_key(release: Installed) -> None:
    log = release.kubectl("logs", "--selector=app.kubernetes.io/component=operator", "--tail=-1")
    assert log
    assert all(json.loads(line)["message"] for line in log.splitlines())
    assert "canary-key-0123456789" not in log


@pytest.mark.prove
def test_an_upgrade_brings_new_pods_one_of_which_leads(release: Installed) -> None:
    before = release.pods()
    upgrade = ["upgrade", "tunesmith", str(CHART), "--reuse-values", "--set", "saveGraceSeconds=1209600"]
    release.helm(*upgrade, "--wait", "--timeout", "3m")
    release.kubectl("rollout", "status", "deployment/tunesmith", "--timeout=3m")
    release.kubectl("wait", "--for=delete", *(f"pod/{name}" for name in before), "--timeout=1m")
    deadline = time.monotonic() + LEASE_SECONDS
    while release.leader() not in release.pods():
        assert time.monotonic() < deadline, f"{release.leader()} still leads; there are {release.pods()}"
        time.sleep(0.5)
    assert release.refusals() == []


def test_its_service_account_may_do_all_that_it_does(release: Installed) -> None:
    assert release.refusals() == []


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{Path(command[0]).name} {' '.join(command[1:])}\n{done.stdout}{done.stderr}"
    return done.stdout
