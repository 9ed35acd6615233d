"""Whatever happens, in whatever order and on whatever course: the world goes on, and its books are right."""

from contextlib import suppress
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.builders import PROJECT, REGION, Played

from tunesmith_simulator import happenings as happen
from tunesmith_simulator import world as worlds
from tunesmith_simulator.courses import ClusterCourse, GoesBack, PhaseName
from tunesmith_simulator.desk import VolumeOrder
from tunesmith_simulator.http.g2_answers import cluster_json, volume_json
from tunesmith_simulator.ledger import ledger
from tunesmith_simulator.refusals import RefusedError
from tunesmith_simulator.volumes import VolumeStatus

PHASES = st.sampled_from(PhaseName.__args__)
NODES = st.integers(0, 3)
KINDS = st.sampled_from(["as_it_is", "empty", "rotated", "refused", "expiring", "exec", "file_paths", "not_yaml"])
COURSES = st.builds(
    ClusterCourse,
    dwell_seconds=st.dictionaries(PHASES, st.sampled_from([0, 7, 5000]), max_size=2),
    never_leaves=st.lists(PHASES, max_size=1).map(tuple),
    goes_back=st.lists(st.builds(GoesBack, leaving=PHASES, to=PHASES, times=st.integers(1, 3)), max_size=2).map(tuple),
    scheduled_seconds=st.none() | st.just(50),
    tests_fail=st.none() | st.just("NCCL_TESTS_FAILED"),
    kube_config_after_seconds=st.sampled_from([0, 100]),
    kube_config_never=st.booleans(),
    slow_nodes=st.dictionaries(NODES, st.just(5.0), max_size=1),
    missing_gpus=st.dictionaries(NODES, st.just(2), max_size=1),
)
EVERY = "*"
HAPPENINGS = st.one_of(
    st.builds(happen.FailNode, cluster=st.just(EVERY), node=NODES),
    st.builds(happen.RecoverNode, cluster=st.just(EVERY)),
    st.builds(happen.LoseGpus, cluster=st.just(EVERY), node=NODES, count=st.integers(0, 8)),
    st.builds(happen.Preempt, cluster=st.just(EVERY), node=NODES, notice_seconds=st.none() | st.just(0)),
    st.builds(happen.Credit, project=st.just(PROJECT), has_credit=st.booleans()),
    st.builds(happen.EndReservation, cluster=st.just(EVERY)),
    st.builds(happen.ListsLag, appears_after_seconds=st.integers(0, 60)),
    st.builds(happen.HandOut, cluster=st.just(EVERY), kind=KINDS),
    st.builds(happen.SendTo, cluster=st.just(EVERY), phase=PHASES),
    st.builds(happen.TellStatus, cluster=st.just(EVERY), status=st.none() | st.just("Odd")),
    st.builds(happen.SetVolumeStatus, volume=st.just(EVERY), status=st.sampled_from(VolumeStatus)),
    st.builds(happen.TakeCourse, course=COURSES),
    st.builds(happen.DeleteOutside, cluster=st.just("c0"), at_once=st.booleans()),
    st.builds(happen.ShrinkOutside, cluster=st.just(EVERY), nodes=st.integers(1, 3)),
    st.builds(happen.SetStock, region=st.just(REGION), gpu_type=st.just("H100_SXM"), free_gpus=st.integers(0, 500)),
)
STEPS = st.lists(
    st.tuples(st.none() | HAPPENINGS, st.integers(1, 4), st.sampled_from([0, 1, 60, 900, 90_000])), max_size=15
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_the_world_goes_on_whatever_happens(steps, planned):
    world = Played()
    spent = ledger(world.world, world.now).usd
    for number, (happening, nodes, seconds) in enumerate(steps):
        if happening is None:
            volume = VolumeOrder(f"v{number}", REGION, 1, lifecycle_independent=bool(number % 2))
            with suppress(RefusedError):
                world.buy(f"c{number}", gpus=8 * nodes, volume=volume)
        elif planned:
            world.world = worlds.planned(world.world, happening, world.now + timedelta(seconds=seconds // 2))
        else:
            world.happen(happening)
        world.wait(seconds)
        at = world.world.next_change_at()
        assert at is None or at > world.now
        for cluster in world.world.clusters.values():
            assert cluster_json(cluster, world.world, world.visit().account, world.now)["status"]
            assert all(
                before.time <= after.time for before, after in zip(cluster.history, cluster.history[1:], strict=False)
            )
        assert all(volume_json(each) for each in world.world.volumes.values())
        book = ledger(world.world, world.now)
        assert book.usd >= spent
        assert all(charge.begins < charge.until for entry in book.entries for charge in entry.charges)
        spent = book.usd


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_once_calm_and_deleted_everything_ends(steps):
    world = Played()
    for number, (happening, nodes, seconds) in enumerate(steps):
        if happening is None:
            with suppress(RefusedError):
                world.buy(f"c{number}", gpus=8 * nodes)
        else:
            world.happen(happening)
        world.wait(seconds)
    world.world = worlds.advanced(happen.calmed(world.world), world.now)
    for cluster in [each for each in world.world.clusters.values() if each.gone_at is None]:
        world.delete(cluster.cluster_id)
    world.wait(90_000)
    assert all(cluster.gone_at is not None for cluster in world.world.clusters.values())
    assert ledger(world.world, world.now).usd_per_hour == 0
