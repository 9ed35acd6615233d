"""FineTuneJob: what its decision needs is gathered here. Everything it does is an action that all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tunesmith.controllers.cluster_facts import cluster_facts, gpu_cluster
from tunesmith.controllers.controller import Key, pool_key
from tunesmith.controllers.copied_settings import copy_config_map_key
from tunesmith.controllers.last_words import LastWords
from tunesmith.controllers.pool import PoolController
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.progress_follower import ProgressFollower, Target
from tunesmith.controllers.pull_secrets import copy_pull_secret
from tunesmith.controllers.source_secrets import copy_secret_keys, secret_has_key
from tunesmith.kube.cache import Cache
from tunesmith.kube.kinds import CONFIG_MAP
from tunesmith.planning.actions import CopyConfigMapKey, CopyPullSecret, CopySecretKeys
from tunesmith.planning.admission import has_ended, pool_of
from tunesmith.planning.attempt_end import Workload, pod_that_tells
from tunesmith.planning.circumstances import Circumstances, Known, Unknown
from tunesmith.planning.decision import Action
from tunesmith.planning.fine_tune_job import decide, needs_its_files
from tunesmith.planning.job_end import part_under_way
from tunesmith.planning.job_observation import JobDecision, JobObservation, cluster_name_of, config_maps_of
from tunesmith.planning.model_row import row_of
from tunesmith.planning.sources import SecretKey
from tunesmith.planning.tracking import every_secret
from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.parsing import parse

Raw = Mapping[str, Any]


class FineTuneJobController:
    """Observes jobs; the pool's answers and the follower's reports come from the two that are handed in."""

    kind = "FineTuneJob"

    def __init__(self, ports: Ports, pools: PoolController, follower: ProgressFollower) -> None:
        self._ports = ports
        self._pools = pools
        self._follower = follower
        self._words = LastWords(ports.remotes.kube_for, ports.redacted)

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> JobObservation:
        """The job and the world round it."""
        job = FineTuneJob.model_validate(raw)
        where = pool_of(job)
        facts = cluster_facts(self._ports, where)
        workload = (
            facts if isinstance(facts, Unknown) else Known(facts.value.workload_of(job.metadata.uid), facts.as_of)
        )
        workload = _without_secrets(workload, self._ports.redacted)
        self._follow(key, job, workload)
        return JobObservation(
            around=around,
            job=job,
            model=self._model(job),
            files=await self._files(job),
            cluster=None if where is None else gpu_cluster(self._ports, where),
            workload=workload,
            answer=self._pools.answer_for(job),
            report=self._follower.report(key),
            last_words=await self._last_words(key, job, workload),
            secrets=await self._secrets(job),
            earlier=self._earlier(job),
        )

    def decide(self, seen: JobObservation) -> JobDecision:
        """The pure decision."""
        return decide(seen)

    async def act(self, seen: JobObservation, action: Action) -> object:
        """The actions that only jobs have."""
        match action:
            case CopyPullSecret():
                await copy_pull_secret(self._ports, action)
            case CopySecretKeys():
                await copy_secret_keys(self._ports, action)
            case CopyConfigMapKey():
                await copy_config_map_key(self._ports, action)
            case _:
                raise TypeError(f"{type(action).__name__} is not an action of a FineTuneJob")
        return None

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """Its pool, the cluster that it uses, and the volume that it stores on."""
        job = parse(raw)
        if not isinstance(job, FineTuneJob):
            return
        yield pool_key(pool_of(job))
        cluster = cluster_name_of(job)
        if cluster is not None:
            yield Key("GPUCluster", job.namespace, cluster)
        volume = job.spec.storage.shared_volume
        if volume is not None and (has_ended(job) or job.metadata.is_being_deleted or not job.status.conditions):
            yield Key("SharedVolume", job.namespace, volume.name)  # a user comes or goes; its progress is no news

    def forget(self, key: Key) -> None:
        """Nothing of it is followed any more."""
        self._follower.stop(key)
        self._words.forget(key)

    async def _last_words(self, key: Key, job: FineTuneJob, workload: Known[Workload] | Unknown) -> tuple[str, ...]:
        """Of a pod that failed in the present attempt or errand, as long as that is not judged."""
        part = part_under_way(job.status)
        if isinstance(workload, Unknown) or part is None or has_ended(job):
            self._words.forget(key)
            return ()
        pod = pod_that_tells(workload.value, part)
        return () if pod is None else await self._words.of(key, pool_of(job), pod)

    def _follow(self, key: Key, job: FineTuneJob, workload: Known[Workload] | Unknown) -> None:
        """Rank 0 of the present attempt, or the pod of an errand, once its container has started.

        What was heard last stays until the next.
        """
        if has_ended(job):
            self._follower.stop(key)
            return
        part = part_under_way(job.status)
        if isinstance(workload, Unknown) or part is None:
            return
        first = next((pod for pod in workload.value.pods_of(part) if pod.index == 0 and pod.started), None)
        if first is None:
            return
        attempt, errand = (part, None) if isinstance(part, int) else (0, part)
        self._follower.follow(key, Target(pool_of(job), first.namespace, first.name, attempt, errand))

    def _model(self, job: FineTuneJob) -> CatalogModel | None:
        """The row of the catalogue that speaks of the job's model."""
        raw = row_of(job, self._ports.cache.list("CatalogModel"))
        model = parse(raw) if raw is not None else None
        return model if isinstance(model, CatalogModel) else None

    def _earlier(self, job: FineTuneJob) -> FineTuneJob | None:
        """The job that this one continues from."""
        continued = job.spec.continue_from
        if continued is None or continued.job is None:
            return None
        raw = self._ports.cache.get("FineTuneJob", job.namespace, continued.job.name)
        earlier = parse(raw) if raw is not None else None
        return earlier if isinstance(earlier, FineTuneJob) else None

    async def _secrets(self, job: FineTuneJob) -> dict[SecretKey, bool]:
        """Whether the keys are there that a preparation needs before it begins. Nothing of their content is kept."""
        preparation = job.status.preparation
        if has_ended(job) or (preparation is not None and preparation.start_time is not None):
            return {}
        keys: dict[SecretKey, bool] = {}
        for wanted in sorted({use.source for use in every_secret(job.spec)}):
            keys[wanted] = await secret_has_key(self._ports, job.namespace, wanted)
        return keys

    async def _files(self, job: FineTuneJob) -> dict[str, str | None]:
        """The datasets that are keys of ConfigMaps, while they are needed: ConfigMaps are not watched."""
        if not needs_its_files(job):
            return {}
        files: dict[str, str | None] = {}
        for role, reference in config_maps_of(job).items():
            found = await self._ports.kube.get(CONFIG_MAP, job.namespace, reference.name)
            files[role] = ((found or {}).get("data") or {}).get(reference.key)
        return files


def _without_secrets(workload: Known[Workload] | Unknown, redacted: Callable[[str], str]) -> Known[Workload] | Unknown:
    """What the pods said at their end goes into the status: it must not carry what somebody printed by mistake."""
    if isinstance(workload, Unknown):
        return workload
    pods = tuple(
        replace(pod, termination=replace(pod.termination, message=redacted(pod.termination.message)))
        if pod.termination is not None
        else pod
        for pod in workload.value.pods
    )
    return Known(replace(workload.value, pods=pods), workload.as_of)


def jobs_on_cluster(cache: Cache, namespace: str, cluster: str) -> Iterable[Key]:
    """The keys of jobs that name this GPUCluster and have not ended: they look when it changes."""
    for raw in cache.list("FineTuneJob", namespace):
        if not _may_run_on(raw, cluster):
            continue
        job = parse(raw)
        if isinstance(job, FineTuneJob) and cluster_name_of(job) == cluster and not has_ended(job):
            yield Key("FineTuneJob", namespace, job.name)


def _may_run_on(raw: Raw, cluster: str) -> bool:
    """A cheap question before the dear one: thousands of jobs wait on other clusters."""
    placement = (raw.get("spec") or {}).get("placement") or {}
    named = (placement.get("cluster") or {}).get("name")
    return named == cluster or (placement.get("type") == "Template" and str(raw["metadata"]["uid"])[:8] in cluster)
