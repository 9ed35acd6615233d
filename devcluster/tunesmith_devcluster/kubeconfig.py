"""Kubeconfig files with everything embedded, and a small blocking client that speaks through one."""

from __future__ import annotations

import base64
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.pki import KeyPair

MERGE_PATCH = "application/merge-patch+json"


def render(*, name: str, server: str, authority_certificate: str, user: str, pair: KeyPair) -> str:
    """The text of a kubeconfig for one user of one cluster, without file paths, so that it can travel."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": server, "certificate-authority-data": _encoded(authority_certificate)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _encoded(pair.certificate),
                        "client-key-data": _encoded(pair.key),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        },
        sort_keys=False,
    )


class KubernetesApi:
    """Blocking requests to one API server, dictionaries in and out. A context manager; safe to use from threads."""

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        tls = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]))
        # ssl takes a client's certificate and key from a file only.
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
            file.flush()
            tls.load_cert_chain(file.name)
        self.server: str = cluster["server"]
        self._http = httpx.Client(base_url=self.server, verify=tls, timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """GET one object or list."""
        return self._answer(self._http.get(path, params=query))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return self._answer(self._http.post(path, json=body))

    def merge_patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change parts of an object, or of its status where the path ends so."""
        return self._answer(self._http.patch(path, json=body, headers={"content-type": MERGE_PATCH}))

    def delete(self, path: str) -> None:
        """Delete an object; one that is gone already is fine."""
        answer = self._http.delete(path)
        if answer.status_code != 404:
            self._answer(answer)

    def is_ready(self) -> bool:
        """Whether /readyz says ok; False for no answer at all as well."""
        try:
            return self._http.get("/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def exists(self, path: str) -> bool:
        """Whether a GET of this path finds something."""
        answer = self._http.get(path)
        if answer.status_code == 404:
            return False
        self._answer(answer)
        return True

    @staticmethod
    def _answer(answer: httpx.Response) -> dict[str, Any]:
        if answer.is_success:
            body: dict[str, Any] = answer.json()
            return body
        request = answer.request
        raise DevclusterError(
            f"The API server answered {answer.status_code} to {request.method} {request.url.path}: {answer.text[:500]}"
        )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
