"""Carries out the actions of planning/actions.py: one request each, here or in a bought cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tunesmith.controllers.controller import ActionFailed
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import POD, ObjectKind, kind_of
from tunesmith.planning.actions import ApplyObject, DeleteObject, ReleasePod, RemoteCluster, SetFinalizer, SetMetadata
from tunesmith.planning.decision import Action, ErrorClass, Failure

Raw = Mapping[str, Any]
HOSTNAME_LABEL = "kubernetes.io/hostname"
CHANGES_OF_FINALIZER = 5  # tries against other writers within one action


class RemoteKubes(Protocol):
    """Where the clients of bought clusters come from."""

    async def kube(self, remote: RemoteCluster) -> Kube:
        """The client; raises `KubeError` when there is none."""
        ...


class KubeActions:
    """The hands of every kind for Kubernetes objects. `wrote` takes the answers to local writes."""

    def __init__(self, kube: Kube, remotes: RemoteKubes, wrote: Callable[[Raw], None]) -> None:
        self._wrote = wrote
        self._kube = kube
        self._remotes = remotes

    def knows(self, action: Action) -> bool:
        """Whether the action is one of those that every kind shares."""
        return isinstance(action, SetMetadata | ApplyObject | DeleteObject | SetFinalizer | ReleasePod)

    async def carry_out(self, action: Action, raw: Raw) -> object:
        """One action for the resource `raw`. Raises `KubeError` or `ActionFailed`."""
        match action:
            case SetMetadata():
                return await self._set_metadata(action, raw)
            case ApplyObject():
                return await self._apply(action)
            case DeleteObject():
                return await self._delete(action)
            case SetFinalizer():
                return await self._set_finalizer(action)
            case ReleasePod():
                return await self._release_pod(action)
        raise TypeError(f"{type(action).__name__} is not an action that all kinds share")

    async def _at(self, where: RemoteCluster | None) -> Kube:
        return self._kube if where is None else await self._remotes.kube(where)

    async def _set_metadata(self, action: SetMetadata, raw: Raw) -> Raw:
        meta = raw["metadata"]
        changes: dict[str, Any] = {"resourceVersion": meta["resourceVersion"]}
        if action.finalizers is not None:
            changes["finalizers"] = list(action.finalizers)
        if action.annotations:
            changes["annotations"] = dict(action.annotations)
        kind = kind_of(raw["apiVersion"], raw["kind"])
        stored = await self._kube.merge_patch(kind, meta.get("namespace"), meta["name"], {"metadata": changes})
        self._wrote(stored)
        return stored

    async def _apply(self, action: ApplyObject) -> Raw:
        stored = await (await self._at(action.where)).apply(action.manifest)
        if action.where is None:
            self._wrote(stored)
        return stored

    async def _delete(self, action: DeleteObject) -> bool:
        kube = await self._at(action.where)
        kind = kind_of(action.api_version, action.kind)
        grace = action.grace_period_seconds
        return await kube.delete(kind, action.namespace, action.name, uid=action.uid, grace_period_seconds=grace)

    async def _set_finalizer(self, action: SetFinalizer) -> Raw | None:
        """Compare-and-swap on a fresh read, because the list of finalizers has several writers."""
        kind = kind_of(action.api_version, action.kind)
        for attempt in range(CHANGES_OF_FINALIZER):
            found = await self._kube.get(kind, action.namespace, action.name)
            if found is None and not action.present:
                return None
            if found is None:
                message = f"{action.kind} '{action.name}' does not exist, so it cannot be kept from deletion."
                raise ActionFailed(Failure(ErrorClass.NOT_FOUND, message))
            wanted = _finalizers_with(found, action.finalizer, present=action.present)
            if wanted is None:
                return found
            try:
                return await self._swap_finalizers(kind, found, wanted)
            except KubeError as error:
                if error.status != 409 or attempt == CHANGES_OF_FINALIZER - 1:
                    raise
        raise AssertionError("the last try either returns or raises")

    async def _swap_finalizers(self, kind: ObjectKind, found: Raw, wanted: list[str]) -> Raw:
        meta = found["metadata"]
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": wanted}}
        return await self._kube.merge_patch(kind, meta.get("namespace"), meta["name"], patch)

    async def _release_pod(self, action: ReleasePod) -> Raw:
        """Kubernetes lets a gated pod's node selector be tightened, and its gates be removed, but nothing be added."""
        kube = await self._at(action.where)
        found = await kube.get(POD, action.namespace, action.name)
        if found is None:
            message = f"Pod '{action.name}' vanished before it could be given its node."
            raise ActionFailed(Failure(ErrorClass.NOT_FOUND, message))
        if not found["spec"].get("schedulingGates"):
            return found
        patch = _release_patch(found, action.node)
        stored = await kube.json_patch(POD, action.namespace, action.name, patch)
        if action.where is None:
            self._wrote(stored)
        return stored


def _finalizers_with(found: Raw, finalizer: str, *, present: bool) -> list[str] | None:
    """The finalizers as they should be; None when they are so already."""
    have = list(found["metadata"].get("finalizers") or ())
    if (finalizer in have) is present:
        return None
    return [*have, finalizer] if present else [each for each in have if each != finalizer]


def _release_patch(pod: Raw, node: str | None) -> list[dict[str, Any]]:
    same = {"op": "test", "path": "/metadata/uid", "value": pod["metadata"]["uid"]}
    let_go = {"op": "remove", "path": "/spec/schedulingGates"}
    if node is None:
        return [same, let_go]
    selector = dict(pod["spec"].get("nodeSelector") or {}) | {HOSTNAME_LABEL: node}
    return [same, {"op": "add", "path": "/spec/nodeSelector", "value": selector}, let_go]
