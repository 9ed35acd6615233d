"""A blocking client of the admin API, for tests and demos. In a coroutine, call it by ``asyncio.to_thread``.

It needs no key. What goes wrong raises AdminError with the simulator's own words.
"""

import http.client
import json
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from tunesmith_simulator.admin_words import (
    Advance,
    CertificateOrder,
    ClockRate,
    ClockState,
    FaultState,
    FaultStates,
    HappeningOrder,
    HappeningStates,
    LedgerState,
    Touched,
)
from tunesmith_simulator.alerts import Signal
from tunesmith_simulator.faults import Effect, Fault
from tunesmith_simulator.happenings import AnyHappening
from tunesmith_simulator.remediations import RemediationMode
from tunesmith_simulator.repair_policy import RepairPolicy

TIMEOUT_SECONDS = 60.0
"""A month with many clusters is moved on in less."""

Words = TypeVar("Words", bound=BaseModel)


class AdminError(Exception):
    """The simulator did not do what it was asked."""


class AdminClient:
    """The admin API of the simulator at ``url`` (without ``/v1``)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port

    def state(self) -> dict[str, Any]:
        """All that was ever bought, with states, times and dollars per hour."""
        return self._ask("GET", "/admin/state")

    def requests(self) -> list[dict[str, Any]]:
        """Who asked what, and what was answered; oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", "/admin/requests")["requests"]
        return found

    def faults(self) -> FaultStates:
        """All armed faults."""
        return self._told(FaultStates, "GET", "/admin/faults")

    def arm(self, fault: Fault) -> FaultState:
        """Lay a fault in wait."""
        return self._told(FaultState, "POST", "/admin/faults", fault)

    def arm_next(self, route: str, effect: Effect, *, requests: int = 1) -> FaultState:
        """Let the next requests of a route meet this effect."""
        return self.arm(Fault(route=route, effect=effect, next_requests=requests))

    def clear_faults(self, number: int | None = None) -> FaultStates:
        """Take one fault away; or all, with whatever was laid into the world."""
        path = "/admin/faults" if number is None else f"/admin/faults/{number}"
        return self._told(FaultStates, "DELETE", path)

    def happen(self, happening: AnyHappening, *, in_seconds: float = 0) -> Touched:
        """Let something happen, now or at a time of the simulator's clock."""
        order = HappeningOrder(happening=happening, in_seconds=in_seconds)
        return self._told(Touched, "POST", "/admin/happenings", order)

    def happenings(self) -> HappeningStates:
        """What happened and what is planned."""
        return self._told(HappeningStates, "GET", "/admin/happenings")

    def clock(self) -> ClockState:
        """What time it is there."""
        return self._told(ClockState, "GET", "/admin/clock")

    def advance(self, seconds: float) -> ClockState:
        """Move the virtual clock on."""
        return self._told(ClockState, "POST", "/admin/clock/advance", Advance(seconds=seconds))

    def run_clock_at(self, rate: float) -> ClockState:
        """Let the virtual clock run: its seconds per second on the wall."""
        return self._told(ClockState, "POST", "/admin/clock/rate", ClockRate(rate=rate))

    def set_speed(self, speed: float) -> None:
        """Divide all durations by ``speed`` from now on."""
        self._ask("POST", "/admin/speed", {"speed": speed})

    def ledger(self) -> LedgerState:
        """What everything has cost until now."""
        return self._told(LedgerState, "GET", "/admin/ledger")

    def renew_certificate(self, cluster_id: str, *, valid_seconds: float) -> Touched:
        """Let a cluster tell a kubeconfig with a new client certificate that ends after so long, on the wall."""
        order = CertificateOrder(seconds=valid_seconds)
        return self._told(Touched, "POST", f"/admin/clusters/{cluster_id}/certificate", order)

    def tell_kubeconfig(self, cluster_id: str, kubeconfig: str) -> None:
        """Let a cluster tell this kubeconfig, whatever it is."""
        self._ask("POST", f"/admin/clusters/{cluster_id}/kubeconfig", {"kubeconfig": kubeconfig})

    def repairs(self) -> dict[str, Any]:
        """All ``remediations`` and ``alerts``, in the words of the API."""
        return self._ask("GET", "/admin/remediations")

    def fail_node(self, cluster_id: str, host_name: str, signal: Signal | None = None) -> None:
        """Break a running node; by default a GPU falls off its bus."""
        signal = signal or Signal()
        body = {"alert_name": signal.name.value, "xid_code": signal.xid_code, "mode": signal.mode}
        self._ask("POST", f"/admin/clusters/{cluster_id}/nodes/{host_name}/fail", body)

    def recover_node(self, cluster_id: str, host_name: str) -> None:
        """Let a broken node come back by itself, after a boot."""
        self._ask("POST", f"/admin/clusters/{cluster_id}/nodes/{host_name}/recover", {})

    def propose_remediation(self, cluster_id: str, host_name: str, mode: RemediationMode) -> None:
        """Let the provider propose a repair of a node."""
        path = f"/admin/clusters/{cluster_id}/nodes/{host_name}/propose-remediation"
        self._ask("POST", path, {"mode": mode.value})

    def fail_remediation(self, remediation_id: str, error_message: str) -> None:
        """Let a repair that is under way go wrong."""
        self._ask("POST", f"/admin/remediations/{remediation_id}/fail", {"error_message": error_message})

    def set_repair_policy(self, policy: RepairPolicy) -> None:
        """Let the provider propose repairs by itself, or not."""
        self._ask("POST", "/admin/repair-policy", policy.model_dump(mode="json"))

    def set_preemptible_stock(self, region: str, gpu_type: str, free_gpus: int) -> None:
        """So many GPUs can be had until somebody else needs them."""
        body = {"region": region, "gpu_type": gpu_type, "free_gpus": free_gpus}
        self._ask("POST", "/admin/preemptible-stock", body)

    def set_capacity_pool(self, pool_id: str, free_gpus: int) -> None:
        """So many GPUs of a pool are free."""
        self._ask("POST", f"/admin/capacity-pools/{pool_id}", {"free_gpus": free_gpus})

    def autoscale(self, cluster_id: str, num_gpus: int) -> None:
        """Let a cluster's autoscaler give it this size."""
        self._ask("POST", f"/admin/clusters/{cluster_id}/autoscale", {"num_gpus": num_gpus})

    def _told(self, kind: type[Words], method: str, path: str, words: BaseModel | None = None) -> Words:
        body = None if words is None else words.model_dump(mode="json")
        return kind.model_validate(self._ask(method, path, body))

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text, status = answer.read(), answer.status
        except OSError as error:
            raise AdminError(f"The simulator at {self._host}:{self._port} does not answer: {error}.") from error
        finally:
            connection.close()
        said: dict[str, Any] = json.loads(text)
        if status >= 300:
            raise AdminError(f"The simulator answered {status} to {method} {path}: {said.get('message', said)}")
        return said
