"""A pod whose container cannot be made, because of its image or its settings: what passes by itself, and what somebody
must mend. Long pulls are no trouble: Kubernetes names one only after a pull has failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.kube_facts import IMAGE_TROUBLE, PodFact
from tunesmith.resources.conditions import find_condition

IMAGE_PULL_FAILED = "ImagePullFailed"
CONTAINER_NOT_CONFIGURED = "ContainerNotConfigured"
CANNOT_START = frozenset({IMAGE_PULL_FAILED, CONTAINER_NOT_CONFIGURED})
PASSES_WITHIN = timedelta(minutes=10)  # a registry that is down for a moment, a Secret on its way
# kubernetes: reasons of a waiting container.
NEVER_BY_ITSELF = frozenset({"InvalidImageName"})
NOT_CONFIGURED = "CreateContainerConfigError"
WORDS = 600  # characters of Kubernetes' own


@dataclass(frozen=True)
class CannotStart:
    """Why a pod does not start before somebody mends something, and what that is."""

    reason: str
    message: str


def trouble_of(pod: PodFact) -> str | None:
    """The reason that a pod's wait for its container has, from its first moment."""
    if pod.waiting_reason in IMAGE_TROUBLE:
        return IMAGE_PULL_FAILED
    return CONTAINER_NOT_CONFIGURED if pod.waiting_reason == NOT_CONFIGURED else None


def cannot_start(seen: JobObservation, pods: Iterable[PodFact]) -> CannotStart | None:
    """The first of these pods that waited so long for its container that it needs somebody."""
    stuck = next((pod for pod in pods if not pod.deleting and _needs_somebody(seen, pod)), None)
    reason = trouble_of(stuck) if stuck is not None else None
    if stuck is None or reason is None:
        return None
    said = ": ".join(filter(None, (stuck.waiting_reason, stuck.waiting_message.rstrip("."))))[:WORDS]
    if reason == IMAGE_PULL_FAILED:
        return CannotStart(
            reason, f"Image '{stuck.image}' cannot be pulled on node {stuck.node}: {said}. {_way_out(seen)}"
        )
    mend = "Mend what it names; the job goes on by itself then."
    return CannotStart(reason, f"The container of pod {stuck.name} cannot be made on node {stuck.node}: {said}. {mend}")


def told_once(seen: JobObservation, found: CannotStart) -> tuple[EventNote, ...]:
    """A Warning when the job comes to stand still for this reason."""
    before = find_condition(seen.status.conditions, "Stalled")
    if before is not None and before.is_true and before.reason == found.reason:
        return ()
    return (EventNote(EventType.WARNING, found.reason, found.message),)


def _needs_somebody(seen: JobObservation, pod: PodFact) -> bool:
    if trouble_of(pod) is None:
        return False
    if pod.waiting_reason in NEVER_BY_ITSELF:
        return True
    return pod.on_node_since is not None and seen.around.now - pod.on_node_since >= PASSES_WITHIN


def _way_out(seen: JobObservation) -> str:
    """`spec.image` and `spec.imagePullSecretRefs` cannot be changed in a job."""
    if seen.spec.image is None:
        return (
            "Push it, or let the administrator correct `trainer.image` of the installation; the job goes on by itself "
            "then. If it needs a Secret, make another job that names one in `spec.imagePullSecretRefs`."
        )
    return (
        "Push it, or correct the Secrets of `spec.imagePullSecretRefs`; the job goes on by itself then. If the name is "
        "wrong or no Secret is named, delete this job and make another with the right `spec.image` and "
        "`spec.imagePullSecretRefs`."
    )
