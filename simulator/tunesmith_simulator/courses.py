"""How the way of a cluster or a volume departs from the plain one: what takes longer, goes back, sticks or fails.

A scenario names courses by the names of what they are for; the first that fits is taken when the thing is bought. Pure.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from tunesmith_simulator.pace import Seconds

PhaseName = Literal[
    "QUEUED",
    "SCHEDULED",
    "WAITING_FOR_CONTROL_PLANE_NODES",
    "WAITING_FOR_DATA_PLANE_NODES",
    "WAITING_FOR_SUBNET",
    "WAITING_FOR_SHARED_VOLUME",
    "WAITING_FOR_AUTO_SCALER",
    "INSTALLING_DRIVERS",
    "RUNNING_ACCEPTANCE_TESTS",
    "ACCEPTANCE_TESTS_FAILED",
    "RUNNING_NCCL_TESTS",
    "NCCL_TESTS_FAILED",
    "READY",
    "PAUSED",
    "ON_DEMAND_COMPUTE_PAUSED",
    "DEGRADED",
    "DELETING",
]
"""The phases that the provider's API names, without their prefix."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoesBack(_Part):
    """At the end of phase ``leaving`` a cluster comes to phase ``to`` instead of going on, this many ``times``."""

    leaving: PhaseName
    to: PhaseName
    times: PositiveInt = 1


class Course(_Part):
    """The way of a cluster. As it stands: the plain way, at the durations of the scenario.

    ``dwell_seconds`` is how long a phase takes at least, at speed 1; what it waits for it waits for all the same.
    Nodes are counted from 0 in the order in which the API lists them at the purchase.
    """

    dwell_seconds: Mapping[PhaseName, Seconds] = Field(default_factory=dict)
    never_leaves: tuple[PhaseName, ...] = ()
    goes_back: tuple[GoesBack, ...] = ()
    scheduled_seconds: Seconds | None = None
    """Stays in `Scheduled` for so long before anything begins, though nobody asked for a later start."""
    tests_fail: Literal["ACCEPTANCE_TESTS_FAILED", "NCCL_TESTS_FAILED"] | None = None
    tests_fail_times: PositiveInt | None = None
    """How often the tests fail before they pass, where ``goes_back`` leads back to them; without end if not given."""
    failed_tests_status: str = "RunningAcceptanceTests"
    """provider: there is no status for failed tests, only a phase; which status it shows is not documented."""
    kube_config_after_seconds: Seconds = 0
    """How long after the control plane is ready the kubeconfig is told."""
    kube_config_never: bool = False
    slow_nodes: Mapping[NonNegativeInt, PositiveFloat] = Field(default_factory=dict)
    """How many times as long as others a node takes to come up."""
    missing_gpus: Mapping[NonNegativeInt, Annotated[int, Field(ge=1, le=8)]] = Field(default_factory=dict)
    """How many of a node's eight GPUs are not there when it has come up. The API counts them all the same."""

    def goes_back_to(self, leaving: str, times_before: int) -> PhaseName | None:
        """Where a cluster that was sent back from ``leaving`` so often before goes at its end; None: on."""
        for rule in self.goes_back:
            if rule.leaving == leaving and times_before < rule.times:
                return rule.to
        return None


class VolumeCourse(_Part):
    """The way of a volume. As it stands: the plain way."""

    provisioning_seconds: Seconds | None = None
    fails: bool = False
    """Provisioning ends in status `failed`."""
    partition: str | None = None
    """Made alone, it lands here, whatever the region says."""


PLAIN = Course()
PLAIN_VOLUME = VolumeCourse()


class ClusterCourse(Course):
    """A course with the clusters that take it: a name, or a pattern with ``*``."""

    cluster_name: str = "*"


class NamedVolumeCourse(VolumeCourse):
    """A course with the volumes that take it: a name, or a pattern with ``*``."""

    volume_name: str = "*"


class Courses(_Part):
    """All departures from the plain way, in the order in which they are asked."""

    clusters: tuple[ClusterCourse, ...] = ()
    volumes: tuple[NamedVolumeCourse, ...] = ()

    def of_cluster(self, name: str) -> Course:
        """The way of a cluster of that name."""
        return next((each for each in self.clusters if fnmatchcase(name, each.cluster_name)), PLAIN)

    def of_volume(self, name: str) -> VolumeCourse:
        """The way of a volume of that name."""
        return next((each for each in self.volumes if fnmatchcase(name, each.volume_name)), PLAIN_VOLUME)


NO_COURSES = Courses()
