"""The phases that a cluster passes through, in the words of the API, and which may follow which. Pure.

The provider does not document their order; the order in which its SDK lists them is played here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ClusterPhase(StrEnum):
    """The phases that the API names, in its words. What is not on the plain way comes by a course or a happening."""

    QUEUED = "CLUSTER_PHASE_QUEUED"
    SCHEDULED = "CLUSTER_PHASE_SCHEDULED"
    WAITING_FOR_CONTROL_PLANE_NODES = "CLUSTER_PHASE_WAITING_FOR_CONTROL_PLANE_NODES"
    WAITING_FOR_DATA_PLANE_NODES = "CLUSTER_PHASE_WAITING_FOR_DATA_PLANE_NODES"
    WAITING_FOR_SUBNET = "CLUSTER_PHASE_WAITING_FOR_SUBNET"
    WAITING_FOR_SHARED_VOLUME = "CLUSTER_PHASE_WAITING_FOR_SHARED_VOLUME"
    WAITING_FOR_AUTO_SCALER = "CLUSTER_PHASE_WAITING_FOR_AUTO_SCALER"
    INSTALLING_DRIVERS = "CLUSTER_PHASE_INSTALLING_DRIVERS"
    RUNNING_ACCEPTANCE_TESTS = "CLUSTER_PHASE_RUNNING_ACCEPTANCE_TESTS"
    ACCEPTANCE_TESTS_FAILED = "CLUSTER_PHASE_ACCEPTANCE_TESTS_FAILED"
    RUNNING_NCCL_TESTS = "CLUSTER_PHASE_RUNNING_NCCL_TESTS"
    NCCL_TESTS_FAILED = "CLUSTER_PHASE_NCCL_TESTS_FAILED"
    READY = "CLUSTER_PHASE_READY"
    PAUSED = "CLUSTER_PHASE_PAUSED"
    ON_DEMAND_COMPUTE_PAUSED = "CLUSTER_PHASE_ON_DEMAND_COMPUTE_PAUSED"
    DEGRADED = "CLUSTER_PHASE_DEGRADED"
    DELETING = "CLUSTER_PHASE_DELETING"

    @property
    def short(self) -> str:
        """The phase without its prefix, as scenarios write it."""
        return self.value.removeprefix("CLUSTER_PHASE_")

    @property
    def status(self) -> str:
        """The word of the cluster's ``status`` field: the phase in camel case; one of its own where there is none."""
        borrowed = _STATUS_OF_PHASES_WITHOUT.get(self.short)
        return borrowed or "".join(word.capitalize() for word in self.short.split("_"))


_STATUS_OF_PHASES_WITHOUT = {
    # provider: these are phases only; which status goes with them is not documented
    "QUEUED": "Scheduled",
    "WAITING_FOR_AUTO_SCALER": "WaitingForDataPlaneNodes",
    "RUNNING_NCCL_TESTS": "RunningAcceptanceTests",
    "ACCEPTANCE_TESTS_FAILED": "RunningAcceptanceTests",
    "NCCL_TESTS_FAILED": "RunningAcceptanceTests",
}
TESTS_FAILED = frozenset({ClusterPhase.ACCEPTANCE_TESTS_FAILED, ClusterPhase.NCCL_TESTS_FAILED})
PAUSED = frozenset({ClusterPhase.PAUSED, ClusterPhase.ON_DEMAND_COMPUTE_PAUSED})
SETTLED = frozenset({ClusterPhase.READY, ClusterPhase.DEGRADED})
ALLOWED: Mapping[ClusterPhase, frozenset[ClusterPhase]] = {
    ClusterPhase.SCHEDULED: frozenset({ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES, ClusterPhase.DELETING}),
    ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES: frozenset(
        {ClusterPhase.WAITING_FOR_DATA_PLANE_NODES, ClusterPhase.DELETING}
    ),
    ClusterPhase.WAITING_FOR_DATA_PLANE_NODES: frozenset({ClusterPhase.WAITING_FOR_SUBNET, ClusterPhase.DELETING}),
    ClusterPhase.WAITING_FOR_SUBNET: frozenset(
        {ClusterPhase.WAITING_FOR_SHARED_VOLUME, ClusterPhase.INSTALLING_DRIVERS, ClusterPhase.DELETING}
    ),
    ClusterPhase.WAITING_FOR_SHARED_VOLUME: frozenset({ClusterPhase.INSTALLING_DRIVERS, ClusterPhase.DELETING}),
    ClusterPhase.INSTALLING_DRIVERS: frozenset(
        {ClusterPhase.RUNNING_ACCEPTANCE_TESTS, ClusterPhase.READY, ClusterPhase.DELETING}
    ),
    ClusterPhase.RUNNING_ACCEPTANCE_TESTS: frozenset(
        {
            ClusterPhase.READY,
            ClusterPhase.ACCEPTANCE_TESTS_FAILED,
            ClusterPhase.RUNNING_NCCL_TESTS,
            ClusterPhase.DELETING,
        }
    ),
    ClusterPhase.RUNNING_NCCL_TESTS: frozenset({ClusterPhase.NCCL_TESTS_FAILED, ClusterPhase.DELETING}),
    ClusterPhase.ACCEPTANCE_TESTS_FAILED: frozenset({ClusterPhase.DELETING}),
    ClusterPhase.NCCL_TESTS_FAILED: frozenset({ClusterPhase.DELETING}),
    ClusterPhase.READY: frozenset(
        {ClusterPhase.DEGRADED, ClusterPhase.ON_DEMAND_COMPUTE_PAUSED, ClusterPhase.DELETING}
    ),
    ClusterPhase.DEGRADED: frozenset(
        {ClusterPhase.READY, ClusterPhase.ON_DEMAND_COMPUTE_PAUSED, ClusterPhase.DELETING}
    ),
    ClusterPhase.ON_DEMAND_COMPUTE_PAUSED: frozenset(
        {ClusterPhase.READY, ClusterPhase.DEGRADED, ClusterPhase.DELETING}
    ),
    ClusterPhase.DELETING: frozenset(),
}
"""Where a cluster may go from each phase, unless its course or a happening sends it elsewhere."""


@dataclass(frozen=True, slots=True)
class ClusterTransition:
    """A cluster came into ``phase`` at ``time``."""

    phase: ClusterPhase
    time: datetime
