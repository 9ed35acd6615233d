"""Builders of FineTuneJobs and the world round them, with good defaults."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.attempt import attempt_name
from tunesmith.planning.attempt_end import Workload
from tunesmith.planning.circumstances import Circumstances, Installation, Known
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.job_observation import JobDecision, JobObservation, identity_of
from tunesmith.planning.kube_facts import (
    ATTEMPT_LABEL,
    ERRAND_LABEL,
    OWNER_UID_LABEL,
    JobFact,
    NodeFact,
    PodFact,
    Termination,
)
from tunesmith.planning.placement import PodPlace
from tunesmith.planning.pool import Granted
from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.conditions import Condition, find_condition
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.reasons import Reason

UID = "0f9d2c1e-8a56-4c3a-9d55-111122223333"
NOON = datetime(2025, 11, 8, 12, tzinfo=UTC)
ROWS = '{"prompt": "2+2", "completion": "4"}\n'
NODES = (NodeFact("n0", gpus=8), NodeFact("n1", gpus=8), NodeFact("n2", gpus=8))
GRANT = Granted((PodPlace("n0", 8), PodPlace("n1", 8)))


def deep(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` put into its mappings; None takes a key away."""
    merged = dict(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = deep(merged[key], value)
        else:
            merged[key] = value
    return merged


SPEC: dict[str, Any] = {
    "model": {"type": "Catalog", "catalog": {"name": "tiny"}},
    "weightsPath": "models/tiny",
    "dataset": {"training": {"type": "ConfigMap", "configMap": {"name": "rows", "key": "train.jsonl"}}},
    "training": {"batchSize": 16, "contextLength": 512},
    "storage": {"type": "SharedVolume", "sharedVolume": {"name": "volume"}},
    "resources": {"gpus": 16},
    "placement": {"type": "Cluster", "cluster": {"name": "gpus"}},
}
TEMPLATE = {
    "type": "Template",
    "cluster": None,
    "template": {"region": "r", "gpuType": "H100_SXM", "nodes": 2, "volumeRef": {"name": "volume"}},
}
LOCAL = {
    "placement": {"type": "Local", "cluster": None},
    "storage": {"type": "Claim", "sharedVolume": None, "claim": {"name": "pvc"}},
}


def a_job(spec: dict[str, Any] | None = None, **metadata: Any) -> FineTuneJob:
    """A job that asks for two pods of 8 GPUs on GPUCluster `gpus`."""
    raw = {
        "kind": "FineTuneJob",
        "metadata": {
            "name": "tune",
            "namespace": "team",
            "uid": UID,
            "generation": 1,
            "creationTimestamp": "2025-11-08T11:00:00Z",
            **metadata,
        },
        "spec": deep(SPEC, spec or {}),
    }
    return FineTuneJob.model_validate(raw)


def a_model(**limits: Any) -> CatalogModel:
    """A model of the catalogue with limits 8 to 96 rows, 8192 tokens, rank 64."""
    defaults = {"contextLengthSFT": 8192, "maxBatchSizeSFT": 96, "minBatchSize": 8, "maxLoRARank": 64}
    spec = {"id": "org/tiny", "displayName": "Tiny", "organization": "org", "tasks": ["FineTune"], "precision": "AMP"}
    raw = {"kind": "CatalogModel", "metadata": {"name": "tiny"}, "spec": {**spec, "limits": {**defaults, **limits}}}
    return CatalogModel.model_validate(raw)


def a_cluster(*, ready: bool = True, volume: str | None = "volume", **metadata: Any) -> GPUCluster:
    """The GPUCluster `gpus`, ready for pods."""
    spec: dict[str, Any] = {"region": "r", "gpuType": "H100_SXM", "nodes": 3, "clusterType": "Kubernetes"}
    if volume is not None:
        spec["volumeRef"] = {"name": volume}
    condition = {
        "type": "KubeconfigAvailable",
        "status": "True",
        "reason": "Stored",
        "message": "",
        "lastTransitionTime": "2025-11-08T11:00:00Z",
    }
    status = {"firstReadyTime": "2025-11-08T11:00:00Z", "conditions": [condition]} if ready else {}
    meta = {"name": "gpus", "namespace": "team", "uid": "cluster-uid", **metadata}
    return GPUCluster.model_validate({"kind": "GPUCluster", "metadata": meta, "spec": spec, "status": status})


def a_bought_cluster(
    cluster_id: str | None = "c-1", *, provisioned: str | None = None, observed: bool = True
) -> GPUCluster:
    """The same as the provider's `cluster_id`. `provisioned`: why it is not any more; `observed`: has conditions."""
    cluster = a_cluster()
    conditions = cluster.status.conditions if observed else ()
    if provisioned is not None:
        said = "Cluster 'c-1' is gone from the provider. Delete this resource."
        lost = {"type": "Provisioned", "status": "False", "reason": provisioned, "message": said}
        conditions = (*conditions, Condition(**lost, last_transition_time=NOON))
    status = cluster.status.model_copy(update={"cluster_id": cluster_id, "conditions": conditions})
    return cluster.model_copy(update={"status": status})


def circumstances(minutes: float = 0, **installation: Any) -> Circumstances:
    """Noon and `minutes`."""
    settings = Installation(**{"id": "abc123", "trainer_image": "trainer:1", **installation})
    return Circumstances(NOON + timedelta(minutes=minutes), 1000 + 60 * minutes, 0.5, "nonce", settings)


def an_observation(job: FineTuneJob | None = None, **changes: Any) -> JobObservation:
    """Everything is there for the job to be admitted; the pool has not judged yet."""
    facts: dict[str, Any] = {
        "around": circumstances(),
        "job": job or a_job(),
        "model": a_model(),
        "files": {"training": ROWS},
        "cluster": a_cluster(),
        "workload": Known(Workload(nodes=NODES), 0),
        "answer": Known(None, 0),
    }
    return JobObservation(**{**facts, **changes})


def after(seen: JobObservation, decision: JobDecision, **changes: Any) -> JobObservation:
    """The next observation: the status was written, the resource's own metadata too."""
    unknown = {one.reason for one in decision.status.conditions} | {note.reason for note in decision.events}
    assert unknown <= set(Reason), "every reason has its line in resources/reasons.py"
    job = seen.job.model_copy(update={"status": decision.status})
    for action in decision.actions:
        finalizers = getattr(action, "finalizers", None)
        if finalizers is not None:
            job = job.model_copy(update={"metadata": job.metadata.model_copy(update={"finalizers": finalizers})})
    facts = {name: getattr(seen, name) for name in JobObservation.__dataclass_fields__}
    return JobObservation(**{**facts, "job": job, **changes})


def settled(seen: JobObservation, most: int = 10) -> JobObservation:
    """Decide until nothing changes any more; fails when it never does."""
    for _ in range(most):
        decision = decide(seen)
        following = after(seen, decision)
        if following.job == seen.job:
            return seen
        seen = following
    raise AssertionError(f"does not come to rest: {seen.status.conditions}")


def preparing(job: FineTuneJob | None = None, **changes: Any) -> JobObservation:
    """Accepted, with finalizer; its preparation is recorded, and nothing of it is there yet."""
    return settled(an_observation(job, **changes))


def the_errand(seen: JobObservation, part: str = "prepare-1", **changes: Any) -> tuple[JobFact, PodFact]:
    """The Job of an errand, and its running pod."""
    labels = {ERRAND_LABEL: part, OWNER_UID_LABEL: UID}
    purpose, _, number = part.partition("-")
    name = f"{identity_of(seen.job).short_name}-{purpose[0]}{number}"
    pod = {"node": "n0", "phase": "Running", "started": True, "labels": labels, "index": 0, **changes}
    return JobFact(seen.namespace, name, f"uid-{part}", labels=labels), PodFact(seen.namespace, f"{name}-0", **pod)


def with_errand(
    seen: JobObservation, *end: Any, part: str = "prepare-1", said: dict[str, Any] | None = None, **changes: Any
) -> JobObservation:
    """The errand's pod runs; or it has ended so: exit code, and the trainer's class if it said one."""
    job, pod = the_errand(seen, part, **changes)
    return with_workload(seen, jobs=[job], pods=[ended(pod, *end, **(said or {})) if end else pod])


def what_was_prepared(seen: JobObservation, **changes: Any) -> dict[str, Any]:
    """What the trainer says of a preparation that went well."""
    hashes = {role: hashlib.sha256((text or "").encode()).hexdigest() for role, text in seen.files.items()}
    return {
        "modelPath": "/storage/models/tiny",
        "trainingPath": "/etc/tunesmith/training.jsonl",
        "datasetSHA256": {"training": "b" * 64, **hashes},
        "rows": 100,
        "trained": 97,
        "tokens": 5000,
        "truncated": 2,
        "dropped": {"noTrainableTokens": 3},
        "totalSteps": 60,
        **changes,
    }


def prepared(seen: JobObservation, **changes: Any) -> JobObservation:
    """Its data is ready, and the pod that made it so is gone."""
    done = with_errand(seen, 0, "Success", said={"prepared": what_was_prepared(seen, **changes)})
    return settled(with_workload(after(done, decide(done))))


def waiting_in_line(job: FineTuneJob | None = None, **changes: Any) -> JobObservation:
    """Prepared and asking its pool; or as far on the way there as it gets."""
    seen = preparing(job, **changes)
    return seen if seen.status.preparation is None else prepared(seen)


def admitted(job: FineTuneJob | None = None, **changes: Any) -> JobObservation:
    """The grant stands in the status; nothing is made yet."""
    seen = waiting_in_line(job, **changes)
    asked = after(seen, decide(seen), answer=Known(GRANT, 0))
    return after(asked, decide(asked), answer=Known(None, 0))


def the_batch_job(seen: JobObservation, **changes: Any) -> JobFact:
    """The Job of the present attempt."""
    labels = {ATTEMPT_LABEL: str(seen.attempt), OWNER_UID_LABEL: UID}
    facts: dict[str, Any] = {"labels": labels, "uid": f"job-{seen.attempt}"}
    return JobFact(seen.namespace, attempt_name(identity_of(seen.job), seen.attempt), **{**facts, **changes})


def the_pods(seen: JobObservation, **changes: Any) -> tuple[PodFact, ...]:
    """Both pods of the present attempt, running on the nodes they were granted."""
    places = seen.status.admission.pods
    job = the_batch_job(seen)
    return tuple(
        PodFact(
            **{
                "namespace": job.namespace,
                "name": f"{job.name}-{index}",
                "node": place.node,
                "phase": "Running",
                "gpus": place.gpus,
                "labels": job.labels,
                "index": index,
                **changes,
            }
        )
        for index, place in enumerate(places)
    )


def with_workload(seen: JobObservation, *, jobs=(), pods=(), nodes=NODES, **changes: Any) -> JobObservation:
    """The same, with this in the cluster."""
    facts = {name: getattr(seen, name) for name in JobObservation.__dataclass_fields__}
    workload = Known(Workload(tuple(jobs), tuple(pods), tuple(nodes)), 0)
    return JobObservation(**{**facts, "workload": workload, **changes})


def running(job: FineTuneJob | None = None, **changes: Any) -> JobObservation:
    """All pods of the first attempt run."""
    seen = admitted(job, **changes)
    return settled(with_workload(seen, jobs=[the_batch_job(seen)], pods=the_pods(seen)))


def ended(pod: PodFact, exit_code: int, error_class: str = "", **said: Any) -> PodFact:
    """The pod, ended with the trainer's word when a class is given."""
    message = json.dumps({"tunesmith": "termination/v1", "errorClass": error_class, **said}) if error_class else ""
    phase = "Succeeded" if exit_code == 0 else "Failed"
    facts = {name: getattr(pod, name) for name in PodFact.__dataclass_fields__}
    return PodFact(**{**facts, "phase": phase, "termination": Termination(exit_code, "", message)})


def with_exits(seen: JobObservation, *exits: tuple[Any, ...], said: dict[str, Any] | None = None) -> JobObservation:
    """The present attempt's pods, ended so, by index."""
    pods = [ended(pod, *end, **(said or {})) for pod, end in zip(the_pods(seen), exits, strict=True)]
    return with_workload(seen, jobs=[the_batch_job(seen)], pods=pods)


WELL = {
    "step": 60,
    "totalSteps": 60,
    "resultSHA256": "a" * 64,
    "resultBytes": 4096,
    "path": f"/storage/outputs/tune/{UID}-a1",
}


def reason(decision, kind: str = "Ready") -> str:
    """Of a condition of the decision's status."""
    return find_condition(decision.status.conditions, kind).reason


def message(decision, kind: str = "Ready") -> str:
    """Of a condition of the decision's status."""
    return find_condition(decision.status.conditions, kind).message


def made(decision) -> list[str]:
    """The kinds of the objects that the decision makes, in order."""
    return [action.manifest["kind"] for action in decision.actions if isinstance(action, ApplyObject)]
