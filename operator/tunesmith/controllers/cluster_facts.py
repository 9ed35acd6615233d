"""What is known of the cluster where pods run, here or bought, as planning's facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tunesmith.controllers.ports import Ports
from tunesmith.kube.remote import NOT_ASKED
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.attempt_end import Workload
from tunesmith.planning.circumstances import Known, NotYet, Unknown
from tunesmith.planning.job_cluster import can_be_asked
from tunesmith.planning.kube_facts import JobFact, NodeFact, PodFact, job_fact, node_fact, pod_fact
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.parsing import parse

Raw = Mapping[str, Any]
Fact = TypeVar("Fact")
Listed = Known[tuple[Raw, ...]] | Unknown


@dataclass(frozen=True)
class ClusterFacts:
    """All nodes, all pods that use GPUs or are ours, and all Jobs of ours."""

    nodes: tuple[NodeFact, ...]
    pods: tuple[PodFact, ...]
    jobs: tuple[JobFact, ...]

    def workload_of(self, uid: str) -> Workload:
        """What belongs to the resource with this uid, and all nodes."""
        mine = tuple(pod for pod in self.pods if pod.owner_uid == uid)
        return Workload(tuple(job for job in self.jobs if job.owner_uid == uid), mine, self.nodes)


def cluster_facts(ports: Ports, where: RemoteCluster | None) -> Known[ClusterFacts] | Unknown:
    """The facts, Unknown while any of the lists was not read whole or nobody answers."""
    listed = _local(ports) if where is None else _remote(ports, where)
    if isinstance(listed, Unknown):
        return listed
    nodes, pods, jobs = listed
    for one in (nodes, pods, jobs):
        if isinstance(one, Unknown):
            return one
    assert isinstance(nodes, Known)
    return Known(ClusterFacts(_facts(nodes, node_fact), _facts(pods, pod_fact), _facts(jobs, job_fact)), nodes.as_of)


def gpu_cluster(ports: Ports, where: RemoteCluster) -> GPUCluster | None:
    """The GPUCluster, if there is one that can be read."""
    raw = ports.cache.get("GPUCluster", where.namespace, where.name)
    if raw is None:
        return None
    parsed = parse(raw)
    return parsed if isinstance(parsed, GPUCluster) else None


def _local(ports: Ports) -> tuple[Listed, Listed, Listed]:
    now = ports.clock.monotonic()

    def listed(kind: str) -> Listed:
        if not ports.cache.synced(kind):
            return NotYet(f"the {kind}s of this cluster have not been listed yet")
        return Known(tuple(ports.cache.list(kind)), now)

    return listed("Node"), listed("Pod"), listed("Job")


def _remote(ports: Ports, where: RemoteCluster) -> tuple[Listed, Listed, Listed] | Unknown:
    """Only a cluster with a kubeconfig is asked: a view of one that is not there yet would try for ever."""
    cluster = gpu_cluster(ports, where)
    if cluster is None:
        return Unknown(f"there is no GPUCluster '{where.name}'")
    if not can_be_asked(cluster):
        return Unknown(f"GPUCluster '{where.name}' has no kubeconfig yet")
    view = ports.remotes.view(where)
    lists = (view.nodes, view.pods, view.jobs)
    answers = isinstance(view.reachable, Known) and view.reachable.value
    if view.reachable is NOT_ASKED or (answers and any(isinstance(one, Unknown) for one in lists)):
        return NotYet(f"GPUCluster '{where.name}' has not been looked into yet")
    return lists


def _facts(listed: Listed, read: Callable[[Raw], Fact]) -> tuple[Fact, ...]:
    raws: Iterable[Raw] = listed.value if isinstance(listed, Known) else ()
    return tuple(read(raw) for raw in raws)
