"""Many GPUClusters at once: a market that sells and answers for all of them, and what the operator asks for and writes.

Used by the proof of scale and by `tests/bench/scale.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.integration.proof.stage import ROOT, ManagementCluster, OperatorProcess, Provider, until

NAMESPACES = 20
DAY = "86400"
SETTINGS = (("create_window_seconds", "30"), ("settle_seconds", "120"), ("idle_warn_after_seconds", DAY))
"""What `Installed` is given: many purchases wait for their turn, and nobody is told of idle clusters."""
IN_ORDER = frozenset({"InOrder"})
NOT_ANSWERING = frozenset({"ClusterUnreachable", "Unreachable", "KubeconfigRefused", "KubeconfigMissing"})


@dataclass(frozen=True)
class Reading:
    """What the operator has asked of others since it started. Keys are `verb kind` and `method collection`."""

    kube: Mapping[str, float]
    cloud: Mapping[str, float]
    passes: float
    settled: float

    def writes_since(self, before: Reading) -> dict[str, float]:
        """What it wrote to the API server, by `verb kind`; its own lease does not count."""
        more = {what: count - before.kube.get(what, 0) for what, count in self.kube.items()}
        return {what: count for what, count in more.items() if count and _is_write(*what.split(" "))}


NOTHING_YET = Reading({}, {}, 0, 0)


@contextmanager
def a_market(directory: Path, count: int, accounts: int, *, answers: bool) -> Iterator[Provider]:
    """A provider with so many accounts and stock for so many clusters; `answers` says whether those can be reached.

    The accounts' keys are `key-0`, `key-1`, ...
    """
    insides = directory / "inside"
    insides.mkdir()
    player = subprocess.Popen([sys.executable, "-m", "tests.integration.proof.inside", insides], cwd=ROOT)
    try:
        until((insides / "port").exists, "the inside of clusters should answer")
        scenario = _scenario(directory, insides, accounts, count, answers=answers)
        with Provider(directory / "provider", scenario=scenario) as provider:
            (insides / "provider-url").write_text(provider.url)
            yield provider
    finally:
        player.kill()
        player.wait()


def create_many(management: ManagementCluster, count: int, accounts: int, *, team: str = "team", **spec: Any) -> None:
    """So many GPUClusters, in namespaces `<team>-<number>` that have the accounts' keys by turns."""
    for number in range(NAMESPACES):
        management.make_namespace(f"{team}-{number}")
        key = {"metadata": {"name": "key"}, "stringData": {"apiKey": f"key-{number % accounts}"}}
        management.api.post(f"/api/v1/namespaces/{team}-{number}/secrets", key)
    body = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "credentialsRef": {"name": "key"}, **spec}

    def create(number: int) -> None:
        meta = {"name": f"cluster-{number}", "namespace": f"{team}-{number % NAMESPACES}"}
        management.create(
            {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": meta, "spec": body}
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(count)))


def all_say(management: ManagementCluster, reasons: frozenset[str], count: int) -> bool:
    """Whether so many GPUClusters are Ready, or not, for one of these reasons. Rests longer where there are more."""
    time.sleep(count / 1000)
    found = 0
    for each in management.items("GPUCluster"):
        conditions = (each.get("status") or {}).get("conditions") or ()
        found += any(one["type"] == "Ready" and one["reason"] in reasons for one in conditions)
    return found == count


def read(operator: OperatorProcess) -> Reading:
    """By its metrics; nothing yet while it does not serve them."""
    text = operator.metrics()
    return Reading(
        kube=_counts(text, "tunesmith_kube_request_seconds_count", ("verb", "kind")),
        cloud=_counts(text, "tunesmith_cloud_request_seconds_count", ("method", "collection")),
        passes=_counts(text, "tunesmith_reconcile_seconds_count", ("kind",)).get("GPUCluster", 0),
        settled=_counts(text, "tunesmith_reconcile_seconds_count", ("kind", "outcome")).get("GPUCluster settled", 0),
    )


def asked_of(provider: Provider) -> list[dict[str, Any]]:
    """The operator's requests, oldest first."""
    return [each for each in provider.requests() if not each["path"].startswith("/admin")]


def _is_write(verb: str, kind: str) -> bool:
    return verb in {"POST", "PUT", "PATCH", "DELETE"} and kind != "Lease"


def _counts(text: str, name: str, labels: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith(f"{name}{{"):
            continue
        said = dict(re.findall(r'(\w+)="([^"]*)"', line))
        key = " ".join(said[label] for label in labels)
        found[key] = found.get(key, 0) + float(line.rsplit(" ", 1)[1])
    return found


def _scenario(directory: Path, inside: Path, accounts: int, count: int, *, answers: bool) -> str:
    drivers = [{"id": "nvidia-570-22", "cuda_version": "12.8", "nvidia_driver_version": "570"}]
    document = {
        "accounts": [{"name": f"a{it}", "key": f"key-{it}", "projects": [f"proj-{it}"]} for it in range(accounts)],
        "regions": [{"name": "us-central-8", "stock": {"H100_SXM": 8 * count + 8}, "drivers": drivers}],
        "speed": 200,
    }
    if answers:
        document["kubeconfig_server"] = f"https://127.0.0.1:{(inside / 'port').read_text()}"
        document["kubeconfig_authority"] = (inside / "authority.pem").read_text()
    file = directory / "scenario.yaml"
    file.write_text(yaml.safe_dump(document))
    return str(file)
