"""The objects of one errand: a Job of one gated pod that is given no GPU and sees none, and its ConfigMap."""

from __future__ import annotations

from typing import Any

from tunesmith.planning.errand import Errand
from tunesmith.planning.manifests import confined_container, confined_pod, indexed_job, secret_variables


def errand_job(errand: Errand) -> dict[str, Any]:
    """The Job. Its pod waits at a gate until ConfigMap and Secrets are beside it."""
    pod = confined_pod(errand, _container(errand))
    selector = {"nodeSelector": dict(errand.node_selector)} if errand.node_selector else {}
    return indexed_job(errand, 1, {**pod, **selector})


def _container(errand: Errand) -> dict[str, Any]:
    confined = confined_container(errand, errand.purpose)
    # Images for GPUs show all of a node's GPUs to containers that were given none, unless told otherwise.
    blind = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}
    secrets = secret_variables(errand)
    needs = {"cpu": errand.needs.cpu, "memory": errand.needs.memory}
    return {**confined, "env": [*confined["env"], blind, *secrets], "resources": {"requests": needs}}
