"""`tunesmith run`, which writes down its outside effects and kills itself at those that a plan names.

An outside effect is a request that changes something: any but a read, through the operator's only two doors to the
world, `_send` of the API server's transport and `_exchange` of the provider's (a test holds that there are no others).
The Lease and Events are left out: nothing follows from them. An effect is named by what the request says, never by a
list made by hand.

The process that is started only imports; what works and dies is a child of it, forked anew after each death, because
importing takes most of the time of a start. It has no thread and no loop that could be left half done in the child.

Run by `stage.OperatorProcess` with PROOF_DIRECTORY set. In it: `stage/NAME`, what the story of a resource is at;
`plan/NAME`, the moments of this resource at the first of which to die; `effects`, a JSON line each before and after
one; `deaths/NAME`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.integration.proof.stage import LEASE

from tunesmith.cli.main import main
from tunesmith.cloud.transport import Request, Transport
from tunesmith.controllers.context import working_on
from tunesmith.kube.transport import Transport as KubeTransport
from tunesmith_devcluster.kubeconfig import KubernetesApi

DIRECTORY = Path(os.environ["PROOF_DIRECTORY"])
NO_EFFECT = ("/leases", "/events")
MATERIAL = ("createIntent", "clusterID", "volumeID", "release", "leavingNodes")
"""What of a status says what was bought or is to be: other changes of it are the same boundary."""


def happened(when: str, effect: str) -> None:
    """Write the moment down, and die if it is the one that is planned for this resource."""
    work = working_on.get()
    if work is None:
        return
    name = work.key.name
    stage = _text("stage", name) if name else ""
    if not stage:
        return
    moment = {"name": name, "stage": stage, "effect": effect, "when": when}
    with (DIRECTORY / "effects").open("a", encoding="utf-8") as effects:
        effects.write(json.dumps(moment) + "\n")
    planned = _text("plan", name)
    death = DIRECTORY / "deaths" / name
    if planned and moment in json.loads(planned) and not death.exists():
        death.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def effect_on_kubernetes(method: str, path: str, body: object, *, inside: bool) -> str:
    """Such as `PATCH gpuclusters/status {createIntent}`, without the names of objects."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    what = "/".join([parts[0], *parts[2:]])
    return f"{'inside: ' if inside else ''}{method} {what}{_says(what, body)}"


def _says(what: str, body: object) -> str:
    if not isinstance(body, dict):
        return ""
    if what.endswith("/status"):
        status = body.get("status") or {}
        return " {" + ", ".join(name for name in MATERIAL if status.get(name)) + "}"
    meta: dict[str, Any] = body.get("metadata") or {}
    said = [f"finalizers={len(meta['finalizers'])}"] if "finalizers" in meta else []
    return " {" + ", ".join([*said, *sorted(meta.get("annotations") or ())]) + "}"


def _text(folder: str, name: str) -> str:
    try:
        return (DIRECTORY / folder / name).read_text()
    except FileNotFoundError:
        return ""


def watch_the_doors() -> None:
    """Put `happened` round every request that changes something."""
    send, exchange = KubeTransport._send, Transport._exchange
    local = os.environ["PROOF_LOCAL_SERVER"]

    async def sent(self: Any, method: str, path: str, query: Any, headers: Any, body: Any, **more: Any) -> Any:
        if method == "GET" or any(part in path for part in NO_EFFECT):
            return await send(self, method, path, query, headers, body, **more)
        inside = self._api.configuration.host.rstrip("/") != local
        effect = effect_on_kubernetes(method, path, body, inside=inside)
        happened("before", effect)
        answer = await send(self, method, path, query, headers, body, **more)
        happened("after", effect)
        return answer

    async def exchanged(self: Any, request: Request) -> object:
        if request.method == "GET":
            return await exchange(self, request)
        effect = f"provider: {request.method} {request.collection}"
        happened("before", effect)
        answer = await exchange(self, request)
        happened("after", effect)
        return answer

    KubeTransport._send = sent  # type: ignore[method-assign]
    Transport._exchange = exchanged  # type: ignore[method-assign]


def forget_lease() -> None:
    """As if the time had passed after which another process may take over from one that was killed."""
    with KubernetesApi(Path(sys.argv[-1])) as api:
        api.delete(LEASE)


def live_again_and_again() -> int:
    """Until a child ends otherwise than by its own SIGKILL: its exit status."""
    while True:
        child = os.fork()
        if child == 0:
            main()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return os.waitstatus_to_exitcode(status)
        forget_lease()


if __name__ == "__main__":
    watch_the_doors()
    sys.exit(live_again_and_again())
