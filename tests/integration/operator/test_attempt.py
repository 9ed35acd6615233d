"""An attempt's objects and a job's statuses on a real API server, scheduler and Job controller."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.tunesmith.planning.job_builders import (
    SPEC,
    UID,
    WELL,
    after,
    an_observation,
    preparing,
    running,
    waiting_in_line,
    with_errand,
    with_exits,
)

from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.reconciler import dumped, status_differs
from tunesmith.kube.client import Kube
from tunesmith.kube.kinds import CONFIG_MAP, JOB, POD, SERVICE
from tunesmith.planning.actions import ApplyObject, DeleteObject, ReleasePod
from tunesmith.planning.attempt import Attempt, JobIdentity
from tunesmith.planning.contract import Progress
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import PodFact, pod_fact
from tunesmith.planning.manifests import configuration_map, rendezvous_service, training_job
from tunesmith.planning.progress import LossPoint, Report

SAID = Progress.model_validate(
    {
        "time": "2025-11-08T12:00:07.25Z",
        "attempt": 1,
        "stage": "Training",
        "step": 7,
        "totalSteps": 60,
        "epoch": 0.35,
        "loss": 1.25e-7,
        "evaluationLoss": 2.0,
        "learningRate": 1.9e-05,
        "tokensPerSecond": 123.4,
        "etaSeconds": 12.5,
        "checkpoint": {"step": 5, "path": "/storage/u/attempts/1/checkpoints/5"},
        "droppedRows": {"TooLong": 2, "Empty": 0},
    }
)


def an_attempt(namespace: str) -> Attempt:
    return Attempt(
        job=JobIdentity("1team", "tune", UID),
        number=1,
        where=None,
        namespace=namespace,
        pods=2,
        gpus_per_pod=4,
        image="trainer.invalid/none:1",
        claim="volume",
        grace_seconds=180,
        configuration={"a": 1},
        datasets={"training.jsonl": "{}"},
    )


def without_owner(manifest: dict[str, Any]) -> dict[str, Any]:
    """The FineTuneJob of these tests is not there: the garbage collector would take the Job away."""
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": []}}


async def pods_of(kube: Kube, namespace: str, holds) -> list[PodFact]:
    """Both pods, as soon as it holds for them."""
    async with asyncio.timeout(120):
        while True:
            listing = await kube.list(POD, namespace)
            pods = sorted((pod_fact(raw) for raw in listing.items), key=lambda pod: pod.index or 0)
            if len(pods) == 2 and all(holds(pod) for pod in pods):
                return pods
            await asyncio.sleep(0.2)


async def test_gated_pods_pass_restricted_security_and_go_exactly_where_they_were_granted(kube: Kube, restricted: str):
    attempt = an_attempt(restricted)
    actions = KubeActions(kube, None, lambda raw: None)
    job = await actions.carry_out(ApplyObject(None, without_owner(training_job(attempt))), {})
    uid = job["metadata"]["uid"]
    for pod in await pods_of(kube, restricted, lambda pod: pod.gated):
        assert (pod.node, pod.gpus, pod.attempt, pod.owner_uid) == (None, 4, 1, UID)
    await actions.carry_out(ApplyObject(None, configuration_map(attempt, uid)), {})
    await actions.carry_out(ApplyObject(None, rendezvous_service(attempt, uid)), {})
    for pod in await pods_of(kube, restricted, lambda pod: True):
        node = ("gpu-2", "gpu-1")[pod.index]
        await actions.carry_out(ReleasePod(None, restricted, pod.name, node), {})
    bound = await pods_of(kube, restricted, lambda pod: pod.node is not None)
    assert [pod.node for pod in bound] == ["gpu-2", "gpu-1"]
    await pods_of(kube, restricted, lambda pod: pod.waiting_reason in {"ErrImagePull", "ImagePullBackOff"})
    delete = DeleteObject(None, "batch/v1", "Job", restricted, attempt.name, uid=uid)
    await actions.carry_out(delete, {})
    async with asyncio.timeout(120):
        while await kube.get(CONFIG_MAP, restricted, attempt.name) or await kube.get(
            SERVICE, restricted, attempt.service_name
        ):
            await asyncio.sleep(0.2)
    assert await kube.get(JOB, restricted, attempt.name) is None


async def test_every_status_of_a_jobs_life_is_accepted_as_it_is_written(kube: Kube, namespace: str):
    manifest = {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "tune", "namespace": namespace},
        "spec": SPEC,
    }
    stored = await kube.create(manifest)
    seen = running()
    over = with_exits(seen, (0, "Success"), (0,), said=WELL)
    broke = with_exits(seen, (30, "NoGPUs"), (31,))
    report = Report(1, progress=SAID, losses=(LossPoint(1, 2.5), LossPoint(7, 1.25e-7)))
    heard = after(seen, decide(seen), report=report)
    fetching = with_errand(preparing())
    said = SAID.model_copy(update={"stage": "Fetching", "bytes_done": 5, "bytes_total": 10**12})
    fetching = after(fetching, decide(fetching), report=Report(0, errand="prepare-1", progress=said))
    prepare_again = with_errand(preparing(), 31, "Infrastructure")
    lost = with_exits(seen, (0,), (0,))
    without_gpus = [an_observation(), preparing(), fetching, prepare_again, waiting_in_line()]
    lives = [*without_gpus, seen, heard, after(broke, decide(broke)), lost, after(over, decide(over))]
    for life in lives:
        status = decide(life).status
        stored = await kube.patch_status(stored, dumped(status))
        assert not status_differs(stored, status)
