"""Both generations of the API over real HTTP, against a provider that refuses what it does not know."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.tunesmith.cloud.clouds import FAR, failure_of

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.g2_remediations import RemediationFilter
from tunesmith.cloud.gate import Gate
from tunesmith.cloud.generations import ApiGeneration, cloud_of
from tunesmith.cloud.retries import ReadRetries
from tunesmith.cloud.transport import Transport
from tunesmith.planning.decision import ErrorClass, KnownMessage
from tunesmith.planning.orders import (
    AcceptanceOrder,
    AddOnOrder,
    BillingOrder,
    ClusterChanges,
    ClusterOrder,
    ComponentsOrder,
    OIDCOrder,
    SlurmOrder,
    VolumeOrder,
)
from tunesmith.planning.provider import Login, Phase
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.faults import Answer, Cut, Empty, Fault, Rewrite, Truncate
from tunesmith_simulator.server import Simulator

HOUR = timedelta(hours=1)
DRIVER = {"cuda_version": "12.8", "driver_version": "570"}


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self):
        self.now = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def simulator(clock):
    async with Simulator(scenarios.named("default"), clock=clock) as running:
        yield running


@pytest.fixture
async def cloud_for(simulator):
    """Makes a client of a generation."""
    transports = []

    def make(generation, *, key=None, project_id=None, tries=1):
        credential = ApiCredential(SecretStr(key or simulator.key), project_id)
        transports.append(
            Transport(simulator.url, credential, gate=Gate(), retries=ReadRetries(tries=tries, jitter=lambda: 0.0))
        )
        return cloud_of(generation, transports[-1])

    yield make
    for transport in transports:
        await transport.close()


def an_order(name="ts-a", **parts):
    usual = {"region": "us-central-8", "gpu_type": "H100_SXM", "gpus": 16}
    return ClusterOrder(name, **usual | DRIVER | parts)


@pytest.mark.parametrize("generation", ApiGeneration)
async def test_a_cluster_with_a_volume_is_bought_followed_resized_and_given_back(generation, cloud_for, clock):
    cloud = cloud_for(generation)
    assert "us-central-8" in {region.name for region in await cloud.list_regions()}
    volume = await cloud.create_volume(VolumeOrder("ts-v", "us-central-8", 2), deadline=FAR)
    clock.now += HOUR
    made = await cloud.create_cluster(an_order(volume_id=volume.id), deadline=FAR)
    assert (made.name, made.gpus, made.phase) == ("ts-a", 16, Phase.IN_PROGRESS)
    clock.now += HOUR
    (ready,) = await cloud.list_clusters()
    assert (ready.phase, ready.cuda_version, ready.driver_version) == (Phase.READY, "12.8", "570")
    assert (len(ready.nodes), [held.id for held in ready.volumes]) == (2, [volume.id])
    assert "clusters:" in ready.kubeconfig
    await cloud.change_cluster(made.id, ClusterChanges(gpus=24))
    await cloud.resize_volume(volume.id, 3)
    assert (await cloud.get_cluster(made.id)).gpus == 24
    assert (await cloud.get_volume(volume.id)).size_tib == 3
    await cloud.delete_cluster(made.id)
    clock.now += HOUR
    assert await cloud.get_cluster(made.id) is None
    await cloud.delete_volume(volume.id)
    clock.now += HOUR
    assert (await cloud.list_clusters(), await cloud.list_volumes()) == ((), ())
    await cloud.delete_cluster(made.id)


@pytest.mark.parametrize("generation", ApiGeneration)
async def test_refusals_have_the_same_meaning_in_both_generations(generation, cloud_for):
    cloud = cloud_for(generation)
    sold_out = an_order(region="us-central-4", gpu_type="H200_SXM")
    assert (await failure_of(cloud.create_cluster(sold_out, deadline=FAR))).error is ErrorClass.OUT_OF_STOCK
    odd = an_order(gpus=7)
    assert (await failure_of(cloud.create_cluster(odd, deadline=FAR))).error is ErrorClass.BAD_REQUEST
    wrong = cloud_for(generation, key="wrong")
    assert (await failure_of(wrong.list_clusters())).error is ErrorClass.UNAUTHENTICATED
    poor = cloud_for(generation, key="simulated-key-penniless")
    assert (await failure_of(poor.create_cluster(an_order(), deadline=FAR))).error is ErrorClass.NO_CREDIT


@pytest.mark.parametrize("generation", ApiGeneration)
async def test_a_volume_of_another_partition_is_explained(generation, cloud_for, clock):
    cloud = cloud_for(generation)
    volume = await cloud.create_volume(VolumeOrder("ts-v", "us-central-4", 1), deadline=FAR)
    clock.now += HOUR
    order = an_order(region="us-central-4", volume_id=volume.id)
    failure = await failure_of(cloud.create_cluster(order, deadline=FAR))
    assert (failure.error, failure.known) == (ErrorClass.BAD_REQUEST, KnownMessage.VOLUME_ELSEWHERE)
    assert "partition" in failure.message


async def test_a_whole_order_is_understood_and_told_back(cloud_for, clock):
    cloud = cloud_for(ApiGeneration.G2, project_id="proj-acme")
    order = an_order(
        gpus=32,
        project_id="proj-acme",
        new_volume=VolumeOrder("ts-v", "us-central-8", 1, "proj-acme"),
        billing=BillingOrder("RESERVED", 30, reserved_gpus=16, preemptible_gpus=8),
        components=ComponentsOrder("NGINX", True, True, False, "v25.3", "v25.1"),
        add_ons=(AddOnOrder("headlamp"),),
        oidc=OIDCOrder("https://id.test", "client", "sub", "u:", "groups", "g:"),
        acceptance_tests=AcceptanceOrder("SHORT", 60, frozenset({"Storage", "GPUBurn"})),
    )
    made = await cloud.create_cluster(order, deadline=FAR)
    clock.now += 2 * HOUR
    cluster = await cloud.get_cluster(made.id)
    assert cluster.phase is Phase.READY
    assert (cluster.billing_type, cluster.reserved_gpus, cluster.desired_preemptible_gpus) == ("RESERVED", 16, 8)
    assert cluster.created < cluster.first_ready < cluster.reservation_end
    assert cluster.duration_hours == 30 * 24
    assert cluster.login == Login("https://id.test", "client", "sub", "u:", "groups", "g:")
    assert cluster.components.load_balancer == "NGINX"
    assert (cluster.components.ingress, cluster.components.dashboard) == (True, False)
    assert [(add_on.name, add_on.enabled) for add_on in cluster.add_ons] == [("headlamp", True)]
    assert "RUNNING" in {node.phase for node in cluster.nodes}
    await cloud.change_cluster(
        made.id, ClusterChanges(components=ComponentsOrder("ISTIO"), add_ons=(AddOnOrder("headlamp", False),))
    )
    assert (await cloud.get_cluster(made.id)).add_ons == ()


async def test_a_slurm_cluster_and_one_that_scales_itself_are_understood(cloud_for):
    cloud = cloud_for(ApiGeneration.G2)
    slurm = await cloud.create_cluster(an_order(slurm=SlurmOrder(64, "slurm:25")), deadline=FAR)
    assert (slurm.cluster_type, slurm.slurm_shared_memory_gib) == ("SLURM", 64)
    growing = await cloud.create_cluster(an_order("ts-b", max_gpus=32), deadline=FAR)
    assert (growing.cluster_type, growing.gpus) == ("KUBERNETES", 16)


async def test_a_node_is_repaired_and_a_proposal_approved(cloud_for, simulator, clock):
    cloud = cloud_for(ApiGeneration.G2)
    made = await cloud.create_cluster(an_order(), deadline=FAR)
    clock.now += HOUR
    first, second = (await cloud.get_cluster(made.id)).nodes
    repair = await cloud.create_remediation(made.id, first.instance_id, "REBOOT_VM", "two checks failed")
    assert (repair.mode, repair.state, repair.trigger) == ("REBOOT_VM", "PENDING", "MANUAL")
    node = f"/admin/clusters/{made.id}/nodes/{second.host_name}"
    await _admin(simulator, f"{node}/propose-remediation", {"mode": "REMEDIATION_MODE_VM_ONLY"})
    waiting = await cloud.list_remediations(made.id, RemediationFilter(states=("PENDING_APPROVAL",)))
    (proposed,) = waiting
    assert proposed.waits_for_approval
    await cloud.approve_remediation(made.id, proposed.instance_id, proposed.id, "by Tunesmith")
    clock.now += HOUR
    found = {each.id: each for each in await cloud.list_remediations(made.id)}
    assert set(found) == {repair.id, proposed.id}
    assert not any(each.open for each in found.values())


@pytest.mark.parametrize("generation", ApiGeneration)
@pytest.mark.parametrize(
    "effect",
    [
        Answer(status=502, after_effect=True),
        Answer(status=503, after_effect=True, retry_after=1),
        Cut(),
        Truncate(),
        Truncate(how="json"),
        Empty(),
        Empty(status=204),
    ],
    ids=repr,
)
async def test_a_purchase_whose_answer_was_lost_is_ambiguous_and_found_by_name(
    generation, effect, cloud_for, simulator
):
    await _arm(simulator, "POST clusters", effect)
    failure = await failure_of(cloud_for(generation).create_cluster(an_order(), deadline=FAR))
    assert failure.error is ErrorClass.AMBIGUOUS
    assert [found.name for found in await cloud_for(generation).list_clusters()] == ["ts-a"]


@pytest.mark.parametrize("generation", ApiGeneration)
async def test_a_read_outlives_what_passes(generation, cloud_for, simulator):
    cloud = cloud_for(generation, tries=3)
    for effect in (Answer(status=500), Cut(after_effect=False), Truncate(), Empty(), Answer(status=429)):
        await _arm(simulator, "LIST clusters", effect)
        assert await cloud.list_clusters() == ()


async def test_words_and_fields_of_next_year_are_read(cloud_for, simulator):
    cloud = cloud_for(ApiGeneration.G2)
    await cloud.create_cluster(an_order(), deadline=FAR)
    news = {"status": "Hibernating", "phase_transitions.*.phase": 7, "add_ons": "none", "mood": {"good": True}}
    await _arm(simulator, "LIST clusters", Rewrite(fields=news, without=("gpu_worker_nodes", "created_at")))
    (cluster,) = await cloud.list_clusters()
    assert (cluster.status, cluster.phase, cluster.nodes) == ("Hibernating", Phase.IN_PROGRESS, ())


async def _arm(simulator, route, effect):
    fault = Fault(route=route, effect=effect, next_requests=1)
    await _admin(simulator, "/admin/faults", fault.model_dump(mode="json"))


async def _admin(simulator, path, body):
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as http:
        (await http.post(path, json=body)).raise_for_status()
