"""Finds the control plane's programs, or has them built: what is there and new enough is taken.

`python3 -m tunesmith_devcluster.binaries` does this with nothing installed, so it can run beside the installation.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tunesmith_devcluster import go_build, versions
from tunesmith_devcluster.components import Binaries
from tunesmith_devcluster.progress import Lines
from tunesmith_devcluster.versions import Version


def ensure(progress: Lines) -> Binaries:
    """All that a control plane needs: of KUBEBUILDER_ASSETS or PATH if new enough, else built from the tree's modules.

    The three programs of Kubernetes are of one origin, because they do not work together in any order of versions.
    """
    kubernetes = _present(go_build.KUBERNETES, versions.OLDEST_KUBERNETES, progress) or go_build.built(
        go_build.KUBERNETES, progress
    )
    etcd = _present(go_build.ETCD, versions.OLDEST_ETCD, progress) or go_build.built(go_build.ETCD, progress)
    return Binaries(
        apiserver=kubernetes["kube-apiserver"],
        controller_manager=kubernetes["kube-controller-manager"],
        scheduler=kubernetes["kube-scheduler"],
        etcd=etcd["etcd"],
    )


def ensure_kwok(progress: Lines) -> Path:
    """kwok, from the same places."""
    found = _present(go_build.KWOK, versions.OLDEST_KWOK, progress) or go_build.built(go_build.KWOK, progress)
    return found["kwok"]


def _present(module: go_build.Module, oldest: Version, progress: Lines) -> Mapping[str, Path] | None:
    """All programs of a module from one place, if they are there and new enough."""
    for place, search_path in (("KUBEBUILDER_ASSETS", os.environ.get("KUBEBUILDER_ASSETS")), ("PATH", None)):
        if place == "KUBEBUILDER_ASSETS" and not search_path:
            continue
        found = {name: shutil.which(name, path=search_path) for name in module.programs}
        paths = {name: Path(path) for name, path in found.items() if path is not None}
        if len(paths) < len(found):
            continue
        version = versions.of_program(next(iter(paths.values())))
        if version is not None and version >= oldest:
            progress.say(f"taking {', '.join(paths)} {version} of {place}")
            return paths
        progress.say(f"{', '.join(paths)} of {place} are {version or 'not usable'}; {oldest} or newer is needed")
    return None


if __name__ == "__main__":
    ensure(Lines(print))
    ensure_kwok(Lines(print))
