"""What happens to what is sold and to who pays: stock, credit, volumes, late lists. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from pydantic import NonNegativeInt

from tunesmith_simulator import clusters, volumes
from tunesmith_simulator.cluster_orders import Billing
from tunesmith_simulator.courses import NamedVolumeCourse
from tunesmith_simulator.happenings.meant import BaseHappening, Touched, living, means
from tunesmith_simulator.pace import Seconds
from tunesmith_simulator.volumes import Volume, VolumeStatus
from tunesmith_simulator.world import Listed, ListLag, World


class SetStock(BaseHappening):
    """So many GPUs of a type are free to sell in a region from now on."""

    what: Literal["set_stock"] = "set_stock"
    region: str
    gpu_type: str
    free_gpus: NonNegativeInt

    def done(self, world: World, now: datetime) -> Touched:
        """The world with that stock."""
        key = (self.region, self.gpu_type)
        if key not in world.stock:
            return world, ()
        return replace(world, stock={**world.stock, key: self.free_gpus}), (f"{self.region}/{self.gpu_type}",)


class Credit(BaseHappening):
    """The credit of a project runs out, or is there again: its on-demand clusters pause, its volumes lose access."""

    what: Literal["credit"] = "credit"
    project: str
    has_credit: bool

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the project paid for, or not."""
        unpaid = world.unpaid_projects
        world = replace(world, unpaid_projects=unpaid - {self.project} if self.has_credit else unpaid | {self.project})
        change = clusters.resumed if self.has_credit else clusters.paused
        touched = [self.project]
        for cluster in [each for each in living(world.clusters.values()) if each.order.project_id == self.project]:
            changed = change(cluster, now, world.pace)
            touched += [cluster.cluster_id] if changed is not cluster else []
            world = world.with_cluster(changed)
        for volume in [each for each in living(world.volumes.values()) if each.project_id == self.project]:
            changed_volume = self._access(world, volume, now)
            touched += [volume.volume_id] if changed_volume is not volume else []
            world = world.with_volume(changed_volume)
        return world, tuple(touched)

    def _access(self, world: World, volume: Volume, now: datetime) -> Volume:
        holder = world.clusters.get(volume.attached_to or "")
        if self.has_credit and volume.status is VolumeStatus.ACCESS_REVOKED:
            before = volume.history[-2].status
            return volumes.sent_to(volume, before, now)
        prepaid = holder is not None and holder.order.billing is not Billing.ON_DEMAND
        usable = volume.status in {VolumeStatus.AVAILABLE, VolumeStatus.BOUND}
        if not self.has_credit and usable and not prepaid:
            # provider: volumes lose access once credit is out
            return volumes.sent_to(volume, VolumeStatus.ACCESS_REVOKED, now)
        return volume


class ListsLag(BaseHappening):
    """Lists are late from now on, in seconds of the clock: 0 and 0 end it."""

    what: Literal["list_lag"] = "list_lag"
    of: Listed = "clusters"
    appears_after_seconds: Seconds = 0
    vanishes_after_seconds: Seconds = 0

    def done(self, world: World, now: datetime) -> Touched:
        """The world with late lists."""
        lag = ListLag(self.appears_after_seconds, self.vanishes_after_seconds)
        rest = {of: each for of, each in world.lags.items() if of != self.of}
        return replace(world, lags=rest if lag == ListLag() else {**rest, self.of: lag}), (self.of,)


class SetVolumeStatus(BaseHappening):
    """Volumes are in another state from now on and stay there."""

    what: Literal["volume_status"] = "volume_status"
    volume: str
    status: VolumeStatus

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the volumes in that state."""
        meant = [each for each in living(world.volumes.values()) if means(self.volume, each.volume_id, each.name)]
        for volume in meant:
            world = world.with_volume(volumes.sent_to(volume, self.status, now))
        return world, tuple(volume.volume_id for volume in meant)


class SetVolumePartition(BaseHappening):
    """Volumes that are made alone in a region land in this partition from now on."""

    what: Literal["volume_partition"] = "volume_partition"
    region: str
    partition: str

    def done(self, world: World, now: datetime) -> Touched:
        """The world with that partition."""
        region = world.regions.get(self.region)
        if region is None:
            return world, ()
        moved = replace(region, volume_partition=self.partition)
        return replace(world, regions={**world.regions, self.region: moved}), (self.region,)


class TakeVolumeCourse(BaseHappening):
    """Volumes that will be made take another course."""

    what: Literal["volume_course"] = "volume_course"
    course: NamedVolumeCourse

    def done(self, world: World, now: datetime) -> Touched:
        """The world with that course."""
        courses = world.courses.model_copy(update={"volumes": (self.course, *world.courses.volumes)})
        return replace(world, courses=courses), (self.course.volume_name,)
