"""The typed client of the admin API, against a simulator of its own process, as tests and demos use it."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import together
import yaml
from cryptography import x509

from tunesmith_simulator import happenings as happen
from tunesmith_simulator.admin_client import AdminClient, AdminError
from tunesmith_simulator.courses import ClusterCourse
from tunesmith_simulator.faults import Answer, Cut, Fault
from tunesmith_simulator.process import SimulatorProcess

SCENARIO = """
accounts: [{name: a, key: admin-client-key, projects: [p]}]
regions:
  - name: us-central-8
    stock: {H100_SXM: 64}
    drivers: [{id: nvidia-570-22, cuda_version: "12.8", nvidia_driver_version: "570"}]
seed: 5
clock: {starts_at: 2026-09-01T00:00:00Z}
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    directory = tmp_path_factory.mktemp("simulator")
    (directory / "scenario.yaml").write_text(SCENARIO)
    with SimulatorProcess(directory, scenario=str(directory / "scenario.yaml")) as running:
        yield running


@pytest.fixture
def admin(process):
    client = AdminClient(process.url)
    yield client
    client.clear_faults()


@pytest.fixture
def provider(process):
    return together.Together(api_key="admin-client-key", base_url=process.url, max_retries=0)


@pytest.fixture
def cluster(admin, provider, an_order):
    bought = provider.clusters.create(**an_order)
    admin.advance(3600)
    yield bought
    admin.happen(happen.DeleteOutside(cluster=bought.cluster_id, at_once=True))


def test_a_fault_is_armed_met_listed_and_cleared(admin, provider):
    armed = admin.arm_next("LIST clusters", Answer(status=503, retry_after=3))
    with pytest.raises(together.InternalServerError):
        provider.clusters.list()
    (state,) = admin.faults().faults
    assert (state.number, state.struck, state.spent) == (armed.number, 1, True)
    assert admin.clear_faults(armed.number).faults == ()
    assert admin.requests()[-1]["faults"] == [armed.number]


def test_a_cut_after_the_effect_leaves_a_cluster_that_nobody_was_told_of(admin, provider, an_order):
    admin.arm(Fault(route="POST clusters", effect=Cut(), next_requests=1))
    with pytest.raises(together.APIConnectionError):
        provider.clusters.create(**an_order)
    (left,) = provider.clusters.list().clusters
    admin.happen(happen.DeleteOutside(cluster=left.cluster_id, at_once=True))


def test_a_list_is_late_and_the_object_is_there(admin, provider, an_order):
    admin.advance(3600)  # what went before has long left the lists
    admin.happen(happen.ListsLag(appears_after_seconds=30, vanishes_after_seconds=60))
    bought = provider.clusters.create(**an_order)
    assert provider.clusters.list().clusters == []
    assert provider.clusters.retrieve(bought.cluster_id).cluster_id == bought.cluster_id
    admin.advance(30)
    assert len(provider.clusters.list().clusters) == 1
    admin.happen(happen.DeleteOutside(cluster=bought.cluster_id, at_once=True))
    assert len(provider.clusters.list().clusters) == 1
    with pytest.raises(together.NotFoundError):
        provider.clusters.retrieve(bought.cluster_id)
    admin.advance(60)
    assert provider.clusters.list().clusters == []


def test_a_happening_is_planned_and_happens_when_its_time_comes(admin, provider, cluster):
    planned = admin.happen(happen.FailNode(cluster=cluster.cluster_id, node=0), in_seconds=100)
    assert planned.planned_at == admin.clock().time + timedelta(seconds=100)
    assert [each.title for each in admin.happenings().planned] == [f"fail_node cluster={cluster.cluster_id} node=0"]
    admin.advance(100)
    assert provider.clusters.retrieve(cluster.cluster_id).status == "Degraded"
    assert admin.happenings().happened[-1].touched == (cluster.gpu_worker_nodes[0].host_name,)


def test_what_nothing_can_happen_to_is_told(admin):
    with pytest.raises(AdminError, match="nothing that 'fail_node cluster=nobody' could happen to"):
        admin.happen(happen.FailNode(cluster="nobody"))


def test_a_cluster_takes_another_course(admin, provider, an_order):
    admin.happen(happen.TakeCourse(course=ClusterCourse(cluster_name="stuck", never_leaves=("INSTALLING_DRIVERS",))))
    bought = provider.clusters.create(**(an_order | {"cluster_name": "stuck"}))
    admin.advance(86_400)
    assert provider.clusters.retrieve(bought.cluster_id).status == "InstallingDrivers"
    admin.happen(happen.DeleteOutside(cluster="stuck", at_once=True))


def test_a_certificate_ends_when_it_was_told_to(admin, provider, cluster):
    admin.renew_certificate(cluster.cluster_id, valid_seconds=90)
    told = yaml.safe_load(base64.b64decode(provider.clusters.retrieve(cluster.cluster_id).kube_config))
    pem = base64.b64decode(told["users"][0]["user"]["client-certificate-data"])
    ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    assert timedelta(0) < ends - datetime.now(UTC) <= timedelta(seconds=90)
    with pytest.raises(AdminError, match="not found"):
        admin.renew_certificate("nobody", valid_seconds=90)


def test_a_kubeconfig_and_a_speed_are_set(admin, provider, cluster):
    admin.tell_kubeconfig(cluster.cluster_id, "not: one")
    assert base64.b64decode(provider.clusters.retrieve(cluster.cluster_id).kube_config) == b"not: one"
    admin.set_speed(10)
    assert admin.state()["speed"] == 10
    admin.set_speed(1)


def test_a_volume_in_another_partition_makes_the_create_fail_in_the_providers_words(admin, provider, an_order):
    admin.happen(happen.SetVolumePartition(region="us-central-8", partition="z"))
    volume = provider.clusters.storage.create(region="us-central-8", size_tib=1, volume_name="data")
    with pytest.raises(together.BadRequestError, match="does not exist in the datacenter"):
        provider.clusters.create(**an_order, volume_id=volume.volume_id)


def test_a_project_without_credit_buys_nothing(admin, provider, an_order):
    admin.happen(happen.Credit(project="p", has_credit=False))
    with pytest.raises(together.APIStatusError, match="insufficient credit"):
        provider.clusters.create(**an_order)
    admin.happen(happen.Credit(project="p", has_credit=True))


def test_a_simulator_that_is_not_there_is_told():
    with pytest.raises(AdminError, match="does not answer"):
        AdminClient("http://127.0.0.1:9").clock()
