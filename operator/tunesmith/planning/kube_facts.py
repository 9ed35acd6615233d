"""Nodes, pods and Jobs as decisions see them: typed facts, and the pure translation from what Kubernetes stores.

The same facts serve the local cluster and every bought one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tunesmith.resources.timestamps import parse_time

GPU_RESOURCE = "nvidia.com/gpu"

OWNER_KIND_LABEL = "tunesmith.dev/owner-kind"
OWNER_NAMESPACE_LABEL = "tunesmith.dev/owner-namespace"
OWNER_NAME_LABEL = "tunesmith.dev/owner-name"
OWNER_UID_LABEL = "tunesmith.dev/owner-uid"
ATTEMPT_LABEL = "tunesmith.dev/attempt"
ERRAND_LABEL = "tunesmith.dev/errand"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "tunesmith"
CORDONED_FOR_ANNOTATION = "tunesmith.dev/cordoned-for"
COMPLETION_INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
# kubernetes: reasons of a waiting container that concern its image.
IMAGE_TROUBLE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


@dataclass(frozen=True)
class Taint:
    """A taint of a node. `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class NodeFact:
    """One node. `gpus` is what it can allocate to pods now, not what it was bought with.

    `ready_changed` is when it became Ready or ceased to be, by its own condition. `cordoned_for` is why we cordoned it.
    `alarms` are the types of its conditions other than Ready that are True.
    """

    name: str
    ready: bool = True
    cordoned: bool = False
    gpus: int = 0
    uid: str = ""
    ready_changed: datetime | None = None
    cordoned_for: str = ""
    alarms: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True)
class Termination:
    """How a container ended. `message` is the termination message, possibly cut, possibly the tail of the log."""

    exit_code: int
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class PodFact:
    """One pod: where it is, what it holds, how it ended. `unschedulable`: why it has no node, as the scheduler says.

    `on_node_since` is when its node took it up, before any image is pulled; `image` is that of its first container.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str | None = None
    phase: str = "Pending"
    ready: bool = False
    started: bool = False
    deleting: bool = False
    gated: bool = False
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    index: int | None = None
    termination: Termination | None = None
    reason: str = ""
    disruption: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    unschedulable: str = ""
    image: str = ""
    on_node_since: datetime | None = None

    @property
    def finished(self) -> bool:
        """It has ended and holds no GPU any more."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def owner_uid(self) -> str | None:
        """The uid of the resource of ours it belongs to."""
        return self.labels.get(OWNER_UID_LABEL)

    @property
    def attempt(self) -> int | None:
        """The attempt it belongs to."""
        return _number(self.labels.get(ATTEMPT_LABEL))

    @property
    def errand(self) -> str | None:
        """The errand without GPUs that it runs, if it is of one."""
        return self.labels.get(ERRAND_LABEL)


@dataclass(frozen=True)
class JobFact:
    """One batch/v1 Job of an attempt, or of an errand."""

    namespace: str
    name: str
    uid: str
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False
    complete: bool = False
    failure_message: str = ""

    @property
    def owner_uid(self) -> str | None:
        """The uid of the resource of ours it belongs to."""
        return self.labels.get(OWNER_UID_LABEL)

    @property
    def attempt(self) -> int | None:
        """The attempt it is."""
        return _number(self.labels.get(ATTEMPT_LABEL))

    @property
    def errand(self) -> str | None:
        """The errand without GPUs that it is, if it is one."""
        return self.labels.get(ERRAND_LABEL)


def node_fact(raw: Mapping[str, Any]) -> NodeFact:
    """A core/v1 Node as stored."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return NodeFact(
        name=raw["metadata"]["name"],
        ready=_condition(status, "Ready").get("status") == "True",
        cordoned=bool(spec.get("unschedulable")),
        gpus=_number((status.get("allocatable") or {}).get(GPU_RESOURCE)) or 0,
        uid=raw["metadata"].get("uid", ""),
        ready_changed=_time(_condition(status, "Ready").get("lastTransitionTime")),
        cordoned_for=(raw["metadata"].get("annotations") or {}).get(CORDONED_FOR_ANNOTATION, ""),
        alarms=frozenset(
            one.get("type", "")
            for one in status.get("conditions") or ()
            if one.get("status") == "True" and one.get("type") != "Ready"
        ),
        labels=raw["metadata"].get("labels") or {},
        taints=tuple(
            Taint(taint["key"], taint.get("value", ""), taint["effect"]) for taint in spec.get("taints") or ()
        ),
    )


def pod_fact(raw: Mapping[str, Any]) -> PodFact:
    """A core/v1 Pod as stored. Pods of ours have one container; of others only node and GPUs matter."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    containers: list[Mapping[str, Any]] = list(status.get("containerStatuses") or ())
    state: Mapping[str, Any] = containers[0].get("state") or {} if containers else {}
    waiting = state.get("waiting") or {}
    return PodFact(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta.get("uid", ""),
        node=spec.get("nodeName"),
        phase=status.get("phase", "Pending"),
        ready=_condition(status, "Ready").get("status") == "True",
        started=bool(state.get("running") or state.get("terminated")),
        deleting="deletionTimestamp" in meta,
        gated=bool(spec.get("schedulingGates")),
        gpus=gpus_of(spec),
        labels=meta.get("labels") or {},
        index=_number((meta.get("annotations") or {}).get(COMPLETION_INDEX_ANNOTATION)),
        termination=_termination(state.get("terminated")),
        reason=status.get("reason", ""),
        disruption=_disruption(status),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        unschedulable=_unschedulable(status),
        image=next((each.get("image", "") for each in spec.get("containers") or ()), ""),
        on_node_since=_time(status.get("startTime")),
    )


def job_fact(raw: Mapping[str, Any]) -> JobFact:
    """A batch/v1 Job as stored."""
    meta, status = raw["metadata"], raw.get("status") or {}
    failed = _condition(status, "Failed")
    return JobFact(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta.get("uid", ""),
        deleting="deletionTimestamp" in meta,
        labels=meta.get("labels") or {},
        failed=failed.get("status") == "True",
        complete=_condition(status, "Complete").get("status") == "True",
        failure_message=failed.get("message", ""),
    )


def gpus_of(pod_spec: Mapping[str, Any]) -> int:
    """The GPUs a pod asks for: the larger of its containers' sum and of any init container (Kubernetes' own rule)."""
    running = sum(_gpus(container) for container in pod_spec.get("containers") or ())
    return max([running, *(_gpus(container) for container in pod_spec.get("initContainers") or ())])


def _gpus(container: Mapping[str, Any]) -> int:
    resources = container.get("resources") or {}
    wanted = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return _number(wanted.get(GPU_RESOURCE)) or 0


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), {})


def _disruption(status: Mapping[str, Any]) -> str:
    target = _condition(status, "DisruptionTarget")
    return str(target.get("reason", "")) if target.get("status") == "True" else ""


def _unschedulable(status: Mapping[str, Any]) -> str:
    scheduled = _condition(status, "PodScheduled")
    is_tried = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"  # not: gated
    return str(scheduled.get("message", "")) if is_tried else ""


def _termination(terminated: Mapping[str, Any] | None) -> Termination | None:
    if terminated is None:
        return None
    return Termination(
        exit_code=int(terminated.get("exitCode", -1)),
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
    )


def _time(text: object) -> datetime | None:
    return parse_time(text) if isinstance(text, str) else None


def _number(text: object) -> int | None:
    words = str(text)
    return int(words) if words.isdecimal() else None
