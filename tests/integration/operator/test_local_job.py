"""A local job through the whole shell: granted, made, let go onto its nodes, told why it waits, deleted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.tunesmith.planning.job_builders import LOCAL, ROWS, SPEC, a_model, deep

from tunesmith.controllers.catalog_model import CatalogModelController
from tunesmith.controllers.fine_tune_job import FineTuneJobController
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.pool import PoolController
from tunesmith.controllers.ports import Ports, SystemClock
from tunesmith.controllers.progress_follower import ProgressFollower
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Chance, Reconciler
from tunesmith.controllers.refusal import refusal_of
from tunesmith.controllers.runtime import Pace, Runtime
from tunesmith.controllers.urgency import urgent_in
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.events import EventRecorder
from tunesmith.kube.kinds import CATALOG_MODEL, FINE_TUNE_JOB, JOB, POD
from tunesmith.kube.remote import RemoteClusters, RemotePorts
from tunesmith.planning.circumstances import Installation
from tunesmith.planning.kube_facts import pod_fact
from tunesmith.resources.schema import to_raw


class Uncounted:
    def passed(self, kind: str, outcome: str, seconds: float) -> None:
        pass


@pytest.fixture
async def intake(kube: Kube) -> AsyncIterator[Intake]:
    """The shell with the controllers of jobs, pools and models, running."""
    clock, cache = SystemClock(), Cache()
    queue = WorkQueue(clock.monotonic, random.random, urgent_in(cache))
    intake = Intake(cache, queue)
    recorder = EventRecorder(kube, now=clock.now, monotonic=clock.monotonic, instance="test")
    remotes = RemoteClusters(
        RemotePorts(
            local=kube,
            secret_name=lambda remote: None,
            changed=intake.child_changed,
            secret=lambda value: None,
            monotonic=clock.monotonic,
            jitter=random.random,
        )
    )
    installation = Installation(id="test", trainer_image="trainer.invalid/none:1")
    ports = Ports(cache, kube, remotes, installation, intake.wake, clock, lambda value: None, str)
    pools = PoolController(ports)
    follower = ProgressFollower(remotes.kube_for, intake.wake, clock, str)
    reconciler = Reconciler(
        cache=cache,
        intake=intake,
        kube=kube,
        kube_actions=KubeActions(kube, remotes, intake.wrote),
        installation=installation,
        clock=clock,
        chance=Chance(random.random, lambda: "nonce"),
        recorder=recorder,
        refusal=refusal_of,
    )
    for controller in (FineTuneJobController(ports, pools, follower), CatalogModelController(ports)):
        reconciler.register(controller)
    intake.serve(pools.kind, lambda raw: ())
    runtime = Runtime(
        cache=cache,
        queue=queue,
        intake=intake,
        kube=kube,
        remotes=remotes,
        reconciler=reconciler,
        recorder=recorder,
        key_workers=(pools,),
        first_keys=(),
        clock=clock,
        jitter=random.random,
        instruments=Uncounted(),
        feed_is_dead=print,
        pace=Pace(workers=2),
    )
    await kube.apply(
        {
            "apiVersion": "tunesmith.dev/v1alpha1",
            "kind": "CatalogModel",
            "metadata": {"name": "tiny"},
            "spec": to_raw(a_model().spec),
        }
    )
    await runtime.start()
    yield intake
    await runtime.stop()
    await follower.close()
    await kube.delete(CATALOG_MODEL, None, "tiny")


async def fed_until(kube: Kube, intake: Intake, namespace: str, holds) -> Any:
    """Feed the job by reading it again and again, until something holds for it (None: it is gone)."""
    last: Any = None
    async with asyncio.timeout(120):
        while True:
            found = await kube.get(FINE_TUNE_JOB, namespace, "tune")
            if found is not None:
                intake.seen(found)
            elif last is not None:
                intake.seen(last, deleted=True)
            if holds(found):
                return found
            last = found
            await asyncio.sleep(0.3)


def reason(job: Any, kind: str) -> str | None:
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    return next((one["reason"] for one in conditions if one["type"] == kind), None)


async def pretend_that_it_is_prepared(kube: Kube, job: Any) -> None:
    """There is no image that could do it: its end is written in its place, against the operator's own writes."""
    async with asyncio.timeout(60):
        while True:
            status = {**job["status"], "preparation": {"number": 1, "completionTime": "2026-01-01T00:00:00Z"}}
            try:
                await kube.patch_status(job, {**status, "pinned": {}})
                return
            except KubeError:
                job = await kube.get(FINE_TUNE_JOB, job["metadata"]["namespace"], job["metadata"]["name"])


async def test_a_local_job_goes_where_it_was_granted_and_leaves_nothing(kube: Kube, intake: Intake, restricted: str):
    spec = deep(
        SPEC, deep(LOCAL, {"storage": {"claim": {"name": "volume"}}, "resources": {"gpus": 8, "gpusPerPod": 4}})
    )
    where = {"name": "tune", "namespace": restricted}
    rows = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rows", "namespace": restricted}}
    job = {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "FineTuneJob", "metadata": where, "spec": spec}
    await kube.create(job)
    await fed_until(kube, intake, restricted, lambda job: reason(job, "DatasetReady") == "DatasetNotFound")
    await kube.create({**rows, "data": {"train.jsonl": ROWS}})
    preparing = await fed_until(kube, intake, restricted, lambda job: reason(job, "DatasetReady") == "ImagePullFailed")
    assert [pod_fact(raw).gpus for raw in (await kube.list(POD, restricted)).items] == [0]
    assert "admission" not in preparing["status"]
    await pretend_that_it_is_prepared(kube, preparing)
    stuck = await fed_until(kube, intake, restricted, lambda job: reason(job, "PodsReady") == "ImagePullFailed")
    granted = [pod["node"] for pod in stuck["status"]["admission"]["pods"]]
    pods = [pod for pod in map(pod_fact, (await kube.list(POD, restricted)).items) if pod.attempt == 1]
    assert [pod.node for pod in sorted(pods, key=lambda pod: pod.index)] == granted
    await kube.delete(FINE_TUNE_JOB, restricted, "tune")
    await fed_until(kube, intake, restricted, lambda job: job is None)
    assert (await kube.list(JOB, restricted)).items == ()
