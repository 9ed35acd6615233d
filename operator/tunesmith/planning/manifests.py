"""The objects of one attempt: an Indexed Job with gated pods, its ConfigMap and its headless Service.

The Job comes first and owns the other two, so that deleting it takes everything along, here and in a bought cluster.
Its pods wait at a scheduling gate: nothing starts before ConfigMap and Service are there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunesmith.planning.attempt import (
    CONFIGURATION_DIRECTORY,
    CONFIGURATION_FILE,
    OWNER_KIND,
    STORAGE_ROOT,
    Attempt,
    Work,
)
from tunesmith.planning.kube_facts import GPU_RESOURCE
from tunesmith.planning.outbound import mounts, variables, volumes
from tunesmith.planning.placement import GPU_TOLERATION, Tolerated

SCHEDULING_GATE = "tunesmith.dev/placement"
UNPRIVILEGED_ID = 65532
CONTAINER = "trainer"
# kubernetes: a ConfigMap holds 1 MiB in all; the rest is left for the configuration and the object's own fields.
DATASETS_MAX_BYTES = 1_000_000


def training_job(attempt: Attempt) -> dict[str, Any]:
    """The Indexed Job. One failed pod fails it (`backoffLimit: 0`): a group of ranks is made anew as a whole."""
    return indexed_job(attempt, attempt.pods, _pod_spec(attempt))


def indexed_job(work: Work, pods: int, pod_spec: Mapping[str, Any]) -> dict[str, Any]:
    """A Job of so many pods that is tried once."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": work.name,
            "namespace": work.namespace,
            "labels": work.labels,
            "ownerReferences": _owned_by_resource(work),
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": {**_harmless(work.pod_labels), **work.labels},
                    "annotations": _harmless(work.pod_annotations),
                },
                "spec": pod_spec,
            },
        },
    }


def configuration_map(work: Work, job_uid: str) -> dict[str, Any]:
    """The trainer's configuration file and the datasets that travel with it. `job_uid` is the batch Job's."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _owned_by_job(work, work.name, job_uid),
        "data": {CONFIGURATION_FILE: json.dumps(work.configuration, sort_keys=True), **work.datasets},
    }


def rendezvous_service(attempt: Attempt, job_uid: str) -> dict[str, Any]:
    """The headless Service: pods find rank 0 by name before they are ready. `job_uid` is the batch Job's."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned_by_job(attempt, attempt.service_name, job_uid),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": attempt.name},
            "ports": [{"name": "rendezvous", "port": attempt.master_port, "protocol": "TCP"}],
        },
    }


def _pod_spec(attempt: Attempt) -> dict[str, Any]:
    confined = confined_pod(attempt, _container(attempt))
    shared_memory = {"name": "shared-memory", "emptyDir": {"medium": "Memory"}}
    return {**confined, "subdomain": attempt.service_name, "volumes": [*confined["volumes"], shared_memory]}


def confined_pod(work: Work, container: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the restricted pod security standard asks for; nothing in the custom resource reaches it."""
    return {
        "restartPolicy": "Never",
        "schedulingGates": [{"name": SCHEDULING_GATE}],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": work.grace_seconds,
        "imagePullSecrets": [{"name": name} for name in work.pull_secrets.values()],
        "tolerations": [_toleration(one) for one in (GPU_TOLERATION, *work.tolerations)],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UNPRIVILEGED_ID,
            "runAsGroup": UNPRIVILEGED_ID,
            "fsGroup": UNPRIVILEGED_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "storage", "persistentVolumeClaim": {"claimName": work.claim}},
            {"name": "configuration", "configMap": {"name": work.name}},
            {"name": "scratch", "emptyDir": {}},
            *volumes(work),
        ],
    }


def _container(attempt: Attempt) -> dict[str, Any]:
    confined = confined_container(attempt, "launch", "--config")
    master = {"name": "TUNESMITH_MASTER_ADDR", "value": f"{attempt.name}-0.{attempt.service_name}"}
    return {
        **confined,
        "env": [master, *confined["env"], *secret_variables(attempt, optional=True)],
        "resources": {"limits": _limits(attempt)},
        "volumeMounts": [*confined["volumeMounts"], {"name": "shared-memory", "mountPath": "/dev/shm"}],
    }


def confined_container(work: Work, *command: str) -> dict[str, Any]:
    """The trainer with one of its commands, which takes the path of this work's configuration as the last word."""
    return {
        "name": CONTAINER,
        "image": work.image,
        "command": ["tunesmith-trainer"],
        "args": [*command, f"{CONFIGURATION_DIRECTORY}/{CONFIGURATION_FILE}"],
        "env": [{"name": "HOME", "value": "/tmp"}, *variables(work)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "storage", "mountPath": STORAGE_ROOT},
            {"name": "configuration", "mountPath": CONFIGURATION_DIRECTORY, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
            *mounts(work),
        ],
    }


def secret_variables(work: Work, *, optional: bool = False) -> list[dict[str, Any]]:
    """The variables that Secrets fill; `optional`: pods start without a key that was deleted meanwhile."""
    lenient = {"optional": True} if optional else {}
    return [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": work.source_secrets[key.name], "key": key.key, **lenient}},
        }
        for name, key in sorted(work.secrets.items())
    ]


def _limits(attempt: Attempt) -> dict[str, str]:
    limits = {GPU_RESOURCE: str(attempt.gpus_per_pod)} if attempt.gpus_per_pod else {}
    return limits | ({attempt.rdma_resource: "1"} if attempt.rdma_resource else {})


def _owned_by_resource(work: Work) -> list[dict[str, Any]]:
    """Only in the cluster where the FineTuneJob lives can it be an owner."""
    if work.where is not None:
        return []
    return [
        {
            "apiVersion": "tunesmith.dev/v1alpha1",
            "kind": OWNER_KIND,
            "name": work.job.name,
            "uid": work.job.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def _owned_by_job(work: Work, name: str, job_uid: str) -> dict[str, Any]:
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": work.name,
        "uid": job_uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {"name": name, "namespace": work.namespace, "labels": work.labels, "ownerReferences": [owner]}


def _harmless(written: Mapping[str, str]) -> dict[str, str]:
    """Without keys of Kubernetes' own domains and ours: some of them weaken a pod's confinement (AppArmor, say)."""
    return {key: value for key, value in written.items() if not _reserved(key)}


def _reserved(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    return domain.endswith(("kubernetes.io", "k8s.io", "tunesmith.dev")) or key in {"job-name", "controller-uid"}


def _toleration(one: Tolerated) -> dict[str, Any]:
    written = {"key": one.key, "operator": one.operator, "value": one.value, "effect": one.effect}
    seconds = {} if one.seconds is None else {"tolerationSeconds": one.seconds}
    return {key: value for key, value in written.items() if value} | seconds
