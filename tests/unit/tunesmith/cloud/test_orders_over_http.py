"""What a spec orders, bought from the simulated provider over HTTP: read back as wanted, and changed as it allows."""

import time
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.tunesmith.cloud.clouds import a_gate, failure_of
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    NAME,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
)

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.g2 import G2Cloud
from tunesmith.cloud.transport import Transport
from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_changes import wanted_changes
from tunesmith.planning.cluster_drift import differences
from tunesmith.planning.cluster_order import cluster_order, components_hash
from tunesmith.planning.decision import ErrorClass, KnownMessage
from tunesmith.planning.provider import Credential
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SCHEDULED = {"type": "ScheduledCapacity", "startTime": "2026-02-01T00:00:00Z", "endTime": "2026-03-01T00:00:00Z"}
OIDC = {"issuerURL": "https://id.example.com", "clientID": "gpus"}


@pytest.fixture
async def simulator():
    async with Simulator(scenarios.named("default"), clock=lambda: NOW) as running:
        yield running


@pytest.fixture
def project():
    return scenarios.named("default").accounts[0].projects[0]


@pytest.fixture
async def cloud(simulator, project):
    transport = Transport(
        f"{simulator.url}/v1",
        ApiCredential(SecretStr(simulator.key), project),
        gate=a_gate(time.monotonic),
        monotonic=time.monotonic,
        http=httpx.AsyncHTTPTransport(),
    )
    yield G2Cloud(transport)
    await transport.close()


async def observed(cloud, project, found=None, **spec):
    """What is decided on, with the regions that this provider has and the cluster that it shows."""
    resource = a_cluster_resource(
        status={"createIntent": {**INTENT, "region": None}} if found is None else bought_status(clusterID=found.id),
        **spec,
    )
    if found is not None:
        asked = resource.status.model_copy(update={"components_hash": components_hash(resource.spec)})
        resource = resource.model_copy(update={"status": asked})
    regions = await cloud.list_regions()
    view = a_view(found or a_provider_cluster("other", "other"), regions=regions)
    assert isinstance(view.regions, Known)
    return a_running_cluster(resource=resource, view=view, credential=Credential("key-1", project))


async def bought(cloud, project, **spec):
    """The cluster as the provider lists it after the order of this spec."""
    seen = await observed(cloud, project, **spec)
    made = await cloud.create_cluster(cluster_order(seen, str(NAME)), deadline=time.monotonic() + 30)
    return next(each for each in await cloud.list_clusters() if each.id == made.id)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"nodes": 2, "driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
        {"billing": {"type": "Reserved", "durationDays": 30}},
        {"nodes": 2, "billing": {"type": "Reserved", "durationDays": 30, "reservedNodes": 1}},
        {"billing": SCHEDULED},
        {"nodes": 1, "maxNodes": 2},
        {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}},
        {"components": {"loadBalancer": "Traefik", "dashboard": "Enabled", "observability": "Disabled"}},
        {"addOns": [{"name": "headlamp"}]},
        {"oidc": OIDC},
        {"acceptanceTests": {"dcgmLevel": "Long", "skip": ["Storage"]}},
    ],
    ids=lambda spec: "-".join(spec) or "bare",
)
async def test_what_was_ordered_is_read_back_as_wanted_and_nothing_is_left_to_change(cloud, project, spec):
    cluster = await bought(cloud, project, **spec)
    seen = await observed(cloud, project, cluster, **spec)
    assert (differences(seen, cluster), wanted_changes(seen, cluster)) == ((), None)


async def test_preemptible_nodes_are_bought_in_their_project(cloud, project):
    spec = {"nodes": 3, "projectID": project, "billing": {"preemptibleNodes": 1}}
    cluster = await bought(cloud, project, **spec)
    seen = await observed(cloud, project, cluster, **spec)
    assert (cluster.gpus, cluster.desired_preemptible_gpus) == (16, 8), "they come alongside, when there are some"
    assert (differences(seen, cluster), wanted_changes(seen, cluster)) == ((), None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"billing": SCHEDULED}, {"billing": {**SCHEDULED, "endTime": "2026-04-01T00:00:00Z"}}),
        (
            {"nodes": 2, "billing": {"type": "Reserved", "durationDays": 30, "reservedNodes": 1}},
            {"nodes": 2, "billing": {"type": "Reserved", "durationDays": 30, "reservedNodes": 2}},
        ),
        ({"components": {"dashboard": "Disabled"}}, {"components": {"dashboard": "Enabled"}}),
        ({"addOns": [{"name": "headlamp"}]}, {"addOns": [{"name": "headlamp", "enabled": False}]}),
    ],
    ids=["endTime", "reservedNodes", "components", "addOns"],
)
async def test_what_may_change_is_changed_by_one_request(cloud, project, before, after):
    cluster = await bought(cloud, project, **before)
    changes = wanted_changes(await observed(cloud, project, cluster, **after), cluster)
    await cloud.change_cluster(cluster.id, changes)
    changed = next(each for each in await cloud.list_clusters() if each.id == cluster.id)
    assert wanted_changes(await observed(cloud, project, changed, **after), changed) is None


async def test_out_of_stock_is_a_definite_refusal_that_leaves_nothing_behind(cloud, project):
    seen = await observed(cloud, project, nodes=4000)
    order = cluster_order(seen, str(NAME))
    failure = await failure_of(cloud.create_cluster(order, deadline=time.monotonic() + 30))
    assert (failure.error, failure.known) == (ErrorClass.OUT_OF_STOCK, KnownMessage.OUT_OF_STOCK)
    assert await cloud.list_clusters() == ()
