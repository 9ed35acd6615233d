"""What a client of a bought cluster refuses, whatever its kubeconfig leads to."""

import aiohttp
import pytest
from aiohttp import web

from tunesmith.kube.connect import _GuardedResolver, _refuse_redirects


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
