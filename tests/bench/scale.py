"""What many GPUClusters cost when nothing happens, and how soon a restarted operator has been through all of them.

Against a real API server and the light simulator: `python tests/bench/scale.py [N]`; `--help` says what can be varied.
The operator is one process without a container; memory and processor time are what the kernel says of it. N clusters
are bought first, through as many accounts as asked for, because the provider's requests are limited per credential.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.integration.proof.stage import (  # noqa: E402
    Installed,
    ManagementCluster,
    OperatorProcess,
    Provider,
    until,
)

NAMESPACES = 20
TICKS = os.sysconf("SC_CLK_TCK")
DAY = "86400"
NOT_ANSWERING = {"ClusterUnreachable", "Unreachable", "KubeconfigRefused", "KubeconfigMissing"}


@dataclass(frozen=True)
class Reading:
    """The operator at a moment."""

    time: float
    cpu_seconds: float
    kube: dict[str, float]
    cloud: dict[str, float]
    passes: float
    provider_requests: int


@click.command()
@click.argument("count", type=int, default=200)
@click.option("--accounts", default=4, show_default=True, help="Credentials that the clusters are spread over.")
@click.option("--idle-seconds", default=120, show_default=True, help="How long the idle operator is watched.")
@click.option("--inside/--no-inside", default=True, show_default=True, help="Whether the bought clusters answer.")
def main(count: int, accounts: int, idle_seconds: int, inside: bool) -> None:
    """Buy COUNT clusters, watch the operator while nothing happens, kill it, and time its first passes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="tunesmith-scale-") as folder:
        directory = Path(folder)
        with ManagementCluster(directory / "cluster") as management:
            insides = directory / "inside"
            insides.mkdir()
            player = subprocess.Popen([sys.executable, "-m", "tests.integration.proof.inside", insides], cwd=ROOT)
            try:
                until((insides / "port").exists, "the inside of clusters should answer")
                scenario = _scenario(directory, insides, accounts, count, answers=inside)
                with Provider(directory / "provider", scenario=scenario) as provider:
                    (insides / "provider-url").write_text(provider.url)
                    _measure(management, provider, directory, count, accounts, idle_seconds, inside=inside)
            finally:
                player.kill()
                player.wait()


def _measure(
    management: ManagementCluster,
    provider: Provider,
    directory: Path,
    count: int,
    accounts: int,
    idle_seconds: int,
    *,
    inside: bool,
) -> None:
    more = (("create_window_seconds", "30"), ("settle_seconds", "120"), ("idle_warn_after_seconds", DAY))
    installed = Installed(management.cluster.kubeconfig, provider.url, directory, "key-0", more)
    final = {"InOrder"} if inside else NOT_ANSWERING
    with OperatorProcess(installed) as operator:
        begun = time.monotonic()
        _create(management, count, accounts)
        print(f"{count} GPUClusters created in {time.monotonic() - begun:.0f} s", flush=True)
        until(lambda: _said(management, operator, final, count), "all should be bought and looked into", 3600)
        print(f"all bought and at rest after {time.monotonic() - begun:.0f} s", flush=True)
        time.sleep(min(60, idle_seconds))  # what follows a purchase dies down
        before = _read(operator, provider)
        time.sleep(idle_seconds)
        _print_idle(before, _read(operator, provider), _resident_mib(operator.pid))
        operator.kill()
        management.forget_lease()
        started = time.monotonic()
        operator.start()
        until(lambda: _passes(operator.metrics()) >= count, "the restarted operator should pass over all", 600)
        print(f"first pass over all after a restart  {time.monotonic() - started:8.1f} s (from the process's start)")
        until(lambda: _settled(operator.metrics()) >= count, "the restarted operator should have looked at all", 600)
        print(f"all of them settled again            {time.monotonic() - started:8.1f} s")
        complaints = operator.complaints()
        print(f"errors in the log                    {len(complaints):8d}")
        for line in complaints[:3]:
            print(line[:600])
    answers = "answer" if inside else "do not answer"
    print(
        f"\nwith {count} GPUClusters of {accounts} accounts that {answers}; Python {platform.python_version()}, ",
        end="",
    )
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


def _create(management: ManagementCluster, count: int, accounts: int) -> None:
    for number in range(NAMESPACES):
        management.make_namespace(f"team-{number}")
        key = {"metadata": {"name": "key"}, "stringData": {"apiKey": f"key-{number % accounts}"}}
        management.api.post(f"/api/v1/namespaces/team-{number}/secrets", key)

    def create(number: int) -> None:
        spec = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "credentialsRef": {"name": "key"}}
        meta = {"name": f"cluster-{number}", "namespace": f"team-{number % NAMESPACES}"}
        management.create(
            {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": meta, "spec": spec}
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(count)))


def _said(management: ManagementCluster, operator: OperatorProcess, reasons: set[str], count: int) -> bool:
    time.sleep(2)
    if operator.ended is not None:  # on a machine that is too busy the lease is lost; its pod would be started again
        print(f"the operator ended with {operator.ended} and is started again", flush=True)
        operator.start()
    found = 0
    for each in management.items("GPUCluster"):
        conditions = (each.get("status") or {}).get("conditions") or ()
        found += any(one["type"] == "Ready" and one["reason"] in reasons for one in conditions)
    return found == count


def _read(operator: OperatorProcess, provider: Provider) -> Reading:
    text = operator.metrics()
    asked = [each for each in provider.requests() if not each["path"].startswith("/admin")]
    return Reading(
        time.monotonic(),
        _cpu_seconds(operator.pid),
        _counts(text, "tunesmith_kube_request_seconds_count", ("verb", "kind")),
        _counts(text, "tunesmith_cloud_request_seconds_count", ("method", "collection")),
        _passes(text),
        len(asked),
    )


def _print_idle(before: Reading, after: Reading, resident_mib: float) -> None:
    minutes = (after.time - before.time) / 60
    cpu = (after.cpu_seconds - before.cpu_seconds) / (after.time - before.time)
    print(f"memory                               {resident_mib:8.0f} MiB resident")
    print(f"processor                            {cpu:8.2f} of one core")
    print(f"passes                               {(after.passes - before.passes) / minutes:8.0f} a minute")
    print(
        f"requests to the provider             {(after.provider_requests - before.provider_requests) / minutes:8.1f}",
        end="",
    )
    print(" a minute")
    for name, (old, new) in {"  ": (before.cloud, after.cloud), "k ": (before.kube, after.kube)}.items():
        for what in sorted(new):
            more = new[what] - old.get(what, 0)
            if more:
                where = "provider" if name == "  " else "API server"
                print(f"  {where}: {what:<34} {more / minutes:8.1f} a minute")


def _counts(text: str, name: str, labels: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith(f"{name}{{"):
            continue
        said = dict(re.findall(r'(\w+)="([^"]*)"', line))
        key = " ".join(said[label] for label in labels)
        found[key] = found.get(key, 0) + float(line.rsplit(" ", 1)[1])
    return found


def _passes(text: str) -> float:
    return _counts(text, "tunesmith_reconcile_seconds_count", ("kind",)).get("GPUCluster", 0)


def _settled(text: str) -> float:
    return _counts(text, "tunesmith_reconcile_seconds_count", ("kind", "outcome")).get("GPUCluster settled", 0)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


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


if __name__ == "__main__":
    main()
