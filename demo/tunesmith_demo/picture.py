"""One look at everything the live view shows, gathered from the API servers and the provider into plain facts."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from tunesmith_demo.reader import Object, Reader, condition, is_true

GROUP = "/apis/tunesmith.dev/v1alpha1"


@dataclass(frozen=True)
class ResourceLine:
    """One resource of ours: `state` is one word, "-" while it is not there; `count` says how many of what are ready."""

    kind: str
    state: str = "-"
    count: str = ""
    message: str = ""


@dataclass(frozen=True)
class EventLine:
    """One Event about a resource of ours."""

    kind: str
    reason: str
    message: str
    warns: bool = False


@dataclass(frozen=True)
class PodLine:
    """One pod of the bought cluster, as the view shows it."""

    name: str
    node: str
    phase: str


@dataclass(frozen=True)
class NodeLine:
    """One GPU node of the bought cluster: `state` is one word, `note` what is done about it."""

    name: str
    state: str
    note: str = ""


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

    resources: tuple[ResourceLine, ...] = ()
    progress: Progress = Progress()
    nodes: tuple[NodeLine, ...] = ()
    pods: tuple[PodLine, ...] = ()
    events: tuple[EventLine, ...] = ()
    dollars: str = "0.00"
    dollars_per_hour: str = "0.00"


@dataclass
class Lens:
    """Where to look: at a cluster, and at a volume and a job where there are any.

    `bought` is opened as soon as the operator has written the cluster's kubeconfig Secret, and again for the next
    cluster that is bought for the same resource. `with_nodes` shows its nodes too.
    """

    local: Reader
    namespace: str
    cluster: str
    volume: str | None = None
    job: str | None = None
    with_nodes: bool = False
    bought: Reader | None = None
    _bought_id: str | None = None

    def look(self) -> Picture:
        """Read everything once."""
        cluster = self.local.get(self.path("gpuclusters", self.cluster))
        volume = self.local.get(self.path("sharedvolumes", self.volume)) if self.volume else None
        job = self.local.get(self.path("finetunejobs", self.job)) if self.job else None
        self._follow_bought(cluster)
        spent, rate = dollars((cluster, volume), datetime.now(UTC))
        lines = [cluster_line(cluster)]
        lines += [volume_line(volume)] if self.volume else []
        lines += [job_line(job)] if self.job else []
        return Picture(
            resources=tuple(lines),
            progress=progress_of(job),
            nodes=self._nodes(cluster),
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

    def _follow_bought(self, cluster: Object | None) -> None:
        status = (cluster or {}).get("status", {})
        if self.bought is not None and status.get("clusterID") != self._bought_id:
            self.bought.close()
            self.bought = None
        if self.bought is None and status.get("clusterID"):
            self.bought = self._open_bought(status)
            self._bought_id = status["clusterID"]

    def _open_bought(self, status: Object) -> Reader | None:
        name = status.get("kubeconfigSecretName")
        secret = self.local.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}") if name else None
        return Reader(base64.b64decode(secret["data"]["value"]).decode()) if secret else None

    def _nodes(self, cluster: Object | None) -> tuple[NodeLine, ...]:
        found = self.bought.items("/api/v1/nodes") if self.bought and self.with_nodes else []
        leaving = {each["name"]: each for each in (cluster or {}).get("status", {}).get("leavingNodes", [])}
        return tuple(node_line(node, leaving.get(node["metadata"]["name"])) for node in found)

    def _pods(self) -> tuple[PodLine, ...]:
        found = self.bought.items("/api/v1/namespaces/tunesmith-jobs/pods") if self.bought else []
        return tuple(
            PodLine(pod["metadata"]["name"], pod["spec"].get("nodeName", "-"), phase_of(pod))
            for pod in sorted(found, key=lambda each: str(each["metadata"]["name"]))
        )

    def _events(self, newest: int = 12) -> tuple[EventLine, ...]:
        found = self.local.items(f"/api/v1/namespaces/{self.namespace}/events")
        ours = [each for each in found if each["involvedObject"].get("apiVersion", "").startswith("tunesmith.dev/")]
        ours.sort(key=lambda each: str(each.get("lastTimestamp") or each["metadata"]["creationTimestamp"]))
        return tuple(
            EventLine(each["involvedObject"]["kind"], each["reason"], each["message"], each.get("type") == "Warning")
            for each in ours[-newest:]
        )


def cluster_line(cluster: Object | None) -> ResourceLine:
    """The cluster: the provider's word for its state until it is Ready, and ours from then on."""
    status, ready = (cluster or {}).get("status", {}), condition(cluster, "Ready")
    nodes = status.get("nodes", {})
    return ResourceLine(
        "GPUCluster",
        "Ready" if ready.get("status") == "True" else str(status.get("providerStatus") or ready.get("reason") or "-"),
        f"{nodes.get('ready', 0)}/{nodes['desired']} nodes" if nodes.get("desired") else "",
        str(ready.get("message", "")),
    )


def node_line(node: Object, leaving: Object | None) -> NodeLine:
    """A node: whether it is whole and may be used, and what the operator is about to do with it."""
    gpus = node["status"].get("allocatable", {}).get("nvidia.com/gpu", "0")
    notes = [f"{gpus} GPUs"]
    if node["spec"].get("unschedulable"):
        notes.append("cordoned")
    if leaving:
        notes.append(" ".join(filter(None, (leaving.get("reason"), leaving.get("repairMode")))))
    state = "Ready" if is_true(node, "Ready") else "NotReady"
    return NodeLine(str(node["metadata"]["name"]), state, ", ".join(notes))


def volume_line(volume: Object | None) -> ResourceLine:
    """The volume: whether a cluster has it."""
    ready, in_use = condition(volume, "Ready"), condition(volume, "InUse")
    used = in_use.get("status") == "True"
    size = (volume or {}).get("status", {}).get("sizeTiB")
    return ResourceLine(
        "SharedVolume",
        "InUse" if used else str(ready.get("reason", "-")),
        f"{size} TiB" if size else "",
        str((in_use if used else ready).get("message", "")),
    )


def job_line(job: Object | None) -> ResourceLine:
    """The job: its state in one word."""
    status = (job or {}).get("status", {})
    gpus = (job or {}).get("spec", {}).get("resources", {}).get("gpus")
    return ResourceLine(
        "FineTuneJob",
        str(status.get("state") or "-"),
        f"{gpus} GPUs" if gpus else "",
        str(condition(job, "Ready").get("message", "")),
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
