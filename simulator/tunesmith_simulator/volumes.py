"""A shared volume: its states over time, its sizes, what it is attached to. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tunesmith_simulator.courses import PLAIN_VOLUME, VolumeCourse
from tunesmith_simulator.pace import Pace, rescaled


class VolumeStatus(StrEnum):
    """The states of a volume that are played here, in the words of the API."""

    SCHEDULED = "scheduled"
    PROVISIONING = "provisioning"
    AVAILABLE = "available"
    BOUND = "bound"
    DELETING = "deleting"
    FAILED = "failed"
    ACCESS_REVOKED = "access_revoked"
    UNKNOWN = "unknown"


ALLOWED = {
    VolumeStatus.SCHEDULED: frozenset({VolumeStatus.PROVISIONING, VolumeStatus.DELETING}),
    VolumeStatus.PROVISIONING: frozenset({VolumeStatus.AVAILABLE, VolumeStatus.FAILED, VolumeStatus.DELETING}),
    VolumeStatus.FAILED: frozenset({VolumeStatus.DELETING}),
    VolumeStatus.AVAILABLE: frozenset({VolumeStatus.BOUND, VolumeStatus.DELETING}),
    VolumeStatus.BOUND: frozenset({VolumeStatus.AVAILABLE}),
    VolumeStatus.DELETING: frozenset(),
}
"""Where a volume may go from each state by itself; a happening may send it elsewhere."""


@dataclass(frozen=True, slots=True)
class VolumeTransition:
    """A volume came into ``status`` at ``time``."""

    status: VolumeStatus
    time: datetime


@dataclass(frozen=True, slots=True)
class SizeStep:
    """A volume has this size from ``time`` on."""

    time: datetime
    size_tib: int


@dataclass(frozen=True, slots=True)
class Volume:
    """A shared volume. ``partition`` is the datacenter partition it landed in; ``attached_to`` a cluster's id.

    ``lifecycle_independent``: it outlives the cluster that it is attached to.
    """

    volume_id: str
    name: str
    size_tib: int
    project_id: str
    region: str
    partition: str
    lifecycle_independent: bool
    created_at: datetime
    history: tuple[VolumeTransition, ...]
    attached_to: str | None = None
    due_at: datetime | None = None
    gone_at: datetime | None = None
    course: VolumeCourse = PLAIN_VOLUME
    former_sizes: tuple[SizeStep, ...] = ()

    @property
    def sizes(self) -> tuple[SizeStep, ...]:
        """The sizes it had, oldest first, and the one that it has."""
        return self.former_sizes or (SizeStep(self.created_at, self.size_tib),)

    @property
    def status(self) -> VolumeStatus:
        """The state it is in."""
        return self.history[-1].status

    @property
    def since(self) -> datetime:
        """When it came into its state."""
        return self.history[-1].time


def new_volume(
    *,
    volume_id: str,
    name: str,
    size_tib: int,
    project_id: str,
    region: str,
    partition: str,
    lifecycle_independent: bool,
    now: datetime,
    pace: Pace,
    course: VolumeCourse | None = None,
) -> Volume:
    """A volume that was asked for just now, attached to nothing."""
    return Volume(
        volume_id=volume_id,
        name=name,
        size_tib=size_tib,
        project_id=project_id,
        region=region,
        partition=partition,
        lifecycle_independent=lifecycle_independent,
        created_at=now,
        history=(VolumeTransition(VolumeStatus.SCHEDULED, now),),
        due_at=pace.after(now, pace.durations.volume_scheduled_seconds),
        course=course or PLAIN_VOLUME,
    )


def advanced(volume: Volume, now: datetime, pace: Pace) -> Volume:
    """The volume as it is at ``now``, as far as it depends on itself alone."""
    while volume.gone_at is None and volume.due_at is not None and volume.due_at <= now:
        at = volume.due_at
        if volume.status is VolumeStatus.DELETING:
            return replace(volume, gone_at=at, due_at=None)
        if volume.status is VolumeStatus.SCHEDULED:
            seconds = volume.course.provisioning_seconds
            over = pace.after(at, pace.durations.volume_provisioning_seconds if seconds is None else seconds)
            volume = _entered(volume, VolumeStatus.PROVISIONING, at, over)
        else:
            volume = _entered(volume, VolumeStatus.FAILED if volume.course.fails else VolumeStatus.AVAILABLE, at)
    return volume


def grown(volume: Volume, size_tib: int, at: datetime) -> Volume:
    """The volume with more room from ``at`` on."""
    if size_tib == volume.size_tib:
        return volume
    return replace(volume, size_tib=size_tib, former_sizes=(*volume.sizes, SizeStep(at, size_tib)))


def sent_to(volume: Volume, status: VolumeStatus, at: datetime) -> Volume:
    """The volume in another state from now on, by no rule of its own; it stays there."""
    return _entered(volume, status, at)


def bound(volume: Volume, at: datetime) -> Volume:
    """The volume once its cluster has mounted it."""
    return _entered(volume, VolumeStatus.BOUND, at)


def released(volume: Volume, at: datetime, pace: Pace) -> Volume:
    """The volume after its cluster is gone: free again, or going with it."""
    volume = replace(volume, attached_to=None)
    if volume.status is VolumeStatus.BOUND:
        volume = _entered(volume, VolumeStatus.AVAILABLE, at)
    return volume if volume.lifecycle_independent else deleting(volume, at, pace)


def deleting(volume: Volume, at: datetime, pace: Pace) -> Volume:
    """The volume from the moment its deletion was asked for. It must not be attached."""
    return _entered(volume, VolumeStatus.DELETING, at, pace.after(at, pace.durations.volume_deleting_seconds))


def replayed(volume: Volume, now: datetime, factor: float) -> Volume:
    """The volume after a change of speed: what is left of its wait takes ``factor`` times as long."""
    return replace(volume, due_at=rescaled(volume.due_at, now, factor))


def _entered(volume: Volume, status: VolumeStatus, at: datetime, due_at: datetime | None = None) -> Volume:
    return replace(volume, history=(*volume.history, VolumeTransition(status, at)), due_at=due_at)
