"""How long the provider takes for each thing, and how fast this run plays it."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0)]


class NodeDurations(BaseModel):
    """How long a node stays in each phase before it runs, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduling_seconds: Seconds = 10
    booting_seconds: Seconds = 90
    bootstrapping_seconds: Seconds = 60


class RemediationDurations(BaseModel):
    """How long a repair waits before its node is touched, in seconds; the node then takes its own time to come up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pending_seconds: Seconds = 15
    quarantining_seconds: Seconds = 60
    quarantined_seconds: Seconds = 10


class Durations(BaseModel):
    """How long each step takes, in seconds at speed 1. The provider publishes none: these are plausible, not measured.

    The control plane and the data plane take as long as their nodes do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    control_plane_node: NodeDurations = NodeDurations()
    gpu_node: NodeDurations = NodeDurations(scheduling_seconds=20, booting_seconds=180, bootstrapping_seconds=100)
    remediation: RemediationDurations = RemediationDurations()
    subnet_seconds: Seconds = 20
    shared_volume_seconds: Seconds = 30
    drivers_seconds: Seconds = 120
    acceptance_tests_seconds: Seconds = 240
    deleting_seconds: Seconds = 60
    node_leaving_seconds: Seconds = 45
    volume_scheduled_seconds: Seconds = 5
    volume_provisioning_seconds: Seconds = 40
    volume_deleting_seconds: Seconds = 20
    preemption_notice_seconds: Seconds = 300
    decommission_seconds: Seconds | None = None
    """How long a cluster that is paused for want of credit is kept; without end if not given."""


class Pace(BaseModel):
    """The durations and the speed that divides them.

    Only durations shrink: the times that the API tells stay those of the clock on the wall, so that a client's own
    clock agrees with them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    durations: Durations = Durations()
    speed: float = Field(default=1, gt=0)

    def after(self, start: datetime, seconds: float) -> datetime:
        """When something that takes ``seconds`` at speed 1 and begins at ``start`` is over."""
        return start + timedelta(seconds=seconds / self.speed)


def rescaled(due_at: datetime | None, now: datetime, factor: float) -> datetime | None:
    """A time to come, moved as if what is left of the wait took ``factor`` times as long."""
    if due_at is None or due_at <= now:
        return due_at
    return now + (due_at - now) * factor
