"""A cluster by kind, where a Docker engine answers: made, given fake GPUs, and deleted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tunesmith_devcluster import processes
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi

CONFIGURATION = Path(__file__).with_name("kind.yaml")
NAME = "tunesmith-devcluster"
FILE = "kind.yaml"
GPUS = "8"
WAIT_SECONDS = 300


def docker_answers() -> bool:
    """Whether there is a Docker client here and an engine behind it."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        subprocess.run([docker, "info"], capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def configuration(workers: int) -> str:
    """kind's configuration for this many GPU workers, from the file in the tree."""
    content: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    plane, worker = content["nodes"]
    return yaml.safe_dump({**content, "nodes": [plane, *(dict(worker) for _ in range(workers))]}, sort_keys=False)


def create(directory: Path, *, workers: int) -> Path:
    """Make the cluster; returns its kubeconfig, which lies in this directory."""
    file, kubeconfig = directory / FILE, directory / "kubeconfig"
    if is_left_in(directory):
        raise DevclusterError("An earlier 'up' was interrupted. 'tunesmith-devcluster down' ends what it has left.")
    processes.write_atomically(file, configuration(workers))
    try:
        _kind("create", "cluster", f"--config={file}", f"--kubeconfig={kubeconfig}", f"--wait={WAIT_SECONDS}s")
    except DevclusterError:
        file.unlink()  # kind takes what it could not finish away itself
        raise
    with KubernetesApi(kubeconfig) as api:
        for node in api.get("/api/v1/nodes", labelSelector="nvidia.com/gpu.present=true")["items"]:
            gpus = {"nvidia.com/gpu": GPUS}
            status = {"status": {"capacity": gpus, "allocatable": gpus}}
            api.merge_patch(f"/api/v1/nodes/{node['metadata']['name']}/status", status)
    return kubeconfig


def is_left_in(directory: Path) -> bool:
    """Whether `create` has begun a cluster from this directory that nobody has deleted."""
    return (directory / FILE).exists()


def delete(directory: Path) -> None:
    """Delete the cluster that `create` made from this directory; fine if it is gone."""
    _kind("delete", "cluster", f"--name={NAME}")
    (directory / FILE).unlink(missing_ok=True)


def _kind(*arguments: str) -> None:
    answer = subprocess.run(["kind", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if answer.returncode != 0:
        raise DevclusterError(f"'kind {' '.join(arguments)}' failed:\n{answer.stderr.strip()}")
