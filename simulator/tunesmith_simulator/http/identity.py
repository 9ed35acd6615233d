"""Who an API key belongs to: ``/v3/whoami``. The official command line asks it before most of its commands."""

import hashlib

from aiohttp import web

from tunesmith_simulator.http.access import account_of


def routes() -> list[web.RouteDef]:
    """The route."""
    return [web.get("/v3/whoami", _whoami)]


async def _whoami(request: web.Request) -> web.Response:
    account = account_of(request)
    project = account.projects[0]
    return web.json_response(
        {
            "type": "project_api_key",
            "api_key": {"id": f"key-{hashlib.sha256(account.name.encode()).hexdigest()[:12]}"},
            "organization": {"id": f"org-{account.organization}", "name": account.organization},
            "project": {"id": project, "name": project, "slug": project},
        }
    )
