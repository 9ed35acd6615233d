"""Reads Kubernetes objects for the live view and the checks: one kept connection, no kubectl process per look."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

Object = dict[str, Any]

TIME_LIMIT_SECONDS = 10.0


class Reader:
    """GETs against one API server, by a kubeconfig whose certificates are embedded.

    A read that does not get through answers None or an empty list: the view shows what it knows and looks again.
    """

    def __init__(self, kubeconfig: str) -> None:
        """`kubeconfig` is the YAML text itself. Raises KeyError when it lacks what a client certificate login needs."""
        config = yaml.safe_load(kubeconfig)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
        # ssl loads client certificates from files only; they are gone again before the first request.
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            certificate.write_text(_decoded(user["client-certificate-data"]))
            key.touch(mode=0o600)
            key.write_text(_decoded(user["client-key-data"]))
            context.load_cert_chain(certificate, key)
        self._client = httpx.Client(base_url=self.server, verify=context, timeout=TIME_LIMIT_SECONDS, trust_env=False)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def get(self, path: str) -> Object | None:
        """The object at an API path such as `/api/v1/namespaces/x/secrets/y`; None when absent or out of reach."""
        try:
            answer = self._client.get(path)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None

    def items(self, path: str) -> list[Object]:
        """The items of a list at an API path; empty when out of reach."""
        found = self.get(path)
        return found.get("items", []) if found else []

    def lines(self, path: str, query: dict[str, str]) -> Iterator[str]:
        """The lines of an answer that goes on, such as a watch, as they come. Raises httpx.HTTPError when it breaks."""
        patience = httpx.Timeout(TIME_LIMIT_SECONDS, read=None)
        with self._client.stream("GET", path, params=query, timeout=patience) as answer:
            answer.raise_for_status()
            yield from answer.iter_lines()

    def text(self, path: str) -> str:
        """A plain-text answer such as a pod's log; empty when out of reach."""
        try:
            answer = self._client.get(path)
        except httpx.HTTPError:
            return ""
        return answer.text if answer.status_code == httpx.codes.OK else ""


def condition(found: Object | None, kind: str) -> Object:
    """The condition of that type, or an empty one."""
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def is_true(found: Object | None, kind: str) -> bool:
    """Whether the condition of that type is True."""
    return condition(found, kind).get("status") == "True"


def _decoded(data: str) -> str:
    return base64.b64decode(data).decode()
