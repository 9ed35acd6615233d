"""Copies a key of the administrator's ConfigMap beside the pods that read it, in whichever cluster they are."""

from __future__ import annotations

from tunesmith.controllers.controller import ActionFailed
from tunesmith.controllers.ports import Ports
from tunesmith.kube.kinds import CONFIG_MAP
from tunesmith.planning.actions import CopyConfigMapKey
from tunesmith.planning.decision import ErrorClass, Failure


async def copy_config_map_key(ports: Ports, action: CopyConfigMapKey) -> None:
    """One read here, one write there. Raises `ActionFailed` when there is no such ConfigMap or key."""
    found = await ports.kube.get(CONFIG_MAP, action.namespace, action.name)
    content = ((found or {}).get("data") or {}).get(action.key)
    if not content:
        message = f"ConfigMap '{action.namespace}/{action.name}' with key '{action.key}' does not exist. Create it."
        raise ActionFailed(Failure(ErrorClass.NOT_FOUND, message))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": action.owner_name, "uid": action.owner_uid}
    there = await ports.remotes.kube_for(action.where)
    await there.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": action.to_name,
                "namespace": action.to_namespace,
                "labels": dict(action.labels),
                "ownerReferences": [owner],
            },
            "data": {action.to_key: content},
        }
    )
