"""Which phase of a cluster comes after which, and how long one lasts, plainly and on a course. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from tunesmith_simulator.courses import Course, PhaseName
from tunesmith_simulator.pace import Durations
from tunesmith_simulator.phases import TESTS_FAILED, ClusterPhase, ClusterTransition

_ON_THE_WAY = (
    ClusterPhase.SCHEDULED,
    ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES,
    ClusterPhase.WAITING_FOR_DATA_PLANE_NODES,
    ClusterPhase.WAITING_FOR_SUBNET,
    ClusterPhase.WAITING_FOR_SHARED_VOLUME,
    ClusterPhase.INSTALLING_DRIVERS,
    ClusterPhase.RUNNING_ACCEPTANCE_TESTS,
    ClusterPhase.READY,
)
_BESIDE_THE_WAY = {
    ClusterPhase.QUEUED: ClusterPhase.WAITING_FOR_CONTROL_PLANE_NODES,
    ClusterPhase.WAITING_FOR_AUTO_SCALER: ClusterPhase.INSTALLING_DRIVERS,
    ClusterPhase.ACCEPTANCE_TESTS_FAILED: ClusterPhase.RUNNING_ACCEPTANCE_TESTS,
    ClusterPhase.RUNNING_NCCL_TESTS: ClusterPhase.NCCL_TESTS_FAILED,
    ClusterPhase.NCCL_TESTS_FAILED: ClusterPhase.RUNNING_ACCEPTANCE_TESTS,
    ClusterPhase.ON_DEMAND_COMPUTE_PAUSED: ClusterPhase.DELETING,
}
"""Where phases lead that are not on the plain way."""


def following(
    history: Sequence[ClusterTransition], course: Course, *, has_volume: bool, wants_tests: bool
) -> ClusterPhase:
    """The phase after the last of ``history``."""
    phase = history[-1].phase
    back = course.goes_back_to(phase.short, _times_sent_back(history, course))
    if back is not None:
        return named(back)
    if (beside := _BESIDE_THE_WAY.get(phase)) is not None:
        return beside
    if phase is ClusterPhase.RUNNING_ACCEPTANCE_TESTS and _tests_fail(history, course):
        nccl = course.tests_fail == "NCCL_TESTS_FAILED"
        return ClusterPhase.RUNNING_NCCL_TESTS if nccl else ClusterPhase.ACCEPTANCE_TESTS_FAILED
    after = _ON_THE_WAY[_ON_THE_WAY.index(phase) + 1]
    if after is ClusterPhase.WAITING_FOR_SHARED_VOLUME and not has_volume:
        after = ClusterPhase.INSTALLING_DRIVERS
    if after is ClusterPhase.RUNNING_ACCEPTANCE_TESTS and not wants_tests:
        after = ClusterPhase.READY
    return after


def seconds_in(phase: ClusterPhase, course: Course, durations: Durations) -> float | None:
    """How long ``phase`` lasts at least, at speed 1; None where no clock ends it."""
    if phase in TESTS_FAILED and all(rule.leaving != phase.short for rule in course.goes_back):
        return None
    dwell = {named(name): seconds for name, seconds in course.dwell_seconds.items()}
    plain = {
        ClusterPhase.QUEUED: 0.0,
        ClusterPhase.SCHEDULED: course.scheduled_seconds,
        ClusterPhase.WAITING_FOR_SUBNET: durations.subnet_seconds,
        ClusterPhase.WAITING_FOR_SHARED_VOLUME: durations.shared_volume_seconds,
        ClusterPhase.WAITING_FOR_AUTO_SCALER: 0.0,
        ClusterPhase.INSTALLING_DRIVERS: durations.drivers_seconds,
        ClusterPhase.RUNNING_ACCEPTANCE_TESTS: durations.acceptance_tests_seconds,
        ClusterPhase.ACCEPTANCE_TESTS_FAILED: 0.0,
        ClusterPhase.RUNNING_NCCL_TESTS: durations.acceptance_tests_seconds,
        ClusterPhase.NCCL_TESTS_FAILED: 0.0,
        ClusterPhase.ON_DEMAND_COMPUTE_PAUSED: durations.decommission_seconds,
        ClusterPhase.DELETING: durations.deleting_seconds,
    }
    return dwell.get(phase, plain.get(phase))


def named(short: PhaseName) -> ClusterPhase:
    """The phase of that name."""
    return ClusterPhase(f"CLUSTER_PHASE_{short}")


def _times_sent_back(history: Sequence[ClusterTransition], course: Course) -> int:
    """How often a cluster left its present phase for one that its course sends it back to."""
    phase = history[-1].phase
    targets = {named(rule.to) for rule in course.goes_back if rule.leaving == phase.short}
    return sum(before.phase is phase and after.phase in targets for before, after in pairwise(history))


def _tests_fail(history: Sequence[ClusterTransition], course: Course) -> bool:
    if course.tests_fail is None:
        return False
    failed = sum(step.phase in TESTS_FAILED for step in history)
    return course.tests_fail_times is None or failed < course.tests_fail_times
