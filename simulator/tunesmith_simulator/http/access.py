"""Who asks: the Bearer key of a request. Keys are compared here and go no further."""

from aiohttp import web

from tunesmith_simulator.refusals import Reason, RefusedError
from tunesmith_simulator.simulation import Simulation
from tunesmith_simulator.world import Account

_ACCOUNT: web.RequestKey[Account] = web.RequestKey("account", Account)


def account_of(request: web.Request) -> Account:
    """The customer who asks; set for every route of the API."""
    return request[_ACCOUNT]


def account_name(request: web.Request) -> str | None:
    """The customer's name, for the record; None when the key is wrong or not needed."""
    account = request.get(_ACCOUNT)
    return account.name if account else None


def admit(request: web.Request, simulation: Simulation) -> None:
    """Find out who asks. Raises RefusedError when the key is missing or unknown."""
    account = account_who_asks(request, simulation)
    if account is None:
        raise RefusedError(Reason.UNAUTHENTICATED, "missing or invalid API key")
    request[_ACCOUNT] = account


def account_who_asks(request: web.Request, simulation: Simulation) -> Account | None:
    """The customer whose key the request carries, if it is one."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return simulation.account(key.strip()) if scheme.lower() == "bearer" else None
