"""How an attempt ended: judged from its pods, their termination messages, exit codes and nodes; never from silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tunesmith.planning.contract import (
    SUCCESS,
    UNCLASSIFIED,
    Retry,
    TerminationMessage,
    ending_of,
    read_termination,
)
from tunesmith.planning.kube_facts import JobFact, NodeFact, PodFact, Termination

MESSAGE_CHARACTERS = 1000

# kubernetes: reasons of the DisruptionTarget condition that mean "another pod was more important", not "broken".
PREEMPTIONS = frozenset({"PreemptionByScheduler", "EvictionByEvictionAPI"})
END_MESSAGE_LOST = "EndMessageLost"

# What of a job runs: an attempt by its number, or an errand without GPUs by its label.
Part = int | str


@dataclass(frozen=True)
class Workload:
    """What one job has on its cluster, and that cluster's nodes."""

    jobs: tuple[JobFact, ...] = ()
    pods: tuple[PodFact, ...] = ()
    nodes: tuple[NodeFact, ...] = ()

    def job_of(self, part: Part) -> JobFact | None:
        """The batch Job of an attempt or errand."""
        return next((job for job in self.jobs if part in (job.attempt, job.errand)), None)

    def pods_of(self, part: Part) -> tuple[PodFact, ...]:
        """The pods of an attempt or errand, by completion index."""
        pods = (pod for pod in self.pods if part in (pod.attempt, pod.errand))
        return tuple(sorted(pods, key=lambda pod: (pod.index or 0, pod.name)))

    def sick_nodes(self) -> frozenset[str]:
        """Nodes that pods are bound to and that are gone or not ready."""
        ready = {node.name for node in self.nodes if node.ready}
        return frozenset(pod.node for pod in self.pods if pod.node is not None and pod.node not in ready)


@dataclass(frozen=True)
class Succeeded:
    """It did what it was for: of an attempt, the result is published and was read again by the trainer."""

    said: TerminationMessage


@dataclass(frozen=True)
class Broke:
    """The attempt is over without a result. `blamed` are nodes that the next attempt should avoid."""

    error_class: str
    retry: Retry
    message: str
    blamed: tuple[str, ...] = ()


def reached_the_end(said: TerminationMessage) -> bool:
    """Whether an attempt that ended with 0 says that it has succeeded."""
    return said.reached_the_end


def end_of(
    workload: Workload, part: Part, succeeded: Callable[[TerminationMessage], bool] = reached_the_end
) -> Succeeded | Broke | None:
    """How an attempt or errand ended; None while it goes on, or while a pod that may know better is still ending."""
    pods = workload.pods_of(part)
    for pod in pods:
        said = _said(pod)
        if _exited_well(pod) and said is not None and succeeded(said):
            return Succeeded(said)
    broken = [_broke(pod) for pod in pods if pod.phase == "Failed" or _exited_badly(pod)]
    final = next((one for one in broken if one.retry is Retry.NEVER), None)
    if final is not None:
        return final
    sick = _on_sick_nodes(workload, pods)
    if sick is not None:
        return sick
    if broken:
        return None if _some_may_know_better(pods) else min(broken, key=_weight)
    return _left_early(workload, part, pods)


def pod_that_tells(workload: Workload, part: Part) -> PodFact | None:
    """The failed pod whose log has the cause, as far as its end tells."""
    failed = [pod for pod in workload.pods_of(part) if _exited_badly(pod)]
    final = [pod for pod in failed if _broke(pod).retry is Retry.NEVER]
    return min(final or failed, key=lambda pod: _weight(_broke(pod)), default=None)


def _left_early(workload: Workload, part: Part, pods: tuple[PodFact, ...]) -> Broke | None:
    """Ends that no container tells of."""
    job = workload.job_of(part)
    taken = next((pod for pod in pods if pod.deleting and not pod.finished), None)
    if taken is not None and (job is None or not job.deleting):
        return _disrupted(taken)
    first = next((pod for pod in pods if pod.index == 0), None)
    if first is not None and _exited_well(first):
        return Broke(END_MESSAGE_LOST, Retry.INFRASTRUCTURE, "The trainer ended well, but its last message was lost.")
    if job is not None and job.failed:
        return Broke("PodsLost", Retry.INFRASTRUCTURE, job.failure_message or "The attempt's pods are gone.")
    return None


def _on_sick_nodes(workload: Workload, pods: Iterable[PodFact]) -> Broke | None:
    sick = workload.sick_nodes()
    blamed = tuple(sorted({pod.node for pod in pods if pod.node in sick and not _exited_well(pod) and pod.node}))
    if not blamed:
        return None
    return Broke(
        "NodeLost",
        Retry.INFRASTRUCTURE,
        f"Node {', '.join(blamed)} is gone or not ready while it runs a pod of this job.",
        blamed,
    )


def _disrupted(pod: PodFact) -> Broke:
    node = (pod.node,) if pod.node else ()
    if pod.disruption in PREEMPTIONS:
        message = f"Pod {pod.name} had to make room ({pod.disruption})."
        return Broke("Preempted", Retry.UNCOUNTED, message)
    why = pod.disruption or "it was deleted"
    return Broke("PodDeleted", Retry.INFRASTRUCTURE, f"Pod {pod.name} was taken away: {why}.", node)


def _broke(pod: PodFact) -> Broke:
    """What one failed pod says about the attempt."""
    node = (pod.node,) if pod.node else ()
    if pod.disruption:
        return _disrupted(pod)
    end = pod.termination
    if end is None:
        message = f"Node {pod.node} refused or evicted pod {pod.name}: {pod.reason or 'no reason given'}."
        return Broke("PodFailed", Retry.INFRASTRUCTURE, message, node)
    if end.reason == "OOMKilled":
        message = f"Pod {pod.name} was killed for using more memory than it may."
        return Broke("OutOfMemory", Retry.UNCLASSIFIED, message)
    ending = ending_of(end.exit_code)
    blamed = node if ending.error_class == "NoGPUs" else ()
    return Broke(ending.error_class, ending.retry, _words(pod, end), blamed)


def _words(pod: PodFact, end: Termination) -> str:
    """The trainer's own words; else the end of its log; else at least the exit code."""
    said = read_termination(end.message)
    text = said.message if said is not None else end.message.strip()[-MESSAGE_CHARACTERS:]
    return text[:MESSAGE_CHARACTERS] or f"Pod {pod.name} exited with code {end.exit_code} and said nothing."


def _some_may_know_better(pods: Iterable[PodFact]) -> bool:
    """A peer that fails with the cause may end a moment later; one that is being deleted was only told to stop."""
    return any(not pod.finished and not pod.deleting for pod in pods)


def _weight(broke: Broke) -> int:
    """The likelier cause first: what names a node or a class; then exits without class; then what peers only echo."""
    if broke.blamed:
        return 0
    order = ("Stall", "OutOfMemory", UNCLASSIFIED.error_class, "Infrastructure", "Preempted")
    return 1 + order.index(broke.error_class) if broke.error_class in order else 1


def _said(pod: PodFact) -> TerminationMessage | None:
    return read_termination(pod.termination.message) if pod.termination else None


def _exited_well(pod: PodFact) -> bool:
    return pod.termination is not None and pod.termination.exit_code == SUCCESS


def _exited_badly(pod: PodFact) -> bool:
    return pod.termination is not None and pod.termination.exit_code != SUCCESS
