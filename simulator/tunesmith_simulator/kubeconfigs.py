"""Kubeconfigs other than the one that works: rotated, refused, with an end, or hostile. Pure; base64 in and out."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import yaml

HandedOut = Literal[
    "as_it_is",
    "empty",
    "rotated",
    "refused",
    "expiring",
    "exec",
    "file_paths",
    "proxy",
    "insecure",
    "other_server",
    "not_yaml",
]
"""What a cluster's kubeconfig can be made to say.

``rotated`` and ``expiring`` carry tokens that real clusters do not know: behind those, ask for a certificate instead.
"""

OTHER_SERVER = "https://203.0.113.7:6443"
"""An address of the range that is kept free for documentation (RFC 5737)."""


def handed_out(real: str, kind: HandedOut, *, serial: int, expires_at: datetime) -> str | None:
    """The kubeconfig that is told instead of ``real``; None for the real one itself.

    ``serial`` tells one rotation from the next; ``expires_at`` is for ``expiring``.
    """
    match kind:
        case "as_it_is":
            return None
        case "empty":
            return ""
        case "not_yaml":
            return _encoded("clusters: [unbalanced")
        case "rotated":
            return with_user(real, {"token": f"rotated-{serial}"})
        case "refused":
            return with_user(real, {"token": f"refused-{serial}"})
        case "expiring":
            return with_user(real, {"token": token_until(expires_at, serial)})
    return _changed(real, _HOSTILE[kind])


def with_user(real: str, user: dict[str, Any]) -> str:
    """The kubeconfig with other credentials."""

    def change(_cluster: dict[str, Any], present: dict[str, Any]) -> None:
        present.clear()
        present.update(user)

    return _changed(real, change)


def token_until(expires_at: datetime, serial: int) -> str:
    """A token in the form of a JWT that says when it ends. Its signature is none."""
    claims = {"sub": "cluster-admin", "exp": int(expires_at.timestamp()), "jti": str(serial)}
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    return ".".join([*(_url_safe(json.dumps(part, sort_keys=True)) for part in parts), _url_safe("simulated")])


def _run_a_command(_cluster: dict[str, Any], user: dict[str, Any]) -> None:
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "exit 1"]}
    user.clear()
    user["exec"] = command | {"interactiveMode": "Never"}


def _read_files(cluster: dict[str, Any], user: dict[str, Any]) -> None:
    cluster.pop("certificate-authority-data", None)
    cluster["certificate-authority"] = "/etc/ssl/certs/ca-certificates.crt"
    user.clear()
    user["tokenFile"] = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def _through_a_proxy(cluster: dict[str, Any], _user: dict[str, Any]) -> None:
    cluster["proxy-url"] = "http://203.0.113.7:3128"


def _unchecked(cluster: dict[str, Any], _user: dict[str, Any]) -> None:
    cluster.pop("certificate-authority-data", None)
    cluster["insecure-skip-tls-verify"] = True


def _elsewhere(cluster: dict[str, Any], _user: dict[str, Any]) -> None:
    cluster["server"] = OTHER_SERVER


_HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "exec": _run_a_command,
    "file_paths": _read_files,
    "proxy": _through_a_proxy,
    "insecure": _unchecked,
    "other_server": _elsewhere,
}


def _changed(real: str, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> str:
    if not real:
        return ""
    document = yaml.safe_load(base64.b64decode(real))
    change(document["clusters"][0]["cluster"], document["users"][0]["user"])
    return _encoded(yaml.safe_dump(document))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _url_safe(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
