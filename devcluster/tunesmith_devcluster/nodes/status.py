"""A pod's status from what its containers do: phase, conditions and container statuses. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith_devcluster.nodes.api import Json

Role = Literal["init", "sidecar", "main"]


@dataclass(frozen=True)
class Waiting:
    """Not running yet, or between two runs."""

    reason: str
    message: str = ""

    def to_json(self) -> Json:
        """As ContainerStateWaiting."""
        return {"waiting": _without_empty({"reason": self.reason, "message": self.message})}


@dataclass(frozen=True)
class Running:
    """Running since a time (RFC 3339)."""

    started_at: str

    def to_json(self) -> Json:
        """As ContainerStateRunning."""
        return {"running": {"startedAt": self.started_at}}


@dataclass(frozen=True)
class Terminated:
    """A run that ended."""

    exit_code: int
    reason: str
    started_at: str
    finished_at: str
    message: str = ""
    signal: int = 0
    container_id: str = ""

    def to_json(self) -> Json:
        """As ContainerStateTerminated."""
        state: Json = {
            "exitCode": self.exit_code,
            "reason": self.reason,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "containerID": self.container_id,
        }
        return {"terminated": state | _without_empty({"message": self.message, "signal": self.signal})}


State = Waiting | Running | Terminated


@dataclass
class ContainerView:
    """What is known of one container; its runner keeps it up to date."""

    name: str
    image: str
    role: Role
    state: State = Waiting("PodInitializing")
    last: Terminated | None = None
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    def to_json(self) -> Json:
        """As ContainerStatus."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": f"process://{self.image}" if self.container_id else "",
            "containerID": self.container_id,
            "state": self.state.to_json(),
            "lastState": self.last.to_json() if self.last else {},
            "restartCount": self.restart_count,
            "ready": self.ready,
            "started": self.started,
        }

    @property
    def succeeded(self) -> bool:
        """Whether its last word was exit code 0."""
        return isinstance(self.state, Terminated) and self.state.exit_code == 0


@dataclass(frozen=True)
class Verdict:
    """Why a pod ended for good, when its containers alone do not say it."""

    phase: str
    reason: str
    message: str


@dataclass(frozen=True)
class PodFacts:
    """All that a status is made of, beside the status that the API server had before."""

    containers: Sequence[ContainerView]
    start_time: str
    now: str
    pod_ip: str
    host_ip: str
    sandbox_ready: bool
    over: bool
    verdict: Verdict | None = None


def pod_status(facts: PodFacts, before: Json) -> Json:
    """The status to write: our fields, with other writers' conditions and unchanged transition times kept."""
    phase = _phase(facts)
    status: Json = {
        "phase": phase,
        "conditions": _conditions(facts, phase, before.get("conditions") or []),
        "startTime": before.get("startTime") or facts.start_time,
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "initContainerStatuses": [one.to_json() for one in facts.containers if one.role != "main"],
        "containerStatuses": [one.to_json() for one in facts.containers if one.role == "main"],
    }
    if facts.pod_ip:
        status |= {"podIP": facts.pod_ip, "podIPs": [{"ip": facts.pod_ip}]}
    if facts.verdict is not None:
        status |= {"reason": facts.verdict.reason, "message": facts.verdict.message}
    if not status["initContainerStatuses"]:
        del status["initContainerStatuses"]
    return status


def _phase(facts: PodFacts) -> str:
    if facts.verdict is not None:
        return facts.verdict.phase
    main = [one for one in facts.containers if one.role == "main"]
    if facts.over:
        ended_well = all(one.succeeded for one in main)
        return "Succeeded" if ended_well else "Failed"
    if not _initialized(facts) or any(one.state == Waiting("PodInitializing") for one in main):
        return "Pending"
    never_ran = any(isinstance(one.state, Waiting) and one.last is None for one in main)
    return "Pending" if never_ran else "Running"


def _initialized(facts: PodFacts) -> bool:
    for one in facts.containers:
        if one.role == "init" and not one.succeeded:
            return False
        if one.role == "sidecar" and not one.started and not facts.over:
            return False
    return True


def _conditions(facts: PodFacts, phase: str, before: list[Json]) -> list[Json]:
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
    unready = [one.name for one in facts.containers if one.role != "init" and not one.ready]
    containers_ready = not ended and not unready and bool(facts.containers)
    not_ready = _without_empty(
        {
            "reason": ended or "ContainersNotReady",
            "message": "" if ended else f"containers with unready status: [{' '.join(unready)}]",
        }
    )
    initialized = _initialized(facts)
    found = {
        "PodReadyToStartContainers": (facts.sandbox_ready and not ended, {}),
        "Initialized": (initialized, {"reason": "PodCompleted"} if phase == "Succeeded" else {}),
        "ContainersReady": (containers_ready, {} if containers_ready else not_ready),
        "Ready": (containers_ready, {} if containers_ready else not_ready),
    }
    if not initialized:
        found["Initialized"] = (False, {"reason": "ContainersNotInitialized"})
    earlier = {one["type"]: one for one in before}
    mine = [_condition(kind, holds, why, earlier.get(kind), facts.now) for kind, (holds, why) in found.items()]
    return mine + [one for one in before if one["type"] not in found]


def _condition(kind: str, holds: bool, why: Json, earlier: Json | None, now: str) -> Json:
    word = "True" if holds else "False"
    since = earlier["lastTransitionTime"] if earlier and earlier.get("status") == word else now
    return {"type": kind, "status": word, "lastProbeTime": None, "lastTransitionTime": since, **why}


def _without_empty(values: Json) -> Json:
    return {key: value for key, value in values.items() if value}
