"""Whom a changed object wakes: its owner by our labels, and the pool whose GPUs it uses or offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.controllers.controller import Key, pool_key
from tunesmith.planning.actions import RemoteCluster

Raw = Mapping[str, Any]
OWNER_KIND = "tunesmith.dev/owner-kind"
OWNER_NAMESPACE = "tunesmith.dev/owner-namespace"
OWNER_NAME = "tunesmith.dev/owner-name"


def woken_by(where: RemoteCluster | None, raw: Raw) -> Iterable[Key]:
    """The keys to look at after an object that is not one of our resources has changed, here or in a bought cluster.

    Labels, not ownerReferences, say whose it is: they work across clusters. An empty `raw` stands for the cluster
    itself: it began or ceased to answer.
    """
    owner = _owner(raw)
    if owner is not None:
        yield owner
    if raw.get("kind") in {"Node", "Pod", None}:
        yield pool_key(where)
    if where is not None and raw.get("kind") in {"Node", None}:
        yield Key("GPUCluster", where.namespace, where.name)


def _owner(raw: Raw) -> Key | None:
    labels = (raw.get("metadata") or {}).get("labels") or {}
    if OWNER_KIND not in labels or OWNER_NAME not in labels:
        return None
    return Key(labels[OWNER_KIND], labels.get(OWNER_NAMESPACE, ""), labels[OWNER_NAME])
