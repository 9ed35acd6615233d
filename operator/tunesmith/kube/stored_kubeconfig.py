"""Reads the Secret of a bought cluster's kubeconfig: the text, and by its annotations whose it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.kube.errors import KubeError
from tunesmith.planning.cluster_kubeconfig_facts import CLUSTER_ID_ANNOTATION, KUBE_SYSTEM_ANNOTATION, hash_of
from tunesmith.planning.decision import ErrorClass, Failure

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class StoredKubeconfig:
    """A kubeconfig as it was read from its Secret."""

    text: str = field(repr=False)
    cluster_id: str = ""
    kube_system_uid: str = ""

    @property
    def hash(self) -> str:
        """What names it without telling anything of it."""
        return hash_of(self.text)

    def is_same_access(self, other: StoredKubeconfig) -> bool:
        """The same way to the same cluster. That its uid was recorded meanwhile changes nothing."""
        recorded = self.kube_system_uid if other.kube_system_uid else ""
        return (self.text, self.cluster_id, recorded) == (other.text, other.cluster_id, other.kube_system_uid)


def stored_kubeconfig(secret: Raw | None, name: str) -> StoredKubeconfig | None:
    """What the Secret holds; None: nothing yet. Raises `KubeError` of class Invalid for what is no text."""
    encoded = ((secret or {}).get("data") or {}).get("value")
    if secret is None or not encoded:
        return None
    annotations = secret["metadata"].get("annotations") or {}
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise KubeError(Failure(ErrorClass.INVALID, f"The kubeconfig Secret '{name}' holds no text.")) from error
    return StoredKubeconfig(
        text, annotations.get(CLUSTER_ID_ANNOTATION, ""), annotations.get(KUBE_SYSTEM_ANNOTATION, "")
    )
