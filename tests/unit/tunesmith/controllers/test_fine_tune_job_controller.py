"""Jobs, their pool and their follower together, over a cache and a Kubernetes in memory."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    LOCAL,
    ROWS,
    SPEC,
    a_model,
    an_observation,
    circumstances,
    deep,
    what_was_prepared,
)

from tunesmith.controllers.catalog_model import BUNDLED, BundledCatalog, CatalogModelController
from tunesmith.controllers.controller import ActionFailed, Key, pool_key
from tunesmith.controllers.fine_tune_job import FineTuneJobController, jobs_on_cluster
from tunesmith.controllers.pool import PoolController
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.progress_follower import ProgressFollower
from tunesmith.kube.cache import Cache
from tunesmith.kube.errors import KubeError, from_status
from tunesmith.planning.actions import ApplyObject, CopyConfigMapKey, CopySecretKeys, RemoteCluster, SetMetadata
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.schema import to_raw

JOB = Key("FineTuneJob", "team", "tune")


class StillClock:
    def now(self) -> datetime:
        return datetime(2025, 11, 8, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 1000.0


class ConfigMaps:
    """The part of Kubernetes that is not cached."""

    def __init__(self) -> None:
        self.data: dict[str, dict[str, str]] = {"rows": {"train.jsonl": ROWS}}
        self.applied: list[dict[str, Any]] = []
        self.lines: list[str] = []

    async def logs(self, *args, **settings):
        for line in self.lines:
            yield line

    async def get(self, kind, namespace, name):
        return {"data": self.data[name]} if name in self.data else None

    async def apply(self, manifest):
        self.applied.append(manifest)
        return manifest


class Shell:
    """The three controllers, and passes over one job."""

    def __init__(self) -> None:
        self.cache, self.kube, self.woken = Cache(), ConfigMaps(), []
        self.secrets: set[str] = set()
        self.ports = Ports(
            self.cache,
            self.kube,
            SimpleNamespace(kube_for=self._kube_for),
            circumstances().installation,
            self.woken.append,
            StillClock(),
            self.secrets.add,
            str,
        )
        self.pools = PoolController(self.ports)
        self.follower = ProgressFollower(self._kube_for, self.woken.append, StillClock(), str)
        self.jobs = FineTuneJobController(self.ports, self.pools, self.follower)
        self.version = 1
        self.applied: list[dict[str, Any]] = []

    async def _kube_for(self, where):
        return self.kube

    def put(self, kind: str, name: str, namespace: str | None = None, **content: Any) -> None:
        self.version += 1
        meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.version), **content.pop("meta", {})}
        if namespace is not None:
            meta["namespace"] = namespace
        self.cache.observe({"apiVersion": "v1", "kind": kind, "metadata": meta, **content})

    def put_the_world(self) -> None:
        for name in ("n0", "n1"):
            ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"nvidia.com/gpu": "8"}}
            self.put("Node", name, status=ready)
        self.put("CatalogModel", "tiny", spec=to_raw(a_model().spec))
        for kind in ("Node", "Pod", "Job", "FineTuneJob"):
            self.cache.mark_synced(kind)

    def put_the_job(self, spec: dict[str, Any] | None = None) -> None:
        self.put(
            "FineTuneJob",
            "tune",
            "team",
            spec=deep(SPEC, deep(LOCAL, spec or {})),
            meta={"generation": 1, "creationTimestamp": "2025-11-08T11:00:00Z"},
        )

    async def prepare_the_job(self) -> None:
        """Passes until the preparation has ended well, and its Job is gone."""
        for _ in range(3):
            await self.one_pass()
        [made] = [manifest for manifest in self.applied if manifest["kind"] == "Job"]
        self.put_the_preparation(made, "ended")
        await self.one_pass()
        for kind in ("Pod", "Job"):
            gone = self.cache.get(kind, "team", "tune-p1")
            assert gone is not None
            self.cache.drop(gone)
        self.applied.clear()
        await self.one_pass()

    def put_the_preparation(self, made: dict[str, Any], how: str) -> None:
        labels = made["metadata"]["labels"]
        prepared = {
            "tunesmith": "termination/v1",
            "errorClass": "Success",
            "prepared": what_was_prepared(an_observation()),
        }
        ends = {"exitCode": 0, "message": json.dumps(prepared)}
        state = {"running": {"startedAt": "2025-11-08T12:00:00Z"}} if how == "runs" else {"terminated": ends}
        status = {"phase": "Running", "containerStatuses": [{"state": state}]}
        index = {"batch.kubernetes.io/job-completion-index": "0"}
        self.put("Job", "tune-p1", "team", meta={"labels": labels})
        self.put("Pod", "tune-p1", "team", meta={"labels": labels, "annotations": index}, status=status)

    async def one_pass(self) -> Any:
        raw = self.cache.get(*vars_of(JOB))
        decision = self.jobs.decide(await self.jobs.observe(JOB, raw, circumstances()))
        stored = copy.deepcopy(raw)
        stored["status"] = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        for action in decision.actions:
            if isinstance(action, SetMetadata):
                stored["metadata"]["finalizers"] = list(action.finalizers)
            if isinstance(action, ApplyObject):
                self.applied.append(action.manifest)
        self.version += 1
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.cache.observe(stored)
        return decision


def vars_of(key: Key) -> tuple[str, str, str]:
    return key.kind, key.namespace, key.name


@pytest.fixture
def shell() -> Shell:
    return Shell()


async def test_a_local_job_is_granted_by_its_pool_and_its_batch_job_is_made_after_that(shell):
    shell.put_the_world()
    shell.put_the_job()
    await shell.prepare_the_job()
    assert list(shell.jobs.wakes(shell.cache.get(*vars_of(JOB)))) == [pool_key(None)]
    await shell.pools.work(pool_key(None))
    assert JOB in shell.woken
    granted = await shell.one_pass()
    assert granted.status.attempt == 1
    assert shell.applied == []
    await shell.one_pass()
    assert [manifest["kind"] for manifest in shell.applied] == ["Job"]


async def test_no_grant_before_all_jobs_have_been_listed(shell):
    shell.put_the_job()
    shell.put_the_world()
    shell.cache._synced.discard("FineTuneJob")
    await shell.prepare_the_job()
    await shell.pools.work(pool_key(None))
    decision = await shell.one_pass()
    assert find_condition(decision.status.conditions, "Admitted").reason == "Queued"
    assert decision.status.admission is None


async def test_a_config_map_that_is_not_there_is_waited_for(shell):
    shell.put_the_world()
    shell.put_the_job()
    shell.kube.data.clear()
    decision = await shell.one_pass()
    assert find_condition(decision.status.conditions, "DatasetReady").reason == "DatasetNotFound"


async def test_a_cluster_wakes_the_jobs_that_run_on_it(shell):
    shell.put("FineTuneJob", "tune", "team", spec=SPEC)
    assert list(jobs_on_cluster(shell.cache, "team", "gpus")) == [JOB]
    assert list(jobs_on_cluster(shell.cache, "team", "other")) == []


async def test_a_model_wakes_the_jobs_that_name_it(shell):
    shell.put_the_world()
    shell.put_the_job()
    controller = CatalogModelController(shell.ports)
    assert list(controller.wakes(shell.cache.get("CatalogModel", "", "tiny"))) == [JOB]
    assert list(controller.wakes({"metadata": {"name": "other"}, "spec": {"id": "other"}})) == []


async def test_a_repository_that_the_catalogue_knows_has_its_limits(shell):
    shell.put_the_world()
    hub = {"type": "HuggingFace", "catalog": None, "huggingFace": {"repo": "org/weights"}}
    shell.put_the_job({"model": hub, "weightsPath": None, "training": {"contextLength": None}})
    assert find_condition((await shell.one_pass()).status.conditions, "Accepted").reason == "ContextLengthUnknown"
    spec = {**to_raw(a_model().spec), "weights": {"huggingFace": {"repo": "org/weights"}}}
    shell.put("CatalogModel", "tiny", spec=spec)
    row = shell.cache.get("CatalogModel", "", "tiny")
    assert list(CatalogModelController(shell.ports).wakes(row)) == [JOB]
    assert find_condition((await shell.one_pass()).status.conditions, "Accepted").reason == "Accepted"


async def test_the_bundled_catalogue_is_applied_once_and_users_rows_are_left_alone(shell):
    catalog = BundledCatalog(shell.ports)
    assert await catalog.work(BUNDLED) == 1.0  # not before the rows there are have been listed
    shell.cache.mark_synced("CatalogModel")
    await catalog.work(BUNDLED)
    assert len(shell.kube.applied) >= 81
    for index, manifest in enumerate(shell.kube.applied):
        meta = {**manifest["metadata"], "uid": f"u{index}", "resourceVersion": "1"}
        spec = {**manifest["spec"], "source": "User", "displayName": "Mine"} if index == 0 else manifest["spec"]
        shell.cache.observe({**manifest, "metadata": meta, "spec": spec})
    shell.kube.applied.clear()
    await catalog.work(BUNDLED)
    assert shell.kube.applied == []


@pytest.mark.parametrize(("status", "others"), [(422, True), (503, False)], ids=["a refused row", "no API server"])
async def test_a_refused_row_keeps_back_no_other_and_is_told(shell, monkeypatch, status, others):
    tried = []

    async def apply(manifest):
        tried.append(manifest["metadata"]["name"])
        if len(tried) == 1:
            raise from_status("apply CatalogModel", status)
        return manifest

    monkeypatch.setattr(shell.kube, "apply", apply)
    shell.cache.mark_synced("CatalogModel")
    with pytest.raises(KubeError):
        await BundledCatalog(shell.ports).work(BUNDLED)
    assert (len(tried) >= 84) is others


async def test_a_preparation_is_followed_and_its_bytes_are_told(shell):
    shell.put_the_world()
    shell.put_the_job()
    said = {"tunesmith": "progress/v1", "time": "2025-11-08T12:00:00Z", "attempt": 1, "stage": "Fetching", "step": 0}
    shell.kube.lines = [json.dumps({**said, "bytesDone": 5, "bytesTotal": 10})]
    for _ in range(3):
        await shell.one_pass()
    [made] = shell.applied
    shell.put_the_preparation(made, "runs")
    await shell.one_pass()
    while JOB not in shell.woken:
        await asyncio.sleep(0)
    status = (await shell.one_pass()).status
    assert (status.stage, status.progress.bytes_done, status.progress.bytes_total) == ("Fetching", 5, 10)
    assert find_condition(status.conditions, "DatasetReady").reason == "Fetching"
    await shell.follower.close()


class TestSecretsOfSources:
    TOKEN: ClassVar = {"repo": "org/rows", "tokenSecretRef": {"name": "hub", "key": "token"}}
    SPEC: ClassVar = {"dataset": {"training": {"type": "HuggingFace", "configMap": None, "huggingFace": TOKEN}}}

    async def test_a_key_that_is_not_there_is_waited_for_and_named(self, shell):
        shell.put_the_world()
        shell.put_the_job(self.SPEC)
        for _ in range(3):
            decision = await shell.one_pass()
        ready = find_condition(decision.status.conditions, "DatasetReady")
        assert ready.reason == "SourceSecretNotFound"
        assert "Secret 'hub' with key 'token' (`spec.dataset.training.huggingFace.tokenSecretRef`)" in ready.message
        assert shell.applied == []
        shell.kube.data["hub"] = {"token": base64.b64encode(b"hf_secret").decode()}
        for _ in range(3):
            await shell.one_pass()
        [made] = shell.applied
        [container] = made["spec"]["template"]["spec"]["containers"]
        reference = {"name": "hub", "key": "token"}
        assert {"name": "TUNESMITH_TRAINING_TOKEN", "valueFrom": {"secretKeyRef": reference}} in container["env"]
        assert shell.secrets >= {"hf_secret"}, "so that no text shows it"

    async def test_a_copy_in_a_bought_cluster_has_only_the_keys_that_are_needed_and_goes_with_its_job(self, shell):
        data = {key: base64.b64encode(key.encode()).decode() for key in ("accessKeyID", "secretAccessKey", "other")}
        shell.kube.data["store"] = data
        copy = CopySecretKeys(
            RemoteCluster("team", "gpus"), "team", "store", ("accessKeyID",), "jobs", "p1-source-0", "p1", "uid-p1"
        )
        await shell.jobs.act(an_observation(), copy)
        [stored] = shell.kube.applied
        assert stored["data"] == {"accessKeyID": data["accessKeyID"]}
        assert [owner["uid"] for owner in stored["metadata"]["ownerReferences"]] == ["uid-p1"]
        with pytest.raises(ActionFailed, match="'token' does not exist"):
            await shell.jobs.act(an_observation(), replace(copy, keys=("token",)))


class TestSettingsOfTheInstallation:
    async def test_the_bundle_of_certificates_lies_beside_the_pods_and_goes_with_their_job(self, shell):
        shell.kube.data["trusted"] = {"all.pem": "PEM", "other": "x"}
        copy = CopyConfigMapKey(None, "admin", "trusted", "all.pem", "team", "p1-certificates", "bundle.pem", "p1", "u")
        await shell.jobs.act(an_observation(), copy)
        [stored] = shell.kube.applied
        assert (stored["kind"], stored["data"]) == ("ConfigMap", {"bundle.pem": "PEM"})
        assert [owner["uid"] for owner in stored["metadata"]["ownerReferences"]] == ["u"]
        with pytest.raises(ActionFailed, match="ConfigMap 'admin/trusted' with key 'nothing' does not exist"):
            await shell.jobs.act(an_observation(), replace(copy, key="nothing"))

    async def test_the_password_of_a_proxy_is_kept_out_of_all_texts(self, shell):
        address = base64.b64encode(b"http://user:p%40ss@proxy:3128").decode()
        shell.kube.data["proxy"] = {"HTTPS_PROXY": address}
        copy = CopySecretKeys(None, "admin", "proxy", ("HTTPS_PROXY",), "team", "p1-proxy", "p1", "u")
        await shell.jobs.act(an_observation(), copy)
        assert shell.kube.applied[0]["data"] == {"HTTPS_PROXY": address}
        assert shell.secrets >= {address, "http://user:p%40ss@proxy:3128", "p%40ss", "p@ss"}
