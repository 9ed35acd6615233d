"""What a client of a bought cluster refuses, whatever its kubeconfig leads to."""

import ssl
from asyncio.sslproto import SSLProtocol

import aiohttp
import pytest
from aiohttp import web

from tunesmith.kube.connect import (
    TLS_BUFFER_BYTES,
    _GuardedResolver,
    _refuse_redirects,
    open_remote,
    use_small_tls_buffers,
)
from tunesmith.kube.kinds import NODE
from tunesmith.kube.kubeconfig import RemoteAccess
from tunesmith_devcluster.pki import Authority


async def test_a_name_that_leads_to_this_machine_is_refused_when_it_is_resolved():
    resolver = _GuardedResolver(allow_loopback=False)
    with pytest.raises(OSError, match="leads to this machine"):
        await resolver.resolve("localhost", 443)
    await resolver.close()


async def test_a_developer_may_allow_it():
    resolver = _GuardedResolver(allow_loopback=True)
    assert await resolver.resolve("localhost", 443)
    await resolver.close()


async def test_a_redirect_is_not_followed():
    asked = []

    async def elsewhere(request):
        asked.append(request.path)
        raise web.HTTPFound("/inside")

    app = web.Application()
    app.router.add_get("/{anything}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(trace_configs=[_refuse_redirects()]) as session:
        with pytest.raises(aiohttp.ClientPayloadError, match="redirect"):
            await session.get(f"http://127.0.0.1:{port}/api")
    await runner.cleanup()
    assert asked == ["/api"]


async def test_a_long_list_arrives_whole_through_small_buffers_from_the_one_authority_that_is_trusted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(SSLProtocol, "max_size", SSLProtocol.max_size)
    use_small_tls_buffers()
    authority = Authority.create("a bought cluster")
    pair = authority.server("it", ["127.0.0.1"])
    for name, text in (("crt", pair.certificate), ("key", pair.key)):
        (tmp_path / name).write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    long = "x" * (40 * TLS_BUFFER_BYTES)
    nodes = {"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": long}}]}

    async def answer(_):
        return web.json_response(nodes)

    app = web.Application()
    app.router.add_get("/{anything:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    access = RemoteAccess(f"https://127.0.0.1:{runner.addresses[0][1]}", authority.pair.certificate, token="token")
    kube = open_remote(access, allow_loopback=True)
    [node] = (await kube.list(NODE)).items
    assert node["metadata"]["name"] == long
    await kube.close()
    await runner.cleanup()
