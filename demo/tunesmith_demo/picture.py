"""One look at everything the live view shows, gathered from the API servers and the provider into plain facts."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from tunesmith_demo.reader import Object, Reader, condition

GROUP = "/apis/tunesmith.dev/v1alpha1"


@dataclass(frozen=True)
class PodLine:
    """One pod of the bought cluster, as the view shows it."""

    name: str
    node: str
    phase: str


@dataclass(frozen=True)
class Progress:
    """How far a job is: steps, loss, speed. Zero or None where the job has not said."""

    step: int = 0
    total: int = 0
    loss: str | None = None
    tokens_per_second: str | None = None
    eta_seconds: int | None = None


@dataclass(frozen=True)
class Picture:
    """What is true right now, as far as it could be read."""

    cluster_state: str = "-"
    cluster_reason: str = "-"
    cluster_message: str = ""
    nodes: str = "-"
    volume_state: str = "-"
    job_state: str = "-"
    job_message: str = ""
    progress: Progress = Progress()
    pods: tuple[PodLine, ...] = ()
    events: tuple[str, ...] = ()
    dollars: str = "0.00"
    dollars_per_hour: str = "0.00"


@dataclass
class Lens:
    """Where to look. `bought` is opened as soon as the operator has written the cluster's kubeconfig Secret."""

    local: Reader
    namespace: str
    cluster: str
    volume: str
    job: str
    bought: Reader | None = None

    def look(self) -> Picture:
        """Read everything once."""
        cluster = self.local.get(self.path("gpuclusters", self.cluster))
        volume = self.local.get(self.path("sharedvolumes", self.volume))
        job = self.local.get(self.path("finetunejobs", self.job))
        if self.bought is None and cluster:
            self.bought = self._open_bought(cluster)
        spent, rate = dollars((cluster, volume), datetime.now(UTC))
        ready, nodes = condition(cluster, "Ready"), (cluster or {}).get("status", {}).get("nodes", {})
        return Picture(
            cluster_state=(cluster or {}).get("status", {}).get("providerStatus") or "-",
            cluster_reason=str(ready.get("reason", "-")),
            cluster_message=str(ready.get("message", "")),
            nodes=f"{nodes.get('ready', 0)}/{nodes.get('desired', 0)}" if nodes else "-",
            volume_state=str(condition(volume, "Ready").get("reason", "-")),
            job_state=(job or {}).get("status", {}).get("state", "-"),
            job_message=str(condition(job, "Ready").get("message", "")),
            progress=progress_of(job),
            pods=self._pods(),
            events=self._events(),
            dollars=spent,
            dollars_per_hour=rate,
        )

    def path(self, plural: str, name: str) -> str:
        """API path of one resource of ours in the demo's namespace."""
        return f"{GROUP}/namespaces/{self.namespace}/{plural}/{name}"

    def close(self) -> None:
        """End all connections."""
        self.local.close()
        if self.bought:
            self.bought.close()

    def _open_bought(self, cluster: Object) -> Reader | None:
        name = cluster.get("status", {}).get("kubeconfigSecretName")
        secret = self.local.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}") if name else None
        return Reader(base64.b64decode(secret["data"]["value"]).decode()) if secret else None

    def _pods(self) -> tuple[PodLine, ...]:
        found = self.bought.items("/api/v1/namespaces/tunesmith-jobs/pods") if self.bought else []
        return tuple(
            PodLine(pod["metadata"]["name"], pod["spec"].get("nodeName", "-"), phase_of(pod))
            for pod in sorted(found, key=lambda each: str(each["metadata"]["name"]))
        )

    def _events(self, newest: int = 6) -> tuple[str, ...]:
        found = self.local.items(f"/api/v1/namespaces/{self.namespace}/events")
        ours = [each for each in found if each["involvedObject"].get("apiVersion", "").startswith("tunesmith.dev/")]
        ours.sort(key=lambda each: str(each.get("lastTimestamp") or each["metadata"]["creationTimestamp"]))
        return tuple(
            f"{each['involvedObject']['kind']}: {each['reason']}: {each['message']}" for each in ours[-newest:]
        )


def dollars(resources: Iterable[Object | None], now: datetime) -> tuple[str, str]:
    """What the resources have cost so far and cost per hour, from their own statuses carried on to now."""
    total, rate = Decimal(0), Decimal(0)
    for found in resources:
        cost = (found or {}).get("status", {}).get("cost", {})
        hourly = Decimal(cost.get("hourlyUSD") or 0)
        rate += hourly
        total += sum((Decimal(cost.get(part) or 0) for part in ("computeUSD", "storageUSD")), Decimal(0))
        if cost.get("asOfTime"):
            since = now - datetime.fromisoformat(cost["asOfTime"])
            total += hourly * Decimal(since.total_seconds()) / 3600
    return f"{total:.2f}", f"{rate:.2f}"


def progress_of(job: Object | None) -> Progress:
    """The job's own words about its progress."""
    said = (job or {}).get("status", {}).get("progress", {})
    return Progress(
        step=said.get("step", 0),
        total=said.get("totalSteps", 0),
        loss=said.get("loss"),
        tokens_per_second=said.get("tokensPerSecond"),
        eta_seconds=said.get("etaSeconds"),
    )


def phase_of(pod: Object) -> str:
    """What `kubectl get pods` would say of the pod, in short."""
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if pod["spec"].get("schedulingGates"):
        return "SchedulingGated"
    for container in pod.get("status", {}).get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            return str(waiting.get("reason", "Waiting"))
    return str(pod.get("status", {}).get("phase", "-"))
