"""The provider's API over HTTP: what is asked, what is understood, and what each failure means for money."""

import asyncio
import base64
import json

import httpx
import pytest
from tests.unit.canary import KEY
from tests.unit.tunesmith.cloud.clouds import FAR, a_cloud, answering, failure_of

from tunesmith.cloud import transport
from tunesmith.cloud.errors import retry_after_seconds
from tunesmith.cloud.limiter import RateLimiter
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import ClusterOrder, VolumeOrder
from tunesmith.planning.provider import Phase

ORDER = ClusterOrder("ts-a", "us-central-8", "H100_SXM", 8, driver_version_id="nvidia-595-22", project_id="p-1")
CLUSTER = {
    "cluster_id": "c-1",
    "cluster_name": "ts-a",
    "status": "SomethingNew",
    "region": "us-central-8",
    "gpu_type": "H100_SXM",
    "num_gpus": 8,
    "kube_config": base64.b64encode(b"apiVersion: v1").decode(),
    "volumes": [{"volume_id": "v-1", "volume_name": "data", "size_tib": 1, "status": "bound"}],
    "phase_transitions": [{"phase": "CLUSTER_PHASE_QUEUED", "transition_time": "2026-01-01T00:00:00Z"}],
    "a_field_of_next_year": {"x": 1},
}


async def test_a_cluster_is_read_tolerantly():
    (cluster,) = await a_cloud(answering(200, {"clusters": [CLUSTER]})).list_clusters()
    assert (cluster.id, cluster.phase, cluster.kubeconfig) == ("c-1", Phase.IN_PROGRESS, "apiVersion: v1")
    assert cluster.volumes[0].id == "v-1"
    assert "apiVersion" not in repr(cluster)


async def test_the_list_names_the_project_and_the_key():
    requests = []

    def answer(request):
        requests.append(request)
        return httpx.Response(200, json={"clusters": []})

    await a_cloud(answer).list_clusters()
    (request,) = requests
    assert request.url == "https://provider.test/v1/compute/clusters?projectId=p-1"
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "clusters", [None, "none", [{"cluster_name": "x"}], [{"cluster_id": "", "cluster_name": "x"}], [[]], {"a": 1}]
)
async def test_a_body_without_a_whole_list_is_not_an_empty_list(clusters):
    for body in ({"clusters": clusters}, {}, []):
        failure = await failure_of(a_cloud(answering(200, body)).list_clusters())
        assert failure.error is ErrorClass.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"message": "cuda version and nvidia driver version are required"}, ErrorClass.BAD_REQUEST),
        (401, {}, ErrorClass.UNAUTHENTICATED),
        (402, {}, ErrorClass.NO_CREDIT),
        (403, {}, ErrorClass.FORBIDDEN),
        (404, {}, ErrorClass.NOT_FOUND),
        (409, {"code": 8, "message": "Out of stock"}, ErrorClass.OUT_OF_STOCK),
        (409, {"message": "something else"}, ErrorClass.AMBIGUOUS),
        (408, {}, ErrorClass.AMBIGUOUS),
        (422, {}, ErrorClass.BAD_REQUEST),
        (429, {}, ErrorClass.RATE_LIMITED),
        (500, {}, ErrorClass.AMBIGUOUS),
        (503, {}, ErrorClass.AMBIGUOUS),
        (200, {"cluster_name": "without an id"}, ErrorClass.AMBIGUOUS),
        (302, {}, ErrorClass.AMBIGUOUS),
    ],
)
async def test_what_an_answer_to_a_create_means(status, body, expected):
    failure = await failure_of(a_cloud(answering(status, body)).create_cluster(ORDER, deadline=FAR))
    assert failure.error is expected
    assert "cuda" not in failure.message


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (httpx.ConnectError("refused"), ErrorClass.NOT_SENT),
        (httpx.ConnectTimeout("slow"), ErrorClass.NOT_SENT),
        (httpx.ReadTimeout("slow"), ErrorClass.AMBIGUOUS),
        (httpx.WriteError("cut"), ErrorClass.AMBIGUOUS),
        (httpx.RemoteProtocolError("gone"), ErrorClass.AMBIGUOUS),
    ],
)
async def test_only_a_connection_that_never_stood_proves_that_nothing_was_sent(cause, expected):
    def answer(request):
        raise cause

    assert (await failure_of(a_cloud(answer).create_cluster(ORDER, deadline=FAR))).error is expected


async def test_a_create_is_sent_once_and_never_after_its_deadline():
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        return httpx.Response(503)

    cloud = a_cloud(answer, clock=lambda: 10.0)
    assert (await failure_of(cloud.create_cluster(ORDER, deadline=9.0))).error is ErrorClass.NOT_SENT
    assert sent == []
    await failure_of(cloud.create_cluster(ORDER, deadline=11.0))
    (body,) = sent
    assert body == {
        "billing_type": "ON_DEMAND",
        "cluster_type": "KUBERNETES",
        "cluster_name": "ts-a",
        "region": "us-central-8",
        "gpu_type": "H100_SXM",
        "num_gpus": 8,
        "nvidia_version_id": "nvidia-595-22",
        "project_id": "p-1",
    }


async def test_an_inline_volume_outlives_its_cluster():
    bodies = []

    def answer(request):
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json=CLUSTER)

    order = ClusterOrder("ts-a", "r", "g", 8, new_volume=VolumeOrder("ts-v", "r", 2))
    await a_cloud(answer).create_cluster(order, deadline=FAR)
    assert bodies[0]["shared_volume"] == {
        "volume_name": "ts-v",
        "region": "r",
        "size_tib": 2,
        "is_lifecycle_independent": True,
    }


async def test_a_provider_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.0)

    async def answer(request):
        await asyncio.Event().wait()

    cloud = a_cloud(answer, request_seconds=0.01)
    assert (await failure_of(cloud.list_clusters())).error is ErrorClass.UNAVAILABLE
    assert (await failure_of(cloud.create_cluster(ORDER, deadline=FAR))).error is ErrorClass.AMBIGUOUS


async def test_an_answer_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(transport, "LONGEST_ANSWER_BYTES", 100)
    cloud = a_cloud(lambda request: httpx.Response(200, text="[" * 1000))
    assert (await failure_of(cloud.list_clusters())).error is ErrorClass.UNAVAILABLE


async def test_absent_is_only_what_a_404_says():
    assert await a_cloud(answering(404)).get_cluster("c-1") is None
    for status in (401, 403, 500, 503):
        await failure_of(a_cloud(answering(status)).get_cluster("c-1"))


async def test_deleting_what_is_gone_is_done():
    await a_cloud(answering(404)).delete_cluster("c-1")
    assert (await failure_of(a_cloud(answering(500)).delete_cluster("c-1"))).error is ErrorClass.UNAVAILABLE


async def test_a_redirect_is_not_followed():
    seen = []

    def answer(request):
        seen.append(request.url.host)
        return httpx.Response(302, headers={"location": "https://elsewhere.test/"})

    await failure_of(a_cloud(answer).list_clusters())
    assert seen == ["provider.test"]


async def test_volumes_are_grown_by_the_id_in_the_body():
    sent = []

    def answer(request):
        sent.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={})

    await a_cloud(answer).resize_volume("v-1", 3)
    assert sent == [("PUT", "/v1/compute/clusters/storage/volumes", {"volume_id": "v-1", "size_tib": 3})]


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", None), ("soon", None), (None, None), ("99999", 3600.0)]
)
def test_retry_after_in_seconds(header, seconds):
    assert retry_after_seconds(header) == seconds


async def test_the_limiter_lets_a_burst_pass_and_then_paces():
    now, slept = [0.0], []

    async def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    limiter = RateLimiter(2.0, 3, monotonic=lambda: now[0], sleep=sleep)
    await asyncio.gather(*(limiter.take() for _ in range(5)))
    assert slept == [0.5, 0.5]
