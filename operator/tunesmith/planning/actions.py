"""The actions that every kind shares: writes to Kubernetes, here or in a bought cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.planning.decision import Action

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class RemoteCluster:
    """A bought cluster, by the GPUCluster that holds its kubeconfig. `None` in its place means the local cluster."""

    namespace: str
    name: str


@dataclass(frozen=True)
class SetMetadata(Action):
    """One merge-patch of the resource's own finalizers and annotations, carrying its resourceVersion.

    `finalizers` is the whole new list (None leaves it); annotations with value None are removed.
    """

    finalizers: tuple[str, ...] | None = None
    annotations: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class ApplyObject(Action):
    """Server-side apply of one whole object under our field manager. The outcome's value is the object as stored."""

    where: RemoteCluster | None
    manifest: Manifest

    @property
    def identity(self) -> str:
        """Where and which object, not its content."""
        meta = self.manifest["metadata"]
        return f"apply {self.where} {self.manifest['kind']} {meta.get('namespace', '')}/{meta['name']}"


@dataclass(frozen=True)
class DeleteObject(Action):
    """Delete one object (background propagation), guarded by its uid. Already gone counts as done."""

    where: RemoteCluster | None
    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str | None = None
    grace_period_seconds: int | None = None


@dataclass(frozen=True)
class SetFinalizer(Action):
    """Put or take one finalizer of ours on an object that is not the resource itself (a credential Secret, say)."""

    api_version: str
    kind: str
    namespace: str
    name: str
    finalizer: str
    present: bool


@dataclass(frozen=True)
class CopyPullSecret(Action):
    """Copy a Secret for pulling images into the cluster that pulls. It goes with `owner`, an object there (name, uid).

    Its content never enters a decision.
    """

    where: RemoteCluster
    namespace: str
    name: str
    to_namespace: str
    to_name: str
    owner_name: str
    owner_uid: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CopySecretKeys(Action):
    """Copy some keys of a Secret to where the pod is that reads them. It goes with `owner`, an object there.

    Their content never enters a decision.
    """

    where: RemoteCluster | None
    namespace: str
    name: str
    keys: tuple[str, ...]
    to_namespace: str
    to_name: str
    owner_name: str
    owner_uid: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CopyConfigMapKey(Action):
    """Copy one key of a ConfigMap to where the pod is that reads it, under `to_key`. It goes with `owner` likewise."""

    where: RemoteCluster | None
    namespace: str
    name: str
    key: str
    to_namespace: str
    to_name: str
    to_key: str
    owner_name: str
    owner_uid: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ReleasePod(Action):
    """Give a gated pod its node and take its scheduling gates away, in one JSON patch. None: the scheduler chooses."""

    where: RemoteCluster | None
    namespace: str
    name: str
    node: str | None
