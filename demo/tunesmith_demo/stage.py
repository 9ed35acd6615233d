"""The stage of the demo and the end-to-end tests: a management cluster, the provider played, the operator by Helm.

Everything lives in one directory and is ended when the stage is left; nothing outside it is touched.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

from tunesmith_demo.kubectl import Kubectl
from tunesmith_demo.reader import Reader
from tunesmith_devcluster import processes
from tunesmith_devcluster import tools as tool_finder
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.node_process import IMAGES
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_devcluster.progress import Lines

Say = Callable[[str], None]

RELEASE = "tunesmith"
OPERATOR_NAMESPACE = "tunesmith-system"
CREDENTIAL_SECRET = "together-api-key"  # noqa: S105 - the name of a Secret, not its content
START_SECONDS = 90
PROVIDER_GRACE_SECONDS = 60


class StageError(RuntimeError):
    """The stage could not be set up; the message says which part and where its log is."""


@dataclass
class Stage:
    """A management cluster with the operator in it, and a provider to buy from.

    `values` are Helm values over those that a simulated installation needs; `scenario` is the simulator's, by name or
    path, and `key` one of its accounts' keys. `images` is the nodes' table of images, and `backoff_factor` shortens
    their back-off before restarts.
    """

    directory: Path
    say: Say = print
    scenario: str = "demo"
    speed: float = 1.0
    light: bool = False
    local_gpu_nodes: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    key: str = "simulated-key-demo"
    images: Path = IMAGES
    backoff_factor: float = 1.0
    cluster: Cluster = field(init=False)
    tools: tool_finder.Tools = field(init=False)
    kubectl: Kubectl = field(init=False)
    provider_url: str = field(init=False, default="")
    _provider: processes.Process | None = field(init=False, default=None)

    @property
    def root(self) -> Path:
        """The checkout that the chart and the manifests are taken from."""
        return Path(__file__).resolve().parents[2]

    @property
    def _provider_pid(self) -> Path:
        return self.directory / "provider.pid"

    def __enter__(self) -> Stage:
        try:
            self.raise_curtain()
        except BaseException:
            self.strike()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.strike()

    def raise_curtain(self) -> None:
        """Bring up the management cluster and the provider. The operator comes with `install_operator`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.start_provider()
        backoff = self.backoff_factor
        nodes = [NodeSpec(name="management-0", gpus=0, cpus=8, memory_gib=16, backoff_factor=backoff)]
        nodes += [NodeSpec(name=f"local-{index}", backoff_factor=backoff) for index in range(self.local_gpu_nodes)]
        self.cluster = Cluster.create(
            self.directory / "management", name="management", nodes=nodes, say=self.say, images=self.images
        )
        self.tools = tool_finder.ensure(Lines(self.say))
        self.kubectl = Kubectl(self.tools.kubectl, self.cluster.kubeconfig)

    def start_provider(self) -> None:
        """Start the simulator as a process of its own, as the provider is one."""
        port_file = self.directory / "provider.port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tunesmith_simulator", "serve", "--port-file", str(port_file)]
        command += ["--scenario", self.scenario, "--speed", str(self.speed)]
        command += ["--state", str(self.directory / "provider"), *(["--light"] if self.light else [])]
        self._provider = processes.start(
            command, pid_file=self._provider_pid, log=self.directory / "provider.log", environment=os.environ
        )
        self._wait("the provider's simulator", lambda: port_file.exists() and bool(port_file.read_text().strip()))
        self.provider_url = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def install_operator(self) -> None:
        """`helm install`, as a user would, and wait until its pod is ready."""
        self.kubectl("create", "namespace", OPERATOR_NAMESPACE)
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CREDENTIAL_SECRET, "namespace": OPERATOR_NAMESPACE},
            "stringData": {"apiKey": self.key},
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        values = self.directory / "values.yaml"
        values.write_text(yaml.safe_dump(_merged(self._simulated_values(), self.values)))
        self.helm("install", RELEASE, str(self.root / "charts" / "tunesmith"), "--values", str(values), "--wait")

    def helm(self, *arguments: str) -> str:
        """Run helm against the management cluster. Raises StageError with helm's own words."""
        command = [str(self.tools.helm), "--kubeconfig", str(self.cluster.kubeconfig)]
        command += ["--namespace", OPERATOR_NAMESPACE, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._tool_environment())
        if done.returncode != 0:
            raise StageError(f"`helm {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout

    def reader(self) -> Reader:
        """A new administrator's reader of the management cluster."""
        return Reader(self.cluster.kubeconfig.read_text())

    def kubectl_by(self, secret: dict[str, Any], path: Path) -> Kubectl:
        """kubectl by the kubeconfig that a Secret of the operator holds; it is written to `path` for people too."""
        path.touch(mode=0o600)
        path.write_text(base64.b64decode(secret["data"]["value"]).decode())
        return Kubectl(self.tools.kubectl, path)

    def provider_state(self) -> dict[str, Any]:
        """Everything that the provider ever held, with times and dollars."""
        answer = httpx.get(f"{self.provider_url}/admin/state", timeout=10, trust_env=False)
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def strike(self) -> None:
        """End everything that this stage started. Fine if parts never came up."""
        if hasattr(self, "cluster"):
            self.cluster.stop()
        self.end_provider()

    def end_provider(self) -> None:
        """End the simulator, and with it the clusters that it brought up."""
        processes.end([self._provider_pid], grace_seconds=PROVIDER_GRACE_SECONDS)

    @staticmethod
    def end_left(directory: Path) -> None:
        """End what a stage in that directory left up, from any process."""
        processes.end([directory / "provider.pid"], grace_seconds=PROVIDER_GRACE_SECONDS)
        with contextlib.suppress(DevclusterError):
            Cluster.open(directory / "management").stop()

    def _simulated_values(self) -> dict[str, Any]:
        """What an installation against a simulated provider needs."""
        return {
            "installationID": "demo01",
            "apiKey": {"existingSecret": CREDENTIAL_SECRET},
            "provider": {"baseURL": self.provider_url, "gpuHourUSD": {"H100_SXM": "3.99"}, "tibMonthUSD": "163.84"},
            "image": {"tag": "dev"},
            "trainer": {"image": "tunesmith/trainer:dev"},
            "developer": {
                "allowLoopback": True,
                "simulatedGPUs": True,
                "createWindowSeconds": 3,
                "settleSeconds": 6,
                "absenceIntervalSeconds": 1,
            },
        }

    def _tool_environment(self) -> dict[str, str]:
        folder = self.directory / "helm"
        return {**os.environ, **{f"HELM_{kind}_HOME": str(folder) for kind in ("CACHE", "CONFIG", "DATA")}}

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self._provider is not None and not self._provider.alive:
                raise StageError(f"{what} ended while starting:\n{self._provider.log_tail()}")
            if time.monotonic() > deadline:
                raise StageError(f"{what} did not start within {START_SECONDS} s; see {self.directory}")
            time.sleep(0.1)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping, as Helm lays values."""
    merged = dict(base)
    for name, value in over.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
