"""The API key goes into one header of requests to one address, and nowhere else: B-SEC-03 and B-SEC-04."""

import logging
import traceback

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.canary import KEY
from tests.unit.tunesmith.cloud.clouds import FAR, a_cloud, a_transport, answering

from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.errors import CloudError
from tunesmith.cloud.transport import Request
from tunesmith.planning.orders import ClusterOrder

ORDER = ClusterOrder("ts-a", "r", "g", 8)


def raising(cause):
    def answer(request):
        raise cause

    return answer


def echoing(request):
    """A provider that says back what it was sent, the key with it."""
    return httpx.Response(400, json={"message": f"bad request: {request.headers}"})


WAYS_TO_FAIL = {
    "an answer that repeats the key": echoing,
    "a refusal": answering(401, {"message": f"invalid key {KEY}"}),
    "no connection": raising(httpx.ConnectError(f"could not send Bearer {KEY}")),
    "a broken protocol": raising(httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'")),
    "an answer that is not JSON": lambda request: httpx.Response(200, text=f"<{KEY}>"),
    "an answer of another shape": answering(200, {"clusters": KEY, KEY: KEY}),
    "a redirect": lambda request: httpx.Response(302, headers={"location": f"https://elsewhere.test/{KEY}"}),
}


@pytest.mark.parametrize("answer", WAYS_TO_FAIL.values(), ids=WAYS_TO_FAIL)
async def test_no_failure_shows_it_in_its_message_or_its_traceback(answer, caplog):
    caplog.set_level(logging.INFO)
    cloud = a_cloud(answer)
    for request in (cloud.list_clusters(), cloud.get_cluster("c-1"), cloud.create_cluster(ORDER, deadline=FAR)):
        with pytest.raises(CloudError) as caught:
            await request
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.failure)
        assert KEY not in shown
    ours = [record for record in caplog.records if record.name.startswith("tunesmith")]
    assert ours
    assert not any(KEY in record.getMessage() for record in ours)


def test_it_is_hidden_in_what_holds_it():
    credential = ApiCredential(SecretStr(KEY), "p-1")
    transport = a_transport(answering(200))
    request = Request("GET", "/", "clusters", "look")
    for holder in (credential, credential.fact, transport, transport.__dict__, request):
        assert KEY not in repr(holder)


async def test_it_goes_to_the_address_of_the_installation_only(monkeypatch):
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://proxy.test:3128")
    asked = []

    def answer(request):
        asked.append((request.url.host, request.headers["authorization"]))
        return httpx.Response(307, headers={"location": "https://elsewhere.test/"})

    with pytest.raises(CloudError):
        await a_cloud(answer).list_clusters()
    assert asked == [("provider.test", f"Bearer {KEY}")]


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    mounts = a_transport(answering(200))._http._mounts
    assert not mounts


async def test_a_key_that_is_not_ascii_is_a_wrong_key_and_no_crash():
    transport = a_transport(answering(401))
    transport.credential = ApiCredential(SecretStr("schlüssel-ключ"), None)
    with pytest.raises(CloudError) as caught:
        await transport.read(Request("GET", "/v1/compute/clusters", "clusters", "list the clusters"))
    assert "API key" in str(caught.value)
