"""An errand in its course: made once, let go when all that it reads is beside it, followed, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tunesmith.planning.actions import ApplyObject, ReleasePod
from tunesmith.planning.admission import tolerations_of
from tunesmith.planning.attempt_end import Broke, Succeeded, Workload, end_of
from tunesmith.planning.cannot_start import IMAGE_PULL_FAILED, CannotStart, cannot_start, trouble_of
from tunesmith.planning.configuration import travelling_files
from tunesmith.planning.contract import Retry, TerminationMessage
from tunesmith.planning.decision import Action
from tunesmith.planning.errand import GRACE_SECONDS, Errand
from tunesmith.planning.errand_manifests import errand_job
from tunesmith.planning.job_end import leftovers, live_pods
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.kube_facts import JobFact, PodFact
from tunesmith.planning.manifests import configuration_map
from tunesmith.planning.progress import stalled
from tunesmith.planning.secret_copies import copies_beside, missing_copy
from tunesmith.planning.sources import SecretUse

OOM_KILLED_HELP = "The administrator can raise `trainer.preparation.memory` of the installation."


@dataclass(frozen=True)
class Step:
    """What to do for an errand now, and what is said of it. `let_go`: its pod may begin; `runs`: it has begun.

    `cannot_start`: it will not begin before somebody mends something.
    """

    message: str
    actions: tuple[Action, ...] = ()
    runs: bool = False
    let_go: bool = False
    reason: str | None = None
    cannot_start: CannotStart | None = None


def an_errand(
    seen: JobObservation,
    purpose: str,
    number: int,
    configuration: Mapping[str, Any],
    secrets: tuple[SecretUse, ...] = (),
) -> Errand:
    """The errand with this configuration, where the job's attempts run as well: there its storage is."""
    local = seen.spec.placement.local
    return Errand(
        job=seen.identity,
        purpose=purpose,
        number=number,
        where=seen.where,
        namespace=seen.namespace,
        image=seen.image,
        claim=seen.claim,
        grace_seconds=GRACE_SECONDS,
        needs=seen.around.installation.preparation,
        configuration=configuration,
        datasets=travelling_files(seen),
        secrets={use.variable: use.source for use in secrets},
        image_secrets=tuple(reference.name for reference in seen.spec.image_pull_secret_refs),
        tolerations=tolerations_of(seen.job),
        node_selector=(local.node_selector or {}) if local is not None else {},
        pod_labels=(local.pod_labels or {}) if local is not None else {},
        pod_annotations=(local.pod_annotations or {}) if local is not None else {},
        outbound=seen.around.installation.outbound if "fetch" in configuration else None,
    )


def next_step(seen: JobObservation, workload: Workload, errand: Errand) -> Step:
    """One errand at a time: what an earlier one still does is waited for, because two would share the storage."""
    tidy = leftovers(seen)
    if any(pod.errand != errand.part for pod in live_pods(seen) if not pod.gated):
        return Step("Pods of this job from before still end.", tidy)
    job, pods = workload.job_of(errand.part), workload.pods_of(errand.part)
    if job is None:
        return Step("A pod without GPUs is being made.", (*tidy, ApplyObject(errand.where, errand_job(errand))))
    waiting = [pod for pod in pods if pod.gated and not pod.deleting]
    if waiting:
        return _let_go(seen, errand, job, waiting)
    stuck = cannot_start(seen, pods)
    if stuck is not None:
        # The copies once more: the Secret that the image is pulled with may have been corrected meanwhile.
        actions = (*tidy, *copies_beside(errand, job, seen.around))
        return Step(stuck.message, actions, let_go=True, reason=stuck.reason, cannot_start=stuck)
    return _seen_running(errand, pods, tidy)


def ended(
    seen: JobObservation,
    workload: Workload,
    part: str,
    started: datetime | None,
    succeeded: Callable[[TerminationMessage], bool],
) -> Succeeded | Broke | None:
    """How it ended, by its own word, its pod, or its silence; None while it goes on."""
    end = end_of(workload, part, succeeded)
    if end is None and started is not None and workload.job_of(part) is None:
        return Broke("JobDeleted", Retry.INFRASTRUCTURE, "Its Job was deleted by somebody else.")
    if end is None:
        end = _image_was_corrected(seen, workload, part)
    if end is None and seen.report is not None and seen.report.errand == part:
        silence = stalled(seen.report, seen.spec.recovery.stall_timeout_seconds, seen.around.monotonic)
        return None if silence is None else Broke("Stall", Retry.INFRASTRUCTURE, silence)
    return end


def _image_was_corrected(seen: JobObservation, workload: Workload, part: str) -> Broke | None:
    """The installation names another image by now than the one that could not be pulled."""
    pods = workload.pods_of(part)
    other = next((pod for pod in pods if trouble_of(pod) == IMAGE_PULL_FAILED and pod.image != seen.image), None)
    if other is None:
        return None
    message = f"Image '{other.image}' could not be pulled; the image is '{seen.image}' by now."
    return Broke(IMAGE_PULL_FAILED, Retry.UNCOUNTED, message)


def _let_go(seen: JobObservation, errand: Errand, job: JobFact, waiting: list[PodFact]) -> Step:
    copies = copies_beside(errand, job, seen.around)
    released = tuple(ReleasePod(errand.where, pod.namespace, pod.name, None) for pod in waiting)
    actions = (ApplyObject(errand.where, configuration_map(errand, job.uid)), *copies, *released)
    missing = missing_copy(errand, copies, seen.around)
    if missing is not None:
        return Step(f"The pod waits: {missing.message}", actions, reason=missing.reason)
    return Step("The pod is let go.", actions, let_go=True)


def _seen_running(errand: Errand, pods: tuple[PodFact, ...], tidy: tuple[Action, ...]) -> Step:
    pod = next(iter(pods), None)
    if pod is None:
        return Step("Its pod is being made.", tidy)
    if pod.started:
        return Step(f"Pod {pod.name} runs without GPUs.", tidy, runs=True, let_go=True)
    if pod.node is None:
        needs = f"{errand.needs.cpu} CPU and {errand.needs.memory} of memory free, and the job's storage"
        why = f" The scheduler says: {pod.unschedulable.rstrip('.')}." if pod.unschedulable else ""
        return Step(f"Pod {pod.name} waits for a node with {needs}.{why}"[:1000], tidy, let_go=True)
    why = ": ".join(filter(None, (pod.waiting_reason, pod.waiting_message.rstrip("."))))
    message = f"Pod {pod.name} starts on node {pod.node}.{f' {why}.' if why else ''}"[:1000]
    return Step(message, tidy, let_go=True, reason=trouble_of(pod))
