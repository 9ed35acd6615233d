"""The one writer of each pool: judges its jobs against its nodes, and keeps grants until jobs have recorded them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tunesmith.controllers.cluster_facts import cluster_facts, gpu_cluster
from tunesmith.controllers.controller import POOL, Key, pool_key
from tunesmith.controllers.ports import Ports
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.admission import Judgement, judge, nodes_to_expect, pool_of, stands_on, with_positions_of_before
from tunesmith.planning.budget import admission_stopped
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.job_cluster import closed_to_jobs
from tunesmith.planning.leaving import names_closed, names_suspected
from tunesmith.planning.pool import PoolAnswer, with_nodes_closed, with_nodes_to_come
from tunesmith.resources.fine_tune_job import FineTuneJob
from tunesmith.resources.parsing import parse

NOTHING = Judgement({}, {})
LOOK_AGAIN_SECONDS = 30.0
POSITIONS_SECONDS = 30.0


class PoolController:
    """Works on pool keys; jobs read their answers here."""

    kind = POOL

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._judged: dict[Key, Known[Judgement] | Unknown] = defaultdict(lambda: Unknown("nobody has judged it yet"))
        self._jobs_read: dict[str, tuple[str, FineTuneJob | None]] = {}  # by uid, with the resourceVersion
        self._positions_told: dict[Key, float] = {}  # monotonic seconds
        self._grants: dict[Key, Judgement] = defaultdict(lambda: NOTHING)

    async def work(self, key: Key) -> float | None:
        """One pass. Jobs whose answer changed are woken."""
        before = self._judged[key]
        jobs = tuple(self._jobs_of(key))
        self._forget_jobs_that_are_gone()
        if not jobs:
            self._judged.pop(key, None)
            self._grants.pop(key, None)
            self._positions_told.pop(key, None)
            return None
        self._judged[key] = self._judge(key, jobs)
        answers, earlier = _answers(self._judged[key]), _answers(before)
        sick = self._sick_nodes(key)
        for job in jobs:
            uid = job.metadata.uid
            news = type(before) is not type(self._judged[key]) or answers.get(uid) != earlier.get(uid)
            if news or stands_on(job, sick):
                self._ports.wake(Key("FineTuneJob", job.namespace, job.name))
        return LOOK_AGAIN_SECONDS

    def answer_for(self, job: FineTuneJob) -> Known[PoolAnswer | None] | Unknown:
        """What the job's pool says to it; None: it has not judged the job yet."""
        judged = self._judged.get(pool_key(pool_of(job)), Known(NOTHING, 0.0))
        return Known(judged.value.answer_for(job), judged.as_of) if isinstance(judged, Known) else judged

    def _judge(self, key: Key, jobs: tuple[FineTuneJob, ...]) -> Known[Judgement] | Unknown:
        """No grant before a full list of jobs made after winning the lease, nor of nodes and pods."""
        if not self._ports.cache.synced("FineTuneJob"):
            return Unknown("the jobs have not been listed yet")
        where = _where(key)
        cluster = gpu_cluster(self._ports, where) if where is not None else None
        closed = closed_to_jobs(cluster) if cluster is not None else None
        if closed is not None:
            return Unknown(closed)
        facts = cluster_facts(self._ports, where)
        if isinstance(facts, Unknown):
            return facts
        nodes, suspects = facts.value.nodes, frozenset[str]()
        if cluster is not None:
            nodes = with_nodes_closed(nodes, names_closed(cluster.status))
            nodes = with_nodes_to_come(nodes, nodes_to_expect(cluster))
            suspects = names_suspected(cluster.status)
        now = self._ports.clock.now()
        closed = admission_stopped(cluster) if cluster is not None else None
        grants = self._grants[key].grants
        judgement = judge(jobs, grants, nodes, facts.value.pods, now, suspects=suspects, closed=closed)
        judgement = self._seldom_moved(key, judgement)
        self._grants[key] = judgement
        return Known(judgement, facts.as_of)

    def _forget_jobs_that_are_gone(self) -> None:
        there = {str(raw["metadata"].get("uid")) for raw in self._ports.cache.list("FineTuneJob")}
        for uid in self._jobs_read.keys() - there:
            del self._jobs_read[uid]

    def _sick_nodes(self, key: Key) -> frozenset[str]:
        facts = cluster_facts(self._ports, _where(key))
        nodes = () if isinstance(facts, Unknown) else facts.value.nodes
        return frozenset(node.name for node in nodes if not node.ready)

    def _seldom_moved(self, key: Key, judgement: Judgement) -> Judgement:
        """Places in the line are told anew every POSITIONS_SECONDS at most."""
        now = self._ports.clock.monotonic()
        if now - self._positions_told.get(key, float("-inf")) >= POSITIONS_SECONDS:
            self._positions_told[key] = now
            return judgement
        return replace(judgement, answers=with_positions_of_before(judgement.answers, self._grants[key].answers))

    def _jobs_of(self, key: Key) -> Iterable[FineTuneJob]:
        namespace = key.namespace or None
        for raw in self._ports.cache.list("FineTuneJob", namespace):
            job = self._read(raw)
            if job is not None and pool_key(pool_of(job)) == key:
                yield job

    def _read(self, raw: Mapping[str, Any]) -> FineTuneJob | None:
        """The job, read once for each of its versions: a pool looks at all its jobs in every pass."""
        meta = raw["metadata"]
        uid, version = str(meta.get("uid")), str(meta.get("resourceVersion"))
        known = self._jobs_read.get(uid)
        if known is None or known[0] != version:
            job = parse(raw)
            known = self._jobs_read[uid] = (version, job if isinstance(job, FineTuneJob) else None)
        return known[1]


def _where(key: Key) -> RemoteCluster | None:
    return None if key == pool_key(None) else RemoteCluster(key.namespace, key.name)


def _answers(judged: Known[Judgement] | Unknown) -> Mapping[str, PoolAnswer]:
    return judged.value.answers if isinstance(judged, Known) else {}
