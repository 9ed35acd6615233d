"""Copies a job's Secrets for pulling images into the bought cluster that pulls them; nothing but such Secrets."""

from __future__ import annotations

from tunesmith.controllers.controller import ActionFailed
from tunesmith.controllers.ports import Ports
from tunesmith.kube.kinds import SECRET
from tunesmith.planning.actions import CopyPullSecret
from tunesmith.planning.decision import ErrorClass, Failure

TYPE = "kubernetes.io/dockerconfigjson"
KEY = ".dockerconfigjson"


async def copy_pull_secret(ports: Ports, action: CopyPullSecret) -> None:
    """One read here, one write there. Raises `ActionFailed` when there is no such Secret, or it is of another type."""
    found = await ports.kube.get(SECRET, action.namespace, action.name)
    if found is None:
        raise ActionFailed(Failure(ErrorClass.NOT_FOUND, f"Secret '{action.name}' does not exist. Create it."))
    content = (found.get("data") or {}).get(KEY)
    if found.get("type") != TYPE or content is None:
        message = f"Secret '{action.name}' is not of type '{TYPE}'; only such Secrets are copied to another cluster."
        raise ActionFailed(Failure(ErrorClass.INVALID, message))
    ports.secret(content)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": action.owner_name, "uid": action.owner_uid}
    remote = await ports.remotes.kube_for(action.where)
    await remote.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TYPE,
            "metadata": {
                "name": action.to_name,
                "namespace": action.to_namespace,
                "labels": dict(action.labels),
                "ownerReferences": [owner],
            },
            "data": {KEY: content},
        }
    )
