"""kopf as the feed of our own kinds, and nothing more: every event goes into the cache and its key on the queue.

No change handlers, index, timer, daemon or peering; why, and what each of these settings prevents, is written down in
docs/design.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kopf

from tunesmith.kube.kinds import GROUP, OWN_KINDS

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Raw = Mapping[str, Any]
Seen = Callable[[Raw, bool], None]  # the object, and whether it was deleted


class _NoDiff(kopf.DiffBaseStorage):
    """kopf would compute and compare an essence for every event; nobody asks for it here."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """There are no handlers whose progress could be kept."""

    def fetch(self, *, key: str, body: kopf.Body) -> None:
        return None

    def store(self, *, key: str, record: object, body: kopf.Body, patch: kopf.Patch) -> None:
        return None

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        return None

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: object) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


async def run_feed(seen: Seen, kubeconfig: Path | None) -> None:
    """Feed until SIGTERM or until kopf fails. Tasks that must outlive kopf are to be started before."""
    if kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(kubeconfig)
    await kopf.operator(registry=_registry(seen, kubeconfig), settings=_settings(), clusterwide=True, standalone=True)


def _registry(seen: Seen, kubeconfig: Path | None) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def feed(event: Mapping[str, Any], **_: object) -> None:
        seen(dict(event["object"]), event["type"] == "DELETED")

    for kind in OWN_KINDS:
        kopf.on.event(GROUP, "v1alpha1", kind.plural, id=kind.plural, registry=registry)(feed)

    @kopf.on.login(registry=registry)
    def log_in(**arguments: Any) -> kopf.ConnectionInfo | None:
        return _by_service_account() if kubeconfig is None else kopf.login_with_kubeconfig(**arguments)

    return registry


def _by_service_account() -> kopf.ConnectionInfo:
    """The pod's own account. Asked for again after a 401, so that a rotated token is read anew.

    kopf's own takes the name kubernetes.default.svc, which needs cluster DNS; the address in the environment does not.
    """
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return kopf.ConnectionInfo(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca_path=str(SERVICE_ACCOUNT / "ca.crt"),
        scheme="Bearer",
        token=(SERVICE_ACCOUNT / "token").read_text(encoding="utf-8").strip(),
    )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # An idle worker keeps its slot, so a short idle time is what makes the limit a limit and not a brake.
    settings.queueing.worker_limit, settings.queueing.idle_timeout = 256, 0.2
    settings.scanning.disabled = True  # the CRDs are ours and fixed
    settings.watching.chunk_size = 500
    settings.networking.request_timeout, settings.networking.connect_timeout = 30, 5
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiff()
    settings.persistence.progress_storage = _NoProgress()
    settings.process.ultimate_exiting_timeout = None
    return settings
