"""What the end-to-end tests see and touch: the management cluster, the provider, the operator, the storage."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.e2e import manifests
from tests.e2e.audit import AuditLog
from tests.e2e.recorder import GROUP, KINDS, Recorder

from tunesmith_demo.operator_process import operator_pid
from tunesmith_demo.reader import Reader, condition
from tunesmith_demo.stage import OPERATOR_NAMESPACE, Stage
from tunesmith_trainer.testing import conversations

Object = dict[str, Any]

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.1
LOG_LINES_SHOWN = 25
CORE = {"Pod": "pods", "Secret": "secrets", "ConfigMap": "configmaps", "Event": "events"}


@dataclass(frozen=True)
class World:
    """One stage with the operator on it, shared by all tests; every test takes namespaces of its own."""

    stage: Stage
    recorder: Recorder
    tiny_model: Path
    reader: Reader
    _namespaces: list[str] = field(default_factory=list)

    # -- what users do ------------------------------------------------------------------------------------------------

    def namespace(self, name: str) -> "Namespace":
        """A new namespace."""
        self.stage.kubectl("create", "namespace", name)
        self._namespaces.append(name)
        return Namespace(self, name)

    def apply(self, *written: Object, namespace: str | None = None) -> None:
        """`kubectl apply` of manifests, as a user would."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(written)}
        where = ("--namespace", namespace) if namespace else ()
        self.stage.kubectl("apply", *where, "-f", "-", stdin=json.dumps(items))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that a test has made."""
        return tuple(self._namespaces)

    # -- what there is ------------------------------------------------------------------------------------------------

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The resource, or None."""
        return self.reader.get(f"{self._path(kind, namespace)}/{name}")

    def items(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All of a kind."""
        return self.reader.items(self._path(kind, namespace))

    @property
    def audit(self) -> AuditLog:
        """What the management cluster's API server was asked for."""
        return AuditLog(self.stage.cluster.audit_log)

    @property
    def clusters(self) -> list[Object]:
        """The provider's clusters that are not gone."""
        return [each for each in self.stage.provider_state()["clusters"] if not each["gone_at"]]

    @property
    def volumes(self) -> list[Object]:
        """The provider's volumes that are not gone."""
        return [each for each in self.stage.provider_state()["volumes"] if not each["gone_at"]]

    def provider_requests(self) -> list[Object]:
        """Every request that the provider was asked, oldest first."""
        answer = httpx.get(f"{self.stage.provider_url}/admin/requests", timeout=30, trust_env=False)
        found: list[Object] = answer.raise_for_status().json()["requests"]
        return [each for each in found if not each["path"].startswith("/admin/")]

    def provider_writes(self) -> list[str]:
        """What would change something at the provider, as method and path."""
        return [f"{each['method']} {each['path']}" for each in self.provider_requests() if each["method"] != "GET"]

    def ask_provider(self, path: str, body: Object) -> None:
        """Use one of the simulator's admin routes."""
        httpx.post(f"{self.stage.provider_url}{path}", json=body, timeout=30, trust_env=False).raise_for_status()

    # -- waiting ------------------------------------------------------------------------------------------------------

    def until(self, reached: Callable[[], Any], otherwise: Callable[[], str], seconds: float = PATIENCE_SECONDS) -> Any:
        """What `reached` answers as soon as it is true; an error with what `otherwise` tells after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (answer := reached()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{otherwise()}\n(waited {seconds:.0f} s)\n\n{self.operator_log_tail()}")
            time.sleep(LOOK_SECONDS)
        return answer

    # -- the operator -------------------------------------------------------------------------------------------------

    def operator_logs(self) -> list[Path]:
        """The log of every run of the operator's container, also of those that were killed."""
        logs = self.stage.cluster.node_directory("management-0") / "logs"
        return sorted(logs.glob("*/operator/*.log"), key=lambda file: file.stat().st_mtime)

    def operator_log_tail(self) -> str:
        """The end of what the operator wrote."""
        logs = self.operator_logs()
        lines = logs[-1].read_text(errors="replace").splitlines() if logs else []
        return "The operator's last lines:\n" + "\n".join(line[:600] for line in lines[-LOG_LINES_SHOWN:])

    def metrics(self) -> str:
        """What a scraper reads from the operator's pod."""
        address = self.items("Pod", OPERATOR_NAMESPACE)[0]["status"]["podIP"]
        return httpx.get(f"http://{address}:8080/metrics", timeout=10, trust_env=False).raise_for_status().text

    def operator_pid(self) -> int:
        """The process that is the active operator."""
        found = operator_pid(self.stage.cluster.server)
        assert found is not None, "one operator should run"
        return found

    def kill_operator(self) -> None:
        """End the operator's process without grace. Its pod starts it again."""
        os.kill(self.operator_pid(), signal.SIGKILL)

    def restart_operator(self) -> None:
        """Kill it, and wait until its pod is Ready again with a new process."""
        restarts = self._restarts()
        self.kill_operator()
        self.until(lambda: self._restarts() > restarts and self._operator_is_ready(), lambda: "no operator came back")

    def _restarts(self) -> int:
        statuses = (pod["status"].get("containerStatuses", []) for pod in self.items("Pod", OPERATOR_NAMESPACE))
        return sum(container["restartCount"] for each in statuses for container in each)

    def _operator_is_ready(self) -> bool:
        pods = self.items("Pod", OPERATOR_NAMESPACE)
        return bool(pods) and all(condition(pod, "Ready").get("status") == "True" for pod in pods)

    # -- how ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop watching."""
        self.recorder.stop()
        self.reader.close()

    @staticmethod
    def _path(kind: str, namespace: str | None) -> str:
        group, plural = (GROUP, KINDS[kind]) if kind in KINDS else ("/api/v1", CORE[kind])
        return f"{group}/namespaces/{namespace}/{plural}" if namespace else f"{group}/{plural}"


@dataclass(frozen=True)
class Namespace:
    """One test's namespace: resources by kind and name."""

    world: World
    name: str

    def apply(self, *written: Object) -> None:
        """Apply manifests here."""
        self.world.apply(*written, namespace=self.name)

    def get(self, kind: str, name: str) -> Object:
        """The resource as it is, or an empty one when there is none."""
        return self.world.get(kind, self.name, name) or {}

    def status(self, kind: str, name: str) -> Object:
        """Its status."""
        found: Object = self.get(kind, name).get("status", {})
        return found

    def with_storage(self) -> Path:
        """Make claim 'storage' with the tiny model on it; returns its directory on this machine."""
        directory = self.world.stage.directory / "storage" / self.name
        put_tiny_model(self.world.tiny_model, directory)
        self.apply(*manifests.storage(self.name, str(directory)))
        return directory

    def with_rows(self, count: int = 16) -> None:
        """Make ConfigMap 'rows' with so many conversations."""
        rows = "".join(json.dumps(row) + "\n" for row in conversations(count))
        self.apply(manifests.config_map("rows", training_jsonl=rows))

    def condition(self, kind: str, name: str, about: str) -> Object:
        """One condition of a resource; empty when it is not set."""
        return condition(self.get(kind, name), about)

    def until(
        self, kind: str, name: str, reached: Callable[[Object], Any], what: str, seconds: float = PATIENCE_SECONDS
    ) -> Object:
        """The resource as soon as `reached` is true of it. An error tells all there is to know of it."""

        def look() -> Object | None:
            found = self.get(kind, name)
            return found if found and reached(found) else None

        answer: Object = self.world.until(look, lambda: f"{kind} '{name}': {what}\n{self.told(kind, name)}", seconds)
        return answer

    def until_condition(
        self,
        kind: str,
        name: str,
        about: str,
        status: str = "True",
        *,
        reason: str | None = None,
        seconds: float = PATIENCE_SECONDS,
    ) -> Object:
        """The condition as soon as it has this status, and this reason when one is given."""

        def holds(found: Object) -> bool:
            seen = condition(found, about)
            return seen.get("status") == status and reason in {None, seen.get("reason")}

        what = f"condition {about} should become {status} {reason or ''}"
        return condition(self.until(kind, name, holds, what, seconds), about)

    def until_gone(self, kind: str, name: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the API server has it no more."""
        self.world.until(
            lambda: not self.get(kind, name), lambda: f"{kind} '{name}' should go\n{self.told(kind, name)}", seconds
        )

    def until_succeeded(self, name: str, seconds: float = PATIENCE_SECONDS) -> Object:
        """The job's status once it has succeeded; an error at once when it failed."""

        def ended(found: Object) -> bool:
            return any(condition(found, about).get("status") == "True" for about in ("Succeeded", "Failed"))

        found = self.until("FineTuneJob", name, ended, "the job should end", seconds)
        assert condition(found, "Succeeded").get("status") == "True", self.told("FineTuneJob", name)
        status: Object = found["status"]
        return status

    def delete(self, kind: str, name: str) -> None:
        """Ask for its deletion, and wait until it is gone."""
        self.world.stage.kubectl("delete", kind, name, "--namespace", self.name, "--wait=false", "--ignore-not-found")
        self.until_gone(kind, name)

    def events(self, name: str | None = None) -> list[str]:
        """Reasons and messages of the Events about a resource, oldest first."""
        return [
            f"{each['reason']}: {each.get('message') or each.get('note', '')}"
            for each in self.world.items("Event", self.name)
            if name in {None, each["involvedObject"]["name"]}
        ]

    def times_told(self, reason: str, name: str) -> int:
        """How many Events about a resource have this reason."""
        return sum(event.partition(":")[0] == reason for event in self.events(name))

    def told(self, kind: str, name: str) -> str:
        """Everything that a person would look at: status, Events, pods."""
        found = self.get(kind, name)
        pods = [f"{pod['metadata']['name']}: {pod['status']}" for pod in self.world.items("Pod", self.name)]
        shown = json.dumps({"metadata": _shown(found), "status": found.get("status")}, indent=1)
        return "\n".join([shown, "Events:", *self.events(name), "Pods:", *(pod[:800] for pod in pods)])


def put_tiny_model(source: Path, storage: Path) -> None:
    """Put the tiny model's weights on a storage, as any model from a hub would lie there."""
    target = storage / manifests.TINY_MODEL
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())


def _shown(found: Object) -> Object:
    return {key: value for key, value in found.get("metadata", {}).items() if key != "managedFields"}
