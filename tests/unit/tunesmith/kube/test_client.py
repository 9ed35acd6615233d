"""The verbs, over real HTTP."""

from __future__ import annotations

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CONFIG_MAP, GPU_CLUSTER, POD
from tunesmith.kube.transport import Transport
from tunesmith.planning.decision import ErrorClass

from .conftest import ApiStub, failure

CONFIG_MAPS = "/api/v1/namespaces/team/configmaps"


def a_config_map(name: str = "a", **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team", "name": name}, "data": data}


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        (POD, ("team", "a", "log"), "/api/v1/namespaces/team/pods/a/log"),
        (POD, (None, None, None), "/api/v1/pods"),
        (GPU_CLUSTER, ("team", "a", "status"), "/apis/tunesmith.dev/v1alpha1/namespaces/team/gpuclusters/a/status"),
        (POD, ("../x", "a/b", None), "/api/v1/namespaces/..%2Fx/pods/a%2Fb"),
    ],
)
def test_paths_are_those_of_the_api_and_their_segments_cannot_escape(
    kind: object, arguments: object, path: str
) -> None:
    assert kind.path(*arguments) == path


async def test_what_does_not_exist_is_none(kube: Kube) -> None:
    assert await kube.get(CONFIG_MAP, "team", "nobody") is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ErrorClass.BAD_REQUEST),
        (401, ErrorClass.UNAUTHENTICATED),
        (403, ErrorClass.FORBIDDEN),
        (409, ErrorClass.CONFLICT),
        (422, ErrorClass.INVALID),
        (429, ErrorClass.RATE_LIMITED),
        (500, ErrorClass.UNAVAILABLE),
        (503, ErrorClass.UNAVAILABLE),
    ],
)
async def test_every_refusal_has_a_class_and_a_message_of_ours(
    kube: Kube, stub: ApiStub, status: int, error: ErrorClass
) -> None:
    stub.answers.append(failure(status, **{"Retry-After": "7"}))
    with pytest.raises(KubeError) as raised:
        await kube.get(CONFIG_MAP, "team", "a")
    assert raised.value.failure.error is error
    assert raised.value.failure.retry_after_seconds == 7
    assert "text of the server" not in raised.value.failure.message
    assert "get ConfigMap team/a" in raised.value.failure.message


async def test_a_server_that_does_not_answer_is_given_up_in_time(address: str, stub: ApiStub) -> None:
    stub.silent = True
    kube = Kube(Transport(ApiClient(Configuration(host=address)), request_seconds=0.1))
    with pytest.raises(KubeError) as raised:
        await kube.get(CONFIG_MAP, "team", "a")
    await kube.close()
    assert raised.value.failure.error is ErrorClass.UNAVAILABLE


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    kube = Kube(Transport(ApiClient(Configuration(host="http://127.0.0.1:1"))))
    with pytest.raises(KubeError) as raised:
        await kube.get(CONFIG_MAP, "team", "a")
    await kube.close()
    assert raised.value.failure.error is ErrorClass.UNAVAILABLE


async def test_listed_items_say_what_they_are(kube: Kube, stub: ApiStub) -> None:
    stub.put(f"{CONFIG_MAPS}/a", a_config_map())
    listing = await kube.list(CONFIG_MAP, "team")
    assert (listing.items[0]["apiVersion"], listing.items[0]["kind"]) == ("v1", "ConfigMap")
    assert listing.resource_version == str(stub.version)


async def test_an_answer_that_comes_in_many_parts_is_read_whole(kube: Kube, stub: ApiStub) -> None:
    stub.put(f"{CONFIG_MAPS}/a", a_config_map(text="x" * 3_000_000))
    found = await kube.get(CONFIG_MAP, "team", "a")
    assert found is not None
    assert len(found["data"]["text"]) == 3_000_000


async def test_a_list_is_put_together_from_its_pages(kube: Kube, stub: ApiStub) -> None:
    for name, token in (("a", "next"), ("b", "")):
        metadata = {"resourceVersion": "5", "continue": token}
        stub.answers.append(web.json_response({"items": [a_config_map(name)], "metadata": metadata}))
    listing = await kube.list(CONFIG_MAP, "team")
    assert [raw["metadata"]["name"] for raw in listing.items] == ["a", "b"]
    assert "continue=next" in stub.requests[1][1]


async def test_a_continuation_that_expired_is_answered_by_one_whole_list(kube: Kube, stub: ApiStub) -> None:
    stub.put(f"{CONFIG_MAPS}/a", a_config_map("a"))
    page = {"items": [], "metadata": {"resourceVersion": "5", "continue": "old"}}
    stub.answers += [web.json_response(page), failure(410)]
    listing = await kube.list(CONFIG_MAP, "team")
    assert [raw["metadata"]["name"] for raw in listing.items] == ["a"]
    assert "limit" not in stub.requests[-1][1]


async def test_deleting_what_is_gone_or_another_object_by_now_is_no_error(kube: Kube, stub: ApiStub) -> None:
    assert not await kube.delete(CONFIG_MAP, "team", "nobody")
    stub.answers.append(failure(409))
    assert not await kube.delete(CONFIG_MAP, "team", "a", uid="of-an-earlier-one")
    stub.put(f"{CONFIG_MAPS}/a", a_config_map())
    assert await kube.delete(CONFIG_MAP, "team", "a")


async def test_a_log_is_given_line_by_line(kube: Kube, stub: ApiStub) -> None:
    stub.answers.append(web.Response(text='{"step": 1}\n{"step": 2}\n'))
    lines = [line async for line in kube.logs("team", "pod", follow=True, tail_lines=5)]
    assert lines == ['{"step": 1}', '{"step": 2}']
    assert "follow=true&tailLines=5" in stub.requests[0][1]


async def test_a_kubelets_summary_is_read_through_the_api_server(kube: Kube, stub: ApiStub) -> None:
    stub.answers.append(web.json_response({"pods": []}))
    assert await kube.node_summary("gpu-1") == {"pods": []}
    stub.answers.append(web.json_response({"message": "no rights"}, status=403))
    with pytest.raises(KubeError) as raised:
        await kube.node_summary("gpu-1")
    assert raised.value.failure.error is ErrorClass.FORBIDDEN
    assert stub.requests == [("GET", "/api/v1/nodes/gpu-1/proxy/stats/summary")] * 2
