"""Which kubeconfig a command uses when none is given."""

from __future__ import annotations

import os
from pathlib import Path


def kubeconfig_of_environment() -> Path | None:
    """KUBECONFIG, or the user's own; None in a pod, where the service account counts."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return None
    path = Path(os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    return path if path.exists() else None
