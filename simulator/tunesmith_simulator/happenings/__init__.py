"""What can happen to the provider's world beside what customers ask for: the same words in a timeline and by an admin.

Each happening is one change of the world, pure, and says what it touched. Clusters and volumes are meant by id or by
name, where ``*`` stands for any letters; nodes by host name or by their place in the API's list, from 0.
"""

from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tunesmith_simulator import clusters
from tunesmith_simulator.courses import NO_COURSES, PLAIN
from tunesmith_simulator.happenings.meant import living
from tunesmith_simulator.happenings.to_accounts import (
    Credit,
    ListsLag,
    SetStock,
    SetVolumePartition,
    SetVolumeStatus,
    TakeVolumeCourse,
)
from tunesmith_simulator.happenings.to_clusters import (
    DeleteOutside,
    EndReservation,
    HandOut,
    SendTo,
    TakeCourse,
    TellStatus,
)
from tunesmith_simulator.happenings.to_nodes import FailNode, LoseGpus, Preempt, RecoverNode, ShrinkOutside
from tunesmith_simulator.pace import Seconds
from tunesmith_simulator.world import World

AnyHappening = Annotated[
    SetStock
    | FailNode
    | RecoverNode
    | LoseGpus
    | Preempt
    | Credit
    | EndReservation
    | ListsLag
    | HandOut
    | SendTo
    | TellStatus
    | SetVolumeStatus
    | SetVolumePartition
    | TakeCourse
    | TakeVolumeCourse
    | DeleteOutside
    | ShrinkOutside,
    Field(discriminator="what"),
]
"""Whatever can happen; ``what`` says which."""


class TimelineEntry(BaseModel):
    """Something that happens ``at_seconds`` after the start, divided by the speed like every duration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_seconds: Seconds
    happening: AnyHappening


def calmed(world: World) -> World:
    """The world with all that was laid into it taken out again: lags, courses, plans, false words and kubeconfigs.

    What broke stays broken, and what is unpaid stays unpaid.
    """
    world = replace(world, lags={}, planned=(), courses=NO_COURSES)
    for cluster in living(world.clusters.values()):
        plain = replace(cluster, told_status=None, handed_out=None)
        world = world.with_cluster(
            plain if plain.leaving and not plain.course.never_leaves else clusters.on_course(plain, PLAIN, world.pace)
        )
    return world
