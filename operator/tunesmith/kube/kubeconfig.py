"""Reads the kubeconfig of a bought cluster. It is data, not trust: a whitelist of fields, everything else is refused.

A kubeconfig can name programs to run, files to send and proxies to go through; whoever can write a Secret could make
the operator do all of that. So the stock loaders of the Kubernetes client are never used on one.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

LARGEST_CHARACTERS = 256 * 1024


class KubeconfigRefused(Exception):
    """The kubeconfig is not one that the operator uses. The text says why and holds nothing from the file but names."""


class KubeconfigBroken(KubeconfigRefused):
    """The kubeconfig is not whole: cut off, or not written to its end yet. Another look may find it so."""


@dataclass(frozen=True)
class RemoteAccess:
    """What is needed to speak to a cluster: PEM texts and a token, never paths."""

    server: str
    ca_pem: str = field(repr=False)
    client_certificate_pem: str = field(default="", repr=False)
    client_key_pem: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def read_kubeconfig(text: str, *, allow_loopback: bool = False) -> RemoteAccess:
    """The access that a kubeconfig gives. Raises `KubeconfigRefused`."""
    if len(text) > LARGEST_CHARACTERS:
        raise KubeconfigRefused("it is larger than 256 KiB")
    config = _loaded(text)
    if not isinstance(config, dict) or not {"clusters", "contexts", "users"} <= config.keys():
        raise KubeconfigBroken("its clusters, users or contexts are missing")
    _only(
        config, "kubeconfig", {"apiVersion", "kind", "clusters", "contexts", "users", "current-context", "preferences"}
    )
    cluster = _single(config, "clusters", "cluster")
    user = _single(config, "users", "user")
    context = _single(config, "contexts", "context")
    _only(cluster, "cluster", {"server", "certificate-authority-data"})
    _only(user, "user", {"client-certificate-data", "client-key-data", "token"})
    _only(context, "context", {"cluster", "user", "namespace"})
    _names_agree(config, context)
    access = RemoteAccess(
        server=_server(cluster.get("server"), allow_loopback=allow_loopback),
        ca_pem=_pem(cluster, "certificate-authority-data"),
        client_certificate_pem=_pem(user, "client-certificate-data"),
        client_key_pem=_pem(user, "client-key-data"),
        token=_token(user.get("token")),
    )
    if not access.ca_pem:
        raise KubeconfigBroken("`certificate-authority-data` is missing, so the server could not be recognised")
    if not access.token and not (access.client_certificate_pem and access.client_key_pem):
        raise KubeconfigBroken("it holds neither a token nor a client certificate with its key")
    return access


def is_forbidden_address(address: str, *, allow_loopback: bool = False) -> bool:
    """Whether an IP address is one that a bought cluster cannot have: loopback, link-local, unspecified, multicast."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return not allow_loopback
    return ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip.is_reserved


class _PlainLoader(yaml.SafeLoader):
    """Without aliases: a few lines of them stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As ever, but for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise KubeconfigRefused("it repeats parts of itself by aliases, which no kubeconfig needs")
        return super().compose_node(parent, index)


def _loaded(text: str) -> Any:
    try:
        return _PlainLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise KubeconfigBroken("it is not YAML") from error
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # What looks like a date or a number and is none ends in one of these.
        raise KubeconfigBroken("it holds a value that cannot be read") from error


def _only(found: Any, what: str, allowed: set[str]) -> None:
    if not isinstance(found, dict):
        raise KubeconfigRefused(f"`{what}` is not a map")
    unknown = sorted(str(key) for key in found if key not in allowed)
    if unknown:
        shown = ", ".join(key[:40] for key in unknown[:5])
        raise KubeconfigRefused(f"`{what}` holds fields that the operator does not use from a Secret: {shown}")


def _single(config: dict[str, Any], collection: str, member: str) -> dict[str, Any]:
    entries = config.get(collection)
    if entries is None or entries == []:
        raise KubeconfigBroken(f"`{collection}` is empty")
    if not isinstance(entries, list) or len(entries) != 1:
        raise KubeconfigRefused(f"`{collection}` must hold exactly one entry")
    _only(entries[0], collection, {"name", member})
    inner = entries[0].get(member)
    if inner is None:
        raise KubeconfigBroken(f"`{collection}` holds no `{member}`")
    if not isinstance(inner, dict):
        raise KubeconfigRefused(f"`{collection}` holds no `{member}`")
    return inner


def _names_agree(config: dict[str, Any], context: dict[str, Any]) -> None:
    agree = (
        config.get("current-context") == config["contexts"][0].get("name")
        and context.get("cluster") == config["clusters"][0].get("name")
        and context.get("user") == config["users"][0].get("name")
    )
    if not agree:
        raise KubeconfigRefused("`current-context`, its cluster and its user do not name the entries that are there")


def _server(server: object, *, allow_loopback: bool) -> str:
    if not isinstance(server, str):
        raise KubeconfigBroken("`server` is missing")
    try:
        url = urlsplit(server)
        host, port = url.hostname or "", url.port
    except ValueError as error:
        raise KubeconfigRefused("`server` is not a URL") from error
    if url.scheme != "https":
        raise KubeconfigRefused("`server` does not begin with https://")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise KubeconfigRefused("`server` holds more than a host, a port and a path")
    if not host or not host.isascii() or any(character.isspace() for character in server):
        raise KubeconfigRefused("`server` names no host")
    _check_host(host, allow_loopback=allow_loopback)
    bracketed = f"[{host}]" if ":" in host else host
    return f"https://{bracketed}" + (f":{port}" if port else "") + url.path.rstrip("/")


def _check_host(host: str, *, allow_loopback: bool) -> None:
    try:
        forbidden = is_forbidden_address(host, allow_loopback=allow_loopback)
    except ValueError:
        # A name. Its last label is never a number: decimal and hexadecimal spellings of addresses end here.
        last = host.rstrip(".").rsplit(".", 1)[-1]
        if last.isdigit() or last.lower().startswith("0x"):
            raise KubeconfigRefused("`server` spells an address in an unusual way") from None
        forbidden = (last.lower() == "localhost") and not allow_loopback
    if forbidden:
        raise KubeconfigRefused("`server` points at this machine or a link-local address, not at a bought cluster")


def _pem(holder: dict[str, Any], key: str) -> str:
    encoded = holder.get(key)
    if encoded is None:
        return ""
    try:
        text = base64.b64decode(str(encoded), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise KubeconfigRefused(f"`{key}` is not base64 of a PEM text") from error
    if "-----BEGIN " not in text:
        raise KubeconfigRefused(f"`{key}` is not base64 of a PEM text")
    return text


def _token(token: object) -> str:
    if token is None:
        return ""
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise KubeconfigRefused("`token` is not a bearer token")
    return token
