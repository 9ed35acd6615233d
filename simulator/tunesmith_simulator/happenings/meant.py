"""What happenings have in common: how they say what they mean, and how the objects that are meant are found. Pure."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import World

Touched = tuple[World, tuple[str, ...]]
"""The world after a happening, and what it touched."""

Thing = TypeVar("Thing", Cluster, Volume)


class BaseHappening(BaseModel):
    """What all happenings share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        said = self.model_dump(exclude_defaults=True, exclude={"what"}, mode="json")
        return " ".join([str(getattr(self, "what", "")), *(f"{key}={value}" for key, value in said.items())])


def each_cluster(
    world: World, meant: str, change: Callable[[Cluster], Cluster], *, at_least: tuple[str, ...] = ()
) -> Touched:
    """The world with each cluster that is meant changed, and their ids; ``at_least`` is told when there was none."""
    touched = []
    for cluster in meant_clusters(world, meant):
        changed = change(cluster)
        if changed is not cluster:
            touched.append(cluster.cluster_id)
            world = world.with_cluster(changed)
    return world, tuple(touched) or at_least


def meant_clusters(world: World, meant: str) -> list[Cluster]:
    """The living clusters that an id, a name or a pattern means."""
    return [each for each in living(world.clusters.values()) if means(meant, each.cluster_id, each.order.name)]


def means(meant: str, identifier: str, name: str) -> bool:
    """Whether an id, a name or a pattern means something of this id and name."""
    return meant == identifier or fnmatchcase(name, meant)


def living(things: Iterable[Thing]) -> list[Thing]:
    """Those that are not gone."""
    return [thing for thing in things if thing.gone_at is None]
