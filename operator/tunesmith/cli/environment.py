"""Which cluster a command speaks to when nobody says."""

from __future__ import annotations

import os
from pathlib import Path


def kubeconfig_of_environment() -> Path | None:
    """In a pod the service account counts."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return None
    path = Path(os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    return path if path.exists() else None
