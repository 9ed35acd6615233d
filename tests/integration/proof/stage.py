"""What the proofs stand on: a control plane with our kinds, the light simulator, and the operator as a bare process.

Nothing is installed by Helm and nothing runs in a pod, so a process can be started, killed and measured in a second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_simulator.process import SimulatorProcess

Object = dict[str, Any]

ROOT = Path(__file__).parents[3]
GROUP = "/apis/tunesmith.dev/v1alpha1"
PLURALS = {
    "GPUCluster": "gpuclusters",
    "SharedVolume": "sharedvolumes",
    "FineTuneJob": "finetunejobs",
    "CatalogModel": "catalogmodels",
    "GPURegion": "gpuregions",
}
CLUSTER_SCOPED = {"CatalogModel", "GPURegion"}
OPERATOR_NAMESPACE = "tunesmith-system"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/tunesmith"
PROGRAM = "from tunesmith.cli.main import main; main()"
WAIT_SECONDS = 120.0


def path_of(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """Where the API server has a resource of ours, or all of them."""
    where = f"/namespaces/{namespace}" if namespace and kind not in CLUSTER_SCOPED else ""
    return f"{GROUP}{where}/{PLURALS[kind]}" + (f"/{name}" if name else "")


def until(holds: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Wait until something holds, and answer what it says."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.05)
    return found


def a_free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class ManagementCluster:
    """A control plane without nodes, with our kinds and the operator's namespace. A context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self.cluster = Cluster.create(self.directory, name="proofs")
            ends.callback(self.cluster.stop)
            self.api = ends.enter_context(KubernetesApi(self.cluster.kubeconfig))
            self._install()
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _install(self) -> None:
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            self.api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(file.read_text()))
        for kind in PLURALS:
            until(partial(self._serves, path_of(kind)), f"{kind} should be served")
        self.make_namespace(OPERATOR_NAMESPACE)

    def _serves(self, path: str) -> bool:
        try:
            return self.api.exists(path)
        except DevclusterError as error:
            if "answered 429 " in str(error):  # "storage is (re)initializing"
                return False
            raise

    def make_namespace(self, name: str) -> None:
        """A namespace of that name."""
        self.api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def create(self, manifest: Object) -> Object:
        """Create a resource of ours. Raises `DevclusterError` when the API server refuses it."""
        return self.api.post(path_of(manifest["kind"], manifest["metadata"].get("namespace")), manifest)

    def accepts(self, manifest: Object, *, path: str | None = None) -> bool:
        """Create it, or put it at `path`; whether the API server took it."""
        try:
            if path is None:
                self.create(manifest)
            else:
                self.api.merge_patch(path, manifest)
        except DevclusterError as refusal:
            if any(f"answered {code} " in str(refusal) for code in (400, 409, 422)):
                return False
            raise
        return True

    def annotate(self, kind: str, namespace: str | None, name: str, annotations: Mapping[str, str | None]) -> None:
        """Annotate a resource; fine if it is gone."""
        try:
            self.api.merge_patch(path_of(kind, namespace, name), {"metadata": {"annotations": dict(annotations)}})
        except DevclusterError as error:
            if "answered 404 " not in str(error):
                raise

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The resource, or None."""
        path = path_of(kind, namespace, name)
        try:
            return self.api.get(path)
        except DevclusterError as error:
            if "answered 404 " in str(error):
                return None
            raise

    def items(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All of a kind."""
        found: list[Object] = self.api.get(path_of(kind, namespace))["items"]
        return found

    def forget_lease(self) -> None:
        """As if the time had passed after which another process may take over from one that was killed."""
        self.api.delete(LEASE)


class Provider:
    """The light simulator in a process of its own. A context manager."""

    def __init__(self, directory: Path, scenario: str = "default", *, speed: float | None = None) -> None:
        self._process = SimulatorProcess(directory, scenario=scenario, speed=speed)

    def __enter__(self) -> Self:
        self._process.start()
        self.url = self._process.url
        self._http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.stop()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def state(self) -> Object:
        """All that ever was bought."""
        answer: Object = self._http.get("/admin/state").raise_for_status().json()
        return answer

    def requests(self) -> list[Object]:
        """Who asked what."""
        answer: list[Object] = self._http.get("/admin/requests").raise_for_status().json()["requests"]
        return answer

    def clusters(self) -> list[Object]:
        """Clusters that exist now."""
        return [each for each in self.state()["clusters"] if each["gone_at"] is None]

    def volumes(self) -> list[Object]:
        """Volumes that exist now."""
        return [each for each in self.state()["volumes"] if each["gone_at"] is None]


@dataclass(frozen=True)
class Installed:
    """How the operator is started: where, with which key, and what else the administrator sets."""

    kubeconfig: Path
    base_url: str
    directory: Path
    key: str
    settings: tuple[tuple[str, str], ...] = ()

    def environment(self, port: int) -> dict[str, str]:
        """Its settings, and nothing of a TUNESMITH_ variable that stands here already."""
        key_file = self.directory / "api-key"
        key_file.write_text(self.key)
        own = {
            "operator_namespace": OPERATOR_NAMESPACE,
            "installation_id": "proof1",
            "listen_port": str(port),
            "base_url": self.base_url,
            "api_key_file": str(key_file),
            "allow_loopback": "true",
            "create_window_seconds": "1",
            "settle_seconds": "4",
            "absence_interval_seconds": "1",
            "save_grace_seconds": "2",
            "trainer_image": "proofs/trainer:dev",
            **dict(self.settings),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNESMITH_")}
        return kept | {f"TUNESMITH_{name.upper()}": value for name, value in own.items()}


class OperatorProcess:
    """`tunesmith run`, or a program of the tests around it. Its log goes on in one file over all restarts."""

    def __init__(
        self,
        installed: Installed,
        *,
        program: Sequence[str] = ("-c", PROGRAM),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.log = installed.directory / "operator.log"
        self.port = a_free_port()
        self._arguments = [sys.executable, *program, "run", "--kubeconfig", str(installed.kubeconfig)]
        self._environment = installed.environment(self.port) | dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, for the first time or again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """How it ended; None while it runs. A signal is a negative number."""
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        """SIGKILL to it and to what it has forked, if they still run."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def metrics(self) -> str:
        """Its metrics as they are served; empty while nobody answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10, trust_env=False).text
        except httpx.HTTPError:
            return ""

    def complaints(self, *, since: int = 0) -> list[str]:
        """Exceptions and errors in the log, from that byte on."""
        return [line for line in self._lines(since) if _is_complaint(line)]

    def _lines(self, since: int) -> Iterator[str]:
        with self.log.open("rb") as log:
            log.seek(since)
            yield from (line.decode(errors="replace").rstrip() for line in log)


def places_with_a_key(management: ManagementCluster, operator: OperatorProcess, *keys: str) -> list[str]:
    """Where one of these API keys stands: the operator's log or metrics, an Event, a resource of ours."""
    told = {kind: json.dumps(management.items(kind)) for kind in PLURALS}
    told["an Event"] = json.dumps(management.api.get("/api/v1/events"))
    told["the log"] = operator.log.read_text(errors="replace")
    told["/metrics"] = operator.metrics()
    return [place for place, text in told.items() if any(key in text for key in keys)]


def _is_complaint(line: str) -> bool:
    """Lines are JSON; what is not is a traceback that went past the log."""
    if "Traceback" in line:
        return True
    try:
        return json.loads(line).get("level") in {"ERROR", "CRITICAL"}
    except (ValueError, AttributeError):
        return "Error" in line
