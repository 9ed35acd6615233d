"""What happens to the provider's world by itself, from a timeline or by an administrator's word."""

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
import yaml
from tests.unit.simulator.builders import BEGIN, HOUR, PROJECT, REGION, Played

from tunesmith_simulator import happenings as happen
from tunesmith_simulator import world as worlds
from tunesmith_simulator.cluster_orders import Billing
from tunesmith_simulator.courses import ClusterCourse
from tunesmith_simulator.desk import VolumeOrder
from tunesmith_simulator.machines import NodePhase
from tunesmith_simulator.refusals import RefusedError
from tunesmith_simulator.volumes import VolumeStatus
from tunesmith_simulator.world import Account


@pytest.fixture
def world() -> Played:
    return Played()


def ready(world: Played, **order) -> str:
    cluster = world.buy(**order)
    world.wait(HOUR)
    assert world.cluster(cluster).status == "Ready"
    return cluster


def listed(world: Played, project: str = PROJECT) -> list[str]:
    seen = replace(world.world, as_of=world.now)
    return [each.cluster_id for each in seen.clusters_of(Account("acme", (project,)), None)]


def test_stock_follows_a_timeline(world):
    stock = [happen.SetStock(region=REGION, gpu_type="H100_SXM", free_gpus=free) for free in (0, 16)]
    for hours, each in enumerate(stock, start=1):
        world.world = worlds.planned(world.world, each, BEGIN + timedelta(hours=hours))
    world.wait(1.5 * HOUR)
    with pytest.raises(RefusedError, match="Out of stock"):
        world.buy()
    world.wait(HOUR)
    assert world.buy()
    assert [each.at for each in world.world.happened] == [BEGIN + timedelta(hours=1), BEGIN + timedelta(hours=2)]


def test_one_leap_of_time_and_many_small_steps_come_to_the_same_world():
    def played(steps: int) -> Played:
        world = Played()
        plan = [
            (600, happen.FailNode(cluster="training", node=0)),
            (1200, happen.Preempt(cluster="training", node=1)),
            (1300, happen.Credit(project=PROJECT, has_credit=False)),
            (2400, happen.Credit(project=PROJECT, has_credit=True)),
            (3000, happen.RecoverNode(cluster="training")),
        ]
        for seconds, each in plan:
            world.world = worlds.planned(world.world, each, BEGIN + timedelta(seconds=seconds))
        world.buy(gpus=24)
        for _ in range(steps):
            world.wait(7200 / steps)
        return world

    assert played(1).world == played(72).world == played(7200).world


def test_a_node_fails_and_recovers(world):
    cluster = ready(world)
    world.happen(happen.FailNode(cluster="training", node=1))
    assert world.cluster(cluster).status == "Degraded"
    world.wait(60)
    world.happen(happen.RecoverNode(cluster="training"))
    assert world.cluster(cluster).status == "Ready"


def test_a_preempted_node_is_given_notice_and_goes_five_minutes_later(world):
    cluster = ready(world)
    (host_name,) = world.happen(happen.Preempt(cluster="training", node=0))
    world.wait(299)
    assert [event.reason for event in world.cluster(cluster).events] == ["TogetherPreemptionNotified"]
    world.wait(1)
    events = world.cluster(cluster).events
    assert [event.reason for event in events] == ["TogetherPreemptionNotified", "TogetherPreempted"]
    assert events[1].time - events[0].time == timedelta(minutes=5)
    assert [node.host_name for node in world.cluster(cluster).deleted_nodes] == [host_name]


def test_without_credit_on_demand_compute_pauses_prepaid_runs_and_nobody_buys(world):
    on_demand = ready(world, name="on-demand")
    prepaid = ready(world, name="prepaid", billing=Billing.RESERVED, num_reserved_gpus=16, duration_days=7)
    world.happen(happen.Credit(project=PROJECT, has_credit=False))
    assert world.cluster(on_demand).status == "OnDemandComputePaused"
    assert {node.phase for node in world.cluster(on_demand).gpu_nodes} == {NodePhase.PAUSED}
    assert world.cluster(prepaid).status == "Ready"
    world.wait(HOUR)
    world.happen(happen.Credit(project=PROJECT, has_credit=True))
    assert world.cluster(on_demand).status == "Ready"


def test_what_becomes_ready_without_credit_is_paused_at_once(world):
    world.happen(happen.Credit(project=PROJECT, has_credit=False))
    cluster = world.buy()
    world.wait(HOUR)
    assert world.phases(cluster)[-2:] == ["READY", "ON_DEMAND_COMPUTE_PAUSED"]


def test_a_paused_cluster_is_decommissioned_in_the_end(world):
    durations = world.world.pace.durations.model_copy(update={"decommission_seconds": 24 * HOUR})
    world.world = replace(world.world, pace=world.world.pace.model_copy(update={"durations": durations}))
    cluster = ready(world)
    world.happen(happen.Credit(project=PROJECT, has_credit=False))
    world.wait(25 * HOUR)
    assert world.cluster(cluster).gone_at is not None


def test_a_volume_loses_access_with_the_credit_and_has_it_back_with_it(world):
    alone = world.buy_volume()
    ready(world, volume=VolumeOrder("inline", REGION, 1, lifecycle_independent=True))
    world.happen(happen.Credit(project=PROJECT, has_credit=False))
    assert {each.status for each in world.world.volumes.values()} == {VolumeStatus.ACCESS_REVOKED}
    world.happen(happen.Credit(project=PROJECT, has_credit=True))
    assert world.volume(alone).status is VolumeStatus.AVAILABLE


def test_a_reservation_ends_before_its_time(world):
    cluster = ready(world, billing=Billing.RESERVED, num_reserved_gpus=16, duration_days=7)
    world.happen(happen.EndReservation(cluster="training"))
    assert world.cluster(cluster).status == "Deleting"


def test_a_list_shows_what_is_new_late_and_what_is_gone_still(world):
    world.happen(happen.ListsLag(appears_after_seconds=30, vanishes_after_seconds=300))
    cluster = world.buy()
    world.wait(29)
    assert listed(world) == []
    world.wait(1)
    assert listed(world) == [cluster]
    world.delete(cluster)
    world.wait(359)
    assert world.cluster(cluster).gone_at is not None
    assert listed(world) == [cluster]
    world.wait(1)
    assert listed(world) == []


def test_a_cluster_is_sent_back_and_goes_on_from_there(world):
    cluster = ready(world)
    world.happen(happen.SendTo(cluster="training", phase="INSTALLING_DRIVERS"))
    assert world.cluster(cluster).status == "InstallingDrivers"
    world.wait(HOUR)
    assert world.cluster(cluster).status == "Ready"


def test_a_cluster_tells_a_status_that_nobody_knows(world):
    cluster = ready(world)
    world.happen(happen.TellStatus(cluster="training", status="Rebalancing"))
    assert world.cluster(cluster).status == "Rebalancing"
    world.happen(happen.TellStatus(cluster="training"))
    assert world.cluster(cluster).status == "Ready"


@pytest.mark.parametrize("at_once", [True, False])
def test_somebody_else_deletes_a_cluster(world, at_once):
    cluster = ready(world)
    world.happen(happen.DeleteOutside(cluster=cluster, at_once=at_once))
    assert (world.cluster(cluster).gone_at is not None) is at_once
    world.wait(HOUR)
    assert world.cluster(cluster).gone_at is not None


def test_somebody_else_takes_nodes_but_never_the_last(world):
    cluster = ready(world, gpus=24)
    world.happen(happen.ShrinkOutside(cluster="training", nodes=9))
    world.wait(HOUR)
    assert world.cluster(cluster).num_gpus == 8


def test_a_volume_that_is_made_from_now_on_cannot_be_attached(world):
    world.happen(happen.SetVolumePartition(region=REGION, partition="z"))
    world.buy_volume()
    assert {each.partition for each in world.world.volumes.values()} == {"z"}


def test_what_a_happening_cannot_touch_it_says(world):
    assert world.happen(happen.FailNode(cluster="nobody")) == ()
    assert world.happen(happen.SetStock(region="mars", gpu_type="H100_SXM", free_gpus=1)) == ()


def test_calm_takes_out_what_was_laid_in_and_leaves_what_broke(world):
    cluster = ready(world)
    world.happen(happen.FailNode(cluster="training", node=0))
    world.happen(happen.TellStatus(cluster="training", status="Odd"))
    world.happen(happen.ListsLag(appears_after_seconds=30))
    world.happen(happen.TakeCourse(course=ClusterCourse(never_leaves=("SCHEDULED",))))
    world.world = happen.calmed(world.world)
    assert world.cluster(cluster).status == "Degraded"
    assert not world.world.lags
    assert not world.world.courses.clusters


def test_a_cluster_that_is_there_takes_a_new_course(world):
    cluster = world.buy()
    world.happen(happen.TakeCourse(course=ClusterCourse(never_leaves=("INSTALLING_DRIVERS",))))
    world.wait(HOUR)
    assert world.cluster(cluster).status == "InstallingDrivers"
    world.world = worlds.advanced(happen.calmed(world.world), world.now)
    world.wait(HOUR)
    assert world.cluster(cluster).status == "Ready"


def kubeconfig_of(world: Played, cluster: str, kind: str) -> dict:
    world.happen(happen.HandOut(cluster=cluster, kind=kind, seconds=60))
    return yaml.safe_load(base64.b64decode(world.cluster(cluster).told_kube_config))


@pytest.mark.parametrize(
    ("kind", "place", "key"),
    [
        ("exec", "user", "exec"),
        ("file_paths", "cluster", "certificate-authority"),
        ("file_paths", "user", "tokenFile"),
        ("proxy", "cluster", "proxy-url"),
        ("insecure", "cluster", "insecure-skip-tls-verify"),
    ],
)
def test_a_hostile_kubeconfig_asks_for_what_no_client_may_do(world, kind, place, key):
    document = kubeconfig_of(world, ready(world), kind)
    assert key in document[f"{place}s"][0][place]


def test_a_kubeconfig_points_elsewhere_is_rotated_and_is_itself_again(world):
    cluster = ready(world)
    before = world.cluster(cluster).told_kube_config
    assert "203.0.113." in kubeconfig_of(world, cluster, "other_server")["clusters"][0]["cluster"]["server"]
    first, second = (kubeconfig_of(world, cluster, "rotated")["users"][0]["user"]["token"] for _ in range(2))
    assert first != second
    world.happen(happen.HandOut(cluster=cluster, kind="as_it_is"))
    assert world.cluster(cluster).told_kube_config == before


def test_a_token_says_when_it_ends(world):
    token = kubeconfig_of(world, ready(world), "expiring")["users"][0]["user"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["exp"] == int((world.now + timedelta(seconds=60)).timestamp())


def test_a_kubeconfig_is_empty_or_no_yaml(world):
    cluster = ready(world)
    world.happen(happen.HandOut(cluster=cluster, kind="empty"))
    assert world.cluster(cluster).told_kube_config == ""
    with pytest.raises(yaml.YAMLError):
        kubeconfig_of(world, cluster, "not_yaml")
