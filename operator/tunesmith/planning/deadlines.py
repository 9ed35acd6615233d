"""How long each stage between a purchase and a usable cluster may take, before waiting becomes a reason of its own.

Times are never counted from the start of this process: they come from the provider's own transitions or from a
condition's `lastTransitionTime`, so a restart of the operator starts no clock anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.provider import ProviderCluster


class Stage(StrEnum):
    """What is waited for. The values are the keys of the installation's setting."""

    QUEUED = "queued"
    CONTROL_PLANE = "controlPlane"
    DATA_PLANE_NODES = "dataPlaneNodes"
    SUBNET = "subnet"
    SHARED_VOLUME = "sharedVolume"
    AUTO_SCALER = "autoScaler"
    DRIVERS = "drivers"
    ACCEPTANCE_TESTS = "acceptanceTests"
    TEST_RESULTS = "testResults"
    OTHER = "other"  # a state of the provider that this version does not know
    KUBECONFIG = "kubeconfig"
    REACHABLE = "reachable"
    NODES = "nodes"
    SIZE = "size"
    GPUS = "gpus"


DEFAULT_SECONDS: Mapping[Stage, int] = {
    Stage.QUEUED: 3600,
    Stage.CONTROL_PLANE: 1800,
    Stage.DATA_PLANE_NODES: 3600,
    Stage.SUBNET: 900,
    Stage.SHARED_VOLUME: 1800,
    Stage.AUTO_SCALER: 1800,
    Stage.DRIVERS: 3600,
    Stage.ACCEPTANCE_TESTS: 14400,  # the longest diagnostic and burn-in take hours
    Stage.TEST_RESULTS: 900,
    Stage.OTHER: 3600,
    Stage.KUBECONFIG: 900,
    Stage.REACHABLE: 900,
    Stage.NODES: 1800,
    Stage.SIZE: 1800,
    Stage.GPUS: 1800,
}

STAGE_OF_STATUS: Mapping[str, Stage] = {
    "Queued": Stage.QUEUED,
    "Scheduled": Stage.QUEUED,
    "WaitingForControlPlaneNodes": Stage.CONTROL_PLANE,
    "WaitingForDataPlaneNodes": Stage.DATA_PLANE_NODES,
    "WaitingForSubnet": Stage.SUBNET,
    "WaitingForSharedVolume": Stage.SHARED_VOLUME,
    "WaitingForAutoScaler": Stage.AUTO_SCALER,
    "InstallingDrivers": Stage.DRIVERS,
    "RunningAcceptanceTests": Stage.ACCEPTANCE_TESTS,
    "RunningNCCLTests": Stage.ACCEPTANCE_TESTS,
    "RunningNcclTests": Stage.ACCEPTANCE_TESTS,
}


def stage_of(cluster: ProviderCluster) -> Stage:
    """What the provider is at. A word that we do not know is a stage of its own, with a deadline of its own."""
    return STAGE_OF_STATUS.get(cluster.status, Stage.OTHER)


def allowed_seconds(around: Circumstances, stage: Stage) -> int:
    """How long the installation allows for a stage."""
    return around.installation.phase_deadline_seconds.get(stage.value, DEFAULT_SECONDS[stage])


def seconds_left(around: Circumstances, stage: Stage, since: datetime | None) -> float:
    """Until the stage is overdue; zero or less: it is. `since` None: it begins now."""
    if since is None:
        return float(allowed_seconds(around, stage))
    return allowed_seconds(around, stage) - (around.now - since).total_seconds()


def latest(*times: datetime | None) -> datetime | None:
    """The newest of the times that are known."""
    known = [time for time in times if time is not None]
    return max(known, default=None)
