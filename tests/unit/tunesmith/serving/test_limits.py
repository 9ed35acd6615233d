"""The models' limits, as the provider's SDK and anybody with an HTTP client read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import together
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.catalog.loader import bundled, find_bundled
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Listing
from tunesmith.kube.errors import KubeError
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.serving.limits_server import LimitsServer
from tunesmith.serving.models_seen import REMEMBERED_SECONDS, ModelsSeen
from tunesmith.serving.rate import CLIENTS_REMEMBERED, RateLimit

LLAMA = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
ROWS = [{**model.as_resource(), "kind": "CatalogModel"} for model in bundled()]
OWN = {
    "kind": "CatalogModel",
    "metadata": {"name": "own"},
    "spec": {"id": "team/own", "displayName": "Own", "organization": "team", "tasks": ["FineTune"], "source": "User"},
}


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Served:
    """A running server, and what it serves."""

    def __init__(self) -> None:
        self.models = [*ROWS, OWN]
        self.clock = Clock()
        self.unreadable = False
        self.server = LimitsServer("127.0.0.1", 0, models=self._seen, rate=RateLimit(1, 20, self.clock))

    async def _seen(self):
        if self.unreadable:
            raise OSError("connection refused")
        return self.models

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def get(self, path: str, **headers: str):
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}", headers=headers) as response:
            body = await response.json() if response.content_type == "application/json" else await response.text()
            return response.status, body, response.headers

    async def limits(self, name: str):
        return (await self.get(f"/v1/fine-tunes/models/limits?model_name={name}"))[:2]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    async with made.server:
        yield made


async def test_the_official_sdk_reads_them_strictly(served):
    client = together.Together(
        api_key="none-is-needed", base_url=served.url, max_retries=0, _strict_response_validation=True
    )
    limits = await asyncio.to_thread(client.fine_tuning.model_limits, model_name=LLAMA)
    assert limits.api_model_name == LLAMA
    assert (limits.max_seq_length_sft, limits.max_seq_length_dpo) == (131072, 16384)
    assert (limits.lora_training.min_batch_size, limits.lora_training.max_batch_size) == (8, 8)
    assert limits.lora_training.default_rank == 8
    with pytest.raises(together.NotFoundError, match="nobody/nothing"):
        await asyncio.to_thread(client.fine_tuning.model_limits, model_name="nobody/nothing")


async def test_every_supported_model_has_limits_and_nothing_else_is_supported(served):
    served.clock.now = 1e9
    _, body, _ = await served.get("/v1/fine-tunes/models/supported")
    assert len(body["models"]) == 81 - 10 - 4 + 1
    assert "team/own" in body["models"]
    for row in served.models:
        served.clock.now += 60
        status, _ = await served.limits(row["spec"]["id"])
        assert status == (200 if row["spec"]["id"] in body["models"] else 404)


async def test_they_are_what_stands_in_the_resource_now_not_what_came_with_the_operator(served):
    changed = find_bundled(LLAMA).as_resource()
    changed["spec"] = {**changed["spec"], "limits": {"contextLengthSFT": 777, "maxLoRARank": 4}}
    served.models = [changed]
    _, body = await served.limits(changed["metadata"]["name"])
    assert (body["max_seq_length_sft"], body["lora_training"]["max_rank"]) == (777, 4)
    assert body["lora_training"]["default_rank"] == 4


@pytest.mark.parametrize(
    ("name", "status", "helps"),
    [
        ("nobody/nothing", 404, "models/supported"),
        ("deepseek-ai/DeepSeek-R1", 404, "context parallelism"),
        ("meta-llama/Llama-4-Scout-17B-16E", 404, "cannot be trained"),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 404, "is not fine-tuned"),
        ("", 400, "model_name"),
        ("x" * 300, 400, "model_name"),
    ],
)
async def test_what_has_no_limits_is_refused_in_the_providers_shape(served, name, status, helps):
    found, body = await served.limits(name)
    assert found == status
    assert set(body) == {"message"}
    assert helps in body["message"]


async def test_a_row_that_cannot_be_read_takes_no_other_down(served):
    served.models = [{"kind": "CatalogModel", "metadata": {"name": "bad"}, "spec": {"id": "bad"}}, *ROWS]
    assert (await served.limits("bad"))[0] == 404
    assert (await served.limits(LLAMA))[0] == 200
    assert len((await served.get("/v1/fine-tunes/models/supported"))[1]["models"]) == 67


async def test_who_has_the_answer_already_is_told_so(served):
    path = f"/v1/fine-tunes/models/limits?model_name={LLAMA}"
    _, _, headers = await served.get(path)
    status, body, _ = await served.get(path, **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, "")
    assert (await served.get(path, **{"If-None-Match": '"other"'}))[0] == 200
    served.models = [OWN | {"spec": {**OWN["spec"], "id": LLAMA}}]
    assert (await served.get(path, **{"If-None-Match": headers["ETag"]}))[0] == 200


async def test_a_client_that_asks_too_often_is_told_how_long_to_wait(served):
    answers = [await served.get("/v1/fine-tunes/models/limits?model_name=x") for _ in range(21)]
    assert [status for status, _, _ in answers] == [404] * 20 + [429]
    assert answers[-1][2]["Retry-After"] == "1"
    served.clock.now += 1
    assert (await served.limits(LLAMA))[0] == 200


async def test_an_api_server_that_does_not_answer_is_not_a_model_that_is_not_there(served):
    served.unreadable = True
    status, body, headers = await served.get(f"/v1/fine-tunes/models/limits?model_name={LLAMA}")
    assert (status, set(body), headers["Retry-After"]) == (503, {"message"}, "5")


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/v1/fine-tunes"])
async def test_nothing_else_is_served_there(served, path):
    status, body, _ = await served.get(path)
    assert (status, set(body)) == (404, {"message"})


class Api:
    """An API server that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False

    async def list(self, kind):
        self.asked += 1
        if self.down:
            raise KubeError(Failure(ErrorClass.UNAVAILABLE, "down"))
        return Listing((OWN,), "1")


async def test_the_replica_that_watches_answers_from_what_it_sees():
    cache, api = Cache(), Api()
    seen = ModelsSeen(cache, api, lambda: True, Clock())
    cache.replace("CatalogModel", [{**ROWS[0], "metadata": {"name": "a", "uid": "u", "resourceVersion": "3"}}], "3")
    assert [raw["metadata"]["name"] for raw in await seen()] == ["a"]
    assert api.asked == 0


async def test_the_replica_that_stands_by_asks_the_api_server_and_remembers_for_a_while():
    api, clock = Api(), Clock()
    seen = ModelsSeen(Cache(), api, lambda: False, clock)
    for _ in range(3):
        assert (await seen())[0]["metadata"]["name"] == "own"
    assert api.asked == 1
    clock.now += REMEMBERED_SECONDS + 1
    api.down = True
    with pytest.raises(OSError, match="down"):
        await seen()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=60))
def test_no_client_gets_more_than_its_share(requests):
    clock, granted = Clock(), {"a": 0, "b": 0, "c": 0}
    rate = RateLimit(2, 3, clock)
    for client, later in requests:
        clock.now += later
        granted[client] += rate.wait_seconds(client) == 0
    assert all(count <= 3 + 2 * clock.now + 1e-6 for count in granted.values())


def test_clients_beyond_what_is_remembered_push_the_oldest_out():
    rate = RateLimit(1, 1, Clock())
    for number in range(CLIENTS_REMEMBERED + 1):
        rate.wait_seconds(str(number))
    assert rate.wait_seconds("0") == 0
    assert rate.wait_seconds(str(CLIENTS_REMEMBERED)) > 0
