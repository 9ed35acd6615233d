"""Finds the control plane's programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tunesmith_devcluster.components import Binaries


def ensure(say: Callable[[str], None]) -> Binaries:
    """The programs of KUBEBUILDER_ASSETS."""
    directory = Path(os.environ["KUBEBUILDER_ASSETS"])
    say(f"control-plane programs of {directory}")
    return Binaries(
        apiserver=directory / "kube-apiserver",
        controller_manager=directory / "kube-controller-manager",
        scheduler=directory / "kube-scheduler",
        etcd=directory / "etcd",
    )
