"""Generation G2 on the wire: every field that our facts hold, every field that our orders say, and what is unknown."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tunesmith.cloud.clouds import FAR, a_cloud, answering, failure_of

from tunesmith.cloud.g2_answers import read_cluster, read_clusters
from tunesmith.cloud.g2_bodies import changes_body, cluster_body
from tunesmith.cloud.g2_remediations import RemediationFilter
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import (
    AcceptanceOrder,
    AddOnOrder,
    BillingOrder,
    ClusterChanges,
    ClusterOrder,
    ComponentsOrder,
    OIDCOrder,
    SlurmOrder,
)
from tunesmith.planning.provider import AddOn, Alert, InstalledComponents, Login, NodeEvent, Phase, PhaseTransition

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=30)


def phases(*names, prefix="NODE_PHASE_"):
    """Steps of a life, one a minute from noon."""
    return [
        {"phase": prefix + name, "transition_time": (NOON + timedelta(minutes=minute)).isoformat()}
        for minute, name in enumerate(names)
    ]


WHOLE = {
    "cluster_id": "c-1",
    "cluster_name": "ts-a",
    "status": "Ready",
    "region": "us-central-8",
    "gpu_type": "H100_SXM",
    "num_gpus": 16,
    "project_id": "p-1",
    "billing_type": "RESERVED",
    "cluster_type": "SLURM",
    "created_at": "2026-05-01T12:00:00Z",
    "first_ready_at": "2026-05-01T12:20:00Z",
    "reservation_start_time": "2026-05-01T12:00:00Z",
    "reservation_end_time": "2026-05-31T12:00:00Z",
    "duration_hours": 720,
    "slurm_shm_size_gib": 64,
    "oidc_config": {
        "issuer_url": "https://id",
        "client_id": "c",
        "username_claim": "sub",
        "username_prefix": "u:",
        "group_claim": "groups",
        "group_prefix": "g:",
        "ca_cert": "PEM",
    },
    "num_reserved_gpus": 8,
    "desired_preemptible_gpus": 8,
    "allocated_preemptible_gpus": 0,
    "num_capacity_pool_gpus": 8,
    "capacity_pool_id": "pool-1",
    "control_plane_ready": True,
    "phase_transitions": phases("QUEUED", "READY", prefix="CLUSTER_PHASE_"),
    "gpu_worker_nodes": [
        {
            "node_id": "n-1",
            "host_name": "gpu-preemptible-dp-1",
            "instance_id": "i-1",
            "status": "Running",
            "num_gpus": 8,
            "marked_for_deletion": True,
            "phase_transitions": phases("PENDING", "RUNNING"),
        }
    ],
    "deleted_gpu_worker_nodes": [
        {"node_id": "n-0", "host_name": "gpu-dp-0", "status": "Deleted", "deleted_at": "2026-05-01T12:10:00Z"}
    ],
    "node_lifecycle_events": [
        {
            "node_id": "n-1",
            "reason": "TogetherPreemptionNotified",
            "message": "soon",
            "timestamp": "2026-05-01T13:00:00Z",
        }
    ],
    "cluster_config": {
        "load_balancer": "ISTIO",
        "ingress": {"enabled": True},
        "observability": {"enabled": False},
        "kubernetes_dashboard_enabled": True,
        "gpu_operator_version": "v25.3",
        "network_operator_version": "v25.1",
    },
    "add_ons": [
        {"name": "headlamp", "add_on_type": "headlamp", "config": {"headlamp": {"enabled": True}}, "state": {}},
        {"name": "slurm_web", "add_on_type": "slurm_web", "config": {"slurm_web": {"enabled": False}}},
    ],
    "volumes": [],
}


def test_a_cluster_is_read_whole():
    cluster = read_cluster(WHOLE)
    assert (cluster.cluster_type, cluster.billing_type, cluster.phase) == ("SLURM", "RESERVED", Phase.READY)
    assert (cluster.created, cluster.first_ready) == (NOON, NOON + timedelta(minutes=20))
    assert (cluster.reservation_start, cluster.reservation_end) == (NOON, LATER)
    assert (cluster.reserved_gpus, cluster.desired_preemptible_gpus, cluster.allocated_preemptible_gpus) == (8, 8, 0)
    assert (cluster.capacity_pool_id, cluster.capacity_pool_gpus) == ("pool-1", 8)
    assert (cluster.duration_hours, cluster.slurm_shared_memory_gib) == (720, 64)
    assert cluster.login == Login("https://id", "c", "sub", "u:", "groups", "g:", "PEM")
    assert cluster.control_plane_ready is True
    assert cluster.latest_phase == PhaseTransition("CLUSTER_PHASE_READY", NOON + timedelta(minutes=1))
    assert cluster.events == (NodeEvent("n-1", "TogetherPreemptionNotified", "soon", NOON + timedelta(hours=1)),)
    assert cluster.components == InstalledComponents("ISTIO", True, False, True, "v25.3", "v25.1")
    assert cluster.add_ons == (AddOn("headlamp", "headlamp", True), AddOn("slurm_web", "slurm_web", False))


def test_a_node_is_read_with_its_newest_phase_and_a_gone_one_with_its_end():
    cluster = read_cluster(WHOLE)
    (node,), (gone,) = cluster.nodes, cluster.deleted_nodes
    assert (node.phase, node.phase_since) == ("RUNNING", NOON + timedelta(minutes=1))
    assert [step.phase for step in node.phases] == ["PENDING", "RUNNING"]
    assert (node.instance_id, node.gpus, node.marked_for_deletion, node.preemptible) == ("i-1", 8, True, True)
    assert (gone.id, gone.deleted, gone.phase) == ("n-0", NOON + timedelta(minutes=10), "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LENIENT = sorted(
    {"created_at", "first_ready_at", "reservation_start_time", "reservation_end_time", "control_plane_ready"}
    | {"phase_transitions", "gpu_worker_nodes", "deleted_gpu_worker_nodes", "node_lifecycle_events"}
    | {"cluster_config", "add_ons", "capacity_pool_id", "kube_config"}
)


@given(st.dictionaries(st.sampled_from(LENIENT), JSON), st.dictionaries(st.text(min_size=30), JSON, max_size=2))
def test_no_form_of_a_detail_and_no_new_field_hides_a_cluster(details, news):
    body = {"clusters": [WHOLE | news | details]}
    (cluster,) = read_clusters(body)
    assert (cluster.id, cluster.name, cluster.gpus) == ("c-1", "ts-a", 16)


@given(st.text())
def test_a_status_that_nobody_knows_is_in_progress(status):
    known = {"Ready", "Degraded", "Paused", "OnDemandComputePaused", "Deleting"}
    assert status in known or read_cluster(WHOLE | {"status": status}).phase is Phase.IN_PROGRESS


def test_a_node_that_is_not_understood_does_not_hide_its_neighbour():
    body = WHOLE | {"gpu_worker_nodes": ["what", {"host_name": ["odd"], "node_id": "n-2"}, None]}
    assert [node.id for node in read_cluster(body).nodes] == ["n-2"]


def test_an_order_is_sent_whole():
    order = ClusterOrder(
        "ts-a",
        "us-central-8",
        "H100_SXM",
        16,
        cuda_version="12.8",
        driver_version="570",
        project_id="p-1",
        volume_id="v-1",
        billing=BillingOrder("SCHEDULED_CAPACITY", None, NOON, LATER, 8, 8, "pool-1", 8),
        slurm=SlurmOrder(64, "slurm:25"),
        max_gpus=32,
        components=ComponentsOrder("TRAEFIK", True, False, True, "v25.3", "v25.1"),
        add_ons=(AddOnOrder("headlamp"), AddOnOrder("slurm_web", False)),
        oidc=OIDCOrder("https://id.test", "client", "sub", "u:", "groups", "g:", "PEM"),
        acceptance_tests=AcceptanceOrder("LONG", 600, frozenset({"DCGM", "NCCLMultiNode"})),
    )
    assert cluster_body(order) == {
        "cluster_name": "ts-a",
        "cluster_type": "SLURM",
        "region": "us-central-8",
        "gpu_type": "H100_SXM",
        "num_gpus": 16,
        "cuda_version": "12.8",
        "nvidia_driver_version": "570",
        "project_id": "p-1",
        "volume_id": "v-1",
        "billing_type": "SCHEDULED_CAPACITY",
        "reservation_start_time": "2026-05-01T12:00:00+00:00",
        "reservation_end_time": "2026-05-31T12:00:00+00:00",
        "num_reserved_gpus": 8,
        "num_preemptible_gpus": 8,
        "num_capacity_pool_gpus": 8,
        "capacity_pool_id": "pool-1",
        "slurm_shm_size_gib": 64,
        "slurm_image": "slurm:25",
        "auto_scale": True,
        "auto_scale_max_gpus": 32,
        "cluster_config": {
            "load_balancer": "TRAEFIK",
            "ingress": {"enabled": True},
            "observability": {"enabled": False},
            "kubernetes_dashboard_enabled": True,
            "gpu_operator_version": "v25.3",
            "network_operator_version": "v25.1",
        },
        "add_ons": [
            {"add_on_type": "headlamp", "name": "headlamp", "config": {"headlamp": {"enabled": True}}},
            {"add_on_type": "slurm_web", "name": "slurm_web", "config": {"slurm_web": {"enabled": False}}},
        ],
        "oidc_config": {
            "issuer_url": "https://id.test",
            "client_id": "client",
            "username_claim": "sub",
            "username_prefix": "u:",
            "group_claim": "groups",
            "group_prefix": "g:",
            "ca_cert": "PEM",
        },
        "acceptance_tests_params": {
            "enabled": True,
            "dcgm_diag_level": "DCGM_DIAG_LEVEL_LONG",
            "gpu_burn_duration": 600,
            "dcgm_diag_skipped": True,
            "nccl_multi_node_skipped": True,
        },
    }


def test_a_change_says_only_what_is_to_be_different():
    assert changes_body(ClusterChanges(gpus=8)) == {"num_gpus": 8}
    assert changes_body(
        ClusterChanges(
            reserved_gpus=0,
            preemptible_gpus=8,
            capacity_pool_gpus=16,
            reservation_end=LATER,
            components=ComponentsOrder(dashboard=False),
            add_ons=(AddOnOrder("headlamp", False),),
        )
    ) == {
        "num_reserved_gpus": 0,
        "num_preemptible_gpus": 8,
        "num_capacity_pool_gpus": 16,
        "reservation_end_time": "2026-05-31T12:00:00+00:00",
        "cluster_config": {"load_balancer": "NONE", "kubernetes_dashboard_enabled": False},
        "add_ons": [{"name": "headlamp", "config": {"headlamp": {"enabled": False}}}],
    }


REMEDIATION = {
    "id": "r-1",
    "cluster_id": "c-1",
    "instance_id": "i-1",
    "mode": "REMEDIATION_MODE_REBOOT_VM",
    "state": "PENDING_APPROVAL",
    "trigger": "REMEDIATION_TRIGGER_AUTOMATED",
    "create_time": "2026-05-01T12:00:00Z",
    "linked_alerts": [
        {
            "alert_name": "DmesgXidError",
            "severity": "PHC_SEVERITY_CRITICAL",
            "started_at": "2026-05-01T12:00:00Z",
            "annotation": {"summary_line": "Xid 79", "title": "Xid", "description": "a GPU fell off the bus"},
        }
    ],
}


def paging(*pages):
    """Answers one page after the other, and keeps what was asked."""
    asked = []

    def answer(request):
        asked.append(request)
        rest = len(pages) - len(asked)
        token = {"has_next": rest > 0, "next_page_token": f"after-{len(asked)}" if rest else ""}
        return httpx.Response(200, json={"remediations": pages[len(asked) - 1], **token})

    return answer, asked


async def test_repairs_are_read_page_by_page_with_their_alerts():
    answer, asked = paging([REMEDIATION], [], [REMEDIATION | {"id": "r-2", "state": "A_STATE_OF_NEXT_YEAR"}])
    first, last = await a_cloud(answer).list_remediations("c-1")
    assert [str(request.url.params.get("page_token")) for request in asked] == ["None", "after-1", "after-2"]
    assert asked[0].url.path == "/v1/compute/clusters/c-1/instances/-/remediations"
    assert (first.mode, first.trigger, first.waits_for_approval) == ("REBOOT_VM", "AUTOMATED", True)
    assert first.alerts == (Alert("DmesgXidError", "CRITICAL", NOON, None, "Xid 79"),)
    assert last.open


async def test_repairs_are_filtered_by_the_words_of_the_provider():
    answer, asked = paging([])
    only = RemediationFilter(("VM_ONLY", "REBOOT_VM"), ("PENDING",), ("MANUAL",), "i/1")
    await a_cloud(answer).list_remediations("c-1", only)
    assert asked[0].url.raw_path.startswith(b"/v1/compute/clusters/c-1/instances/i%2F1/remediations?")
    assert asked[0].url.params["mode"] == "REMEDIATION_MODE_VM_ONLY,REMEDIATION_MODE_REBOOT_VM"
    assert (asked[0].url.params["state"], asked[0].url.params["trigger"]) == ("PENDING", "REMEDIATION_TRIGGER_MANUAL")


async def test_pages_that_never_end_are_no_list():
    forever = {"remediations": [REMEDIATION], "has_next": True, "next_page_token": "again"}
    failure = await failure_of(a_cloud(answering(200, forever)).list_remediations("c-1"))
    assert failure.error is ErrorClass.UNAVAILABLE


async def test_a_node_is_repaired_by_its_instance():
    sent = []

    def answer(request):
        sent.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json=REMEDIATION | {"state": "PENDING"})

    cloud = a_cloud(answer)
    made = await cloud.create_remediation("c-1", "i-1", "REBOOT_VM", "two checks failed")
    await cloud.approve_remediation("c-1", "i-1", "r-1", "by Tunesmith")
    await cloud.reject_remediation("c-1", "i-1", "r-1", "no")
    await cloud.cancel_remediation("c-1", "i-1", "r-1")
    base = "/v1/compute/clusters/c-1/instances/i-1/remediations"
    assert (made.id, made.state) == ("r-1", "PENDING")
    assert sent == [
        ("POST", base, {"mode": "REMEDIATION_MODE_REBOOT_VM", "reason": "two checks failed"}),
        ("POST", f"{base}/r-1/approve", {"comment": "by Tunesmith"}),
        ("POST", f"{base}/r-1/reject", {"comment": "no"}),
        ("POST", f"{base}/r-1/cancel", {}),
    ]


async def test_a_repair_that_may_have_been_heard_is_ambiguous():
    failure = await failure_of(a_cloud(answering(502)).create_remediation("c-1", "i-1", "REBOOT_VM", "why"))
    assert failure.error is ErrorClass.AMBIGUOUS


@pytest.mark.parametrize("hostile", ["..", ".", "a/b", "x?y=1", "c-1#", "%2e%2e", "ü"])
async def test_an_id_never_leaves_its_segment_of_the_path(hostile):
    asked = []

    def answer(request):
        asked.append(request.url.raw_path)
        return httpx.Response(404)

    assert await a_cloud(answer).get_cluster(hostile) is None
    (path,) = asked
    assert path.startswith(b"/v1/compute/clusters/")
    assert path.count(b"/") == 4
    assert not path.endswith((b"/.", b"/.."))


async def test_a_create_that_is_answered_by_another_shape_is_ambiguous():
    order = ClusterOrder("ts-a", "r", "g", 8)
    for body in (None, [], {"cluster_id": 7}, {"cluster_id": "", "cluster_name": "x"}, "done"):
        answer = a_cloud(lambda request, body=body: httpx.Response(200, json=body))
        assert (await failure_of(answer.create_cluster(order, deadline=FAR))).error is ErrorClass.AMBIGUOUS
