"""What happens to whole clusters: other phases, words, kubeconfigs and courses, and ends that others ask for. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from tunesmith_simulator import clusters, way
from tunesmith_simulator.cluster_orders import Billing
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.courses import ClusterCourse, Course, PhaseName
from tunesmith_simulator.happenings.meant import BaseHappening, Touched, each_cluster
from tunesmith_simulator.kubeconfigs import HandedOut, handed_out
from tunesmith_simulator.pace import Seconds
from tunesmith_simulator.world import World


class EndReservation(BaseHappening):
    """Prepaid clusters come to the end of their term now."""

    what: Literal["end_reservation"] = "end_reservation"
    cluster: str

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the term over."""
        return each_cluster(
            world,
            self.cluster,
            lambda cluster: cluster if cluster.order.billing is Billing.ON_DEMAND else replace(cluster, ends_at=now),
        )


class HandOut(BaseHappening):
    """Clusters tell another kubeconfig from now on. ``seconds`` is how long an expiring token lives."""

    what: Literal["kubeconfig"] = "kubeconfig"
    cluster: str
    kind: HandedOut
    seconds: Seconds = 3600

    def done(self, world: World, now: datetime) -> Touched:
        """The world with that kubeconfig told."""
        expires_at = now + timedelta(seconds=self.seconds)
        serial = len(world.happened)
        return each_cluster(
            world,
            self.cluster,
            lambda cluster: replace(
                cluster, handed_out=handed_out(cluster.kube_config, self.kind, serial=serial, expires_at=expires_at)
            ),
        )


class SendTo(BaseHappening):
    """Clusters are in another phase from now on, and go on from there."""

    what: Literal["phase"] = "phase"
    cluster: str
    phase: PhaseName

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the clusters in that phase."""
        phase = way.named(self.phase)
        return each_cluster(world, self.cluster, lambda each: clusters.sent_to(each, phase, now, world.pace))


class TellStatus(BaseHappening):
    """Clusters tell this status, known or not, whatever they are in; without ``status`` the true one again."""

    what: Literal["status"] = "status"
    cluster: str
    status: str | None = None

    def done(self, world: World, now: datetime) -> Touched:
        """The world with that status told."""
        return each_cluster(world, self.cluster, lambda cluster: replace(cluster, told_status=self.status))


class TakeCourse(BaseHappening):
    """Clusters take another course: those that are there, and those that will be bought."""

    what: Literal["course"] = "course"
    course: ClusterCourse

    def done(self, world: World, now: datetime) -> Touched:
        """The world with that course."""
        courses = world.courses.model_copy(update={"clusters": (self.course, *world.courses.clusters)})
        plain = Course.model_validate(self.course.model_dump(exclude={"cluster_name"}))
        return each_cluster(
            replace(world, courses=courses),
            self.course.cluster_name,
            lambda cluster: cluster if cluster.leaving else clusters.on_course(cluster, plain, world.pace),
            at_least=(self.course.cluster_name,),
        )


class DeleteOutside(BaseHappening):
    """Somebody deletes clusters at the provider, not through us; ``at_once`` leaves nothing to see of it."""

    what: Literal["delete_outside"] = "delete_outside"
    cluster: str
    at_once: bool = False

    def done(self, world: World, now: datetime) -> Touched:
        """The world with the clusters going, or gone."""

        def end(cluster: Cluster) -> Cluster:
            going = clusters.deleting(cluster, now, world.pace)
            return replace(going, due_at=now) if self.at_once else going

        return each_cluster(world, self.cluster, end)
