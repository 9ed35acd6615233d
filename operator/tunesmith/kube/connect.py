"""Opens clients: to the cluster that the operator runs in, and to bought clusters from what their kubeconfig gave."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

from tunesmith.kube.client import Kube
from tunesmith.kube.kubeconfig import KubeconfigRefused, RemoteAccess, is_forbidden_address
from tunesmith.kube.transport import RequestObserver, Transport

LOCAL_CONNECTIONS = 64
REMOTE_CONNECTIONS = 8
TLS_BUFFER_BYTES = 32 * 1024  # two TLS records
REMOTE_REQUEST_SECONDS = 15.0


def use_small_tls_buffers() -> None:
    """For the whole process: asyncio keeps a buffer of 256 KiB for each TLS connection, however little it reads.

    A bought cluster has four connections, so that was a megabyte for each.
    """
    SSLProtocol.max_size = TLS_BUFFER_BYTES


async def open_local(kubeconfig: Path | None, observer: RequestObserver | None = None) -> Kube:
    """The operator's own cluster, by the pod's service account or by the administrator's kubeconfig (trusted)."""
    # One is never led to it by a proxy; and to ask the environment for one reads ~/.netrc at every request.
    configuration = Configuration(connection_pool_maxsize=LOCAL_CONNECTIONS, client_session_kwargs={"trust_env": False})
    if kubeconfig is None:
        kubernetes_config.load_incluster_config(client_configuration=configuration)
    else:
        await kubernetes_config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    return Kube(Transport(ApiClient(configuration), observer=observer))


def open_remote(
    access: RemoteAccess,
    *,
    allow_loopback: bool,
    observer: RequestObserver | None = None,
    gate: Callable[[str], None] | None = None,
) -> Kube:
    """A bought cluster: no redirects, no proxies or netrc from the environment, no names that lead to this machine."""
    connector = aiohttp.TCPConnector(
        limit=REMOTE_CONNECTIONS,
        ssl=_tls(access),
        resolver=_GuardedResolver(allow_loopback=allow_loopback),
    )
    configuration = Configuration(
        host=access.server,
        trace_configs=[_refuse_redirects()],
        client_session_kwargs={"trust_env": False, "connector": connector},
    )
    # The connector's own settings count. Without this the client would read all authorities of the system beside them,
    # which is close to a megabyte for each bought cluster.
    configuration.ca_cert_data = access.ca_pem
    if access.token:
        configuration.api_key["BearerToken"] = f"Bearer {access.token}"
    transport = Transport(
        ApiClient(configuration),
        observer=observer,
        gate=gate,
        request_seconds=REMOTE_REQUEST_SECONDS,
        connector=connector,
    )
    return Kube(transport)


class _GuardedResolver(AbstractResolver):
    """Names are judged by what they resolve to, at the moment of connecting: a name may change its mind."""

    def __init__(self, *, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for result in found:
            if is_forbidden_address(result["host"].split("%")[0], allow_loopback=self._allow_loopback):
                raise OSError("the server's name leads to this machine or a link-local address")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _tls(access: RemoteAccess) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=access.ca_pem)
        if access.client_certificate_pem:
            _load_client_certificate(context, access)
    except (ssl.SSLError, ValueError) as error:
        raise KubeconfigRefused("its certificates or key cannot be read") from error
    return context


def _load_client_certificate(context: ssl.SSLContext, access: RemoteAccess) -> None:
    """OpenSSL takes a client certificate from a file only, so one exists, readable by us alone, for a moment."""
    handle, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{access.client_certificate_pem}\n{access.client_key_pem}\n")
        context.load_cert_chain(path, password=_no_password)
    finally:
        Path(path).unlink()


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal for the password of an encrypted key."""
    return ""


def _refuse_redirects() -> aiohttp.TraceConfig:
    async def refuse(*_: object) -> None:
        raise aiohttp.ClientPayloadError("the server answered with a redirect, which is not followed")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace
