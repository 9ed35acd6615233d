"""Before GPUs are asked for, a pod without any fetches and checks; what it found decides what follows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from tests.unit.tunesmith.planning.job_builders import (
    LOCAL,
    NODES,
    ROWS,
    TEMPLATE,
    UID,
    a_cluster,
    a_job,
    a_model,
    admitted,
    after,
    an_observation,
    circumstances,
    prepared,
    preparing,
    settled,
    the_errand,
    waiting_in_line,
    what_was_prepared,
    with_errand,
    with_workload,
)

from tunesmith.planning.acceptance import plan_of
from tunesmith.planning.actions import ApplyObject, CopySecretKeys, DeleteObject, ReleasePod, RemoteCluster
from tunesmith.planning.admission import holding_of, request_of
from tunesmith.planning.attempt_end import Workload
from tunesmith.planning.circumstances import Known, PreparationNeeds, Unknown
from tunesmith.planning.configuration import config_hash, configuration, prepare_configuration
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import gpus_of
from tunesmith.planning.neighbours import wanting_jobs
from tunesmith.planning.progress import Report
from tunesmith.planning.sources import SecretKey
from tunesmith.resources.catalog_model import Weights
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith_trainer.contract import PrepareConfiguration

SCHEMA = json.loads((Path(__file__).parents[4] / "contract/v1/prepare.schema.json").read_text())
HUB = {"model": {"type": "HuggingFace", "catalog": None, "huggingFace": {"repo": "org/tiny"}}, "weightsPath": None}
TOKEN = {"tokenSecretRef": {"name": "hub", "key": "token"}}
EVERY_SOURCE = {
    **HUB,
    "model": {**HUB["model"], "huggingFace": {"repo": "org/tiny", "revision": "v1", **TOKEN}},
    "dataset": {
        "training": {
            "type": "S3",
            "configMap": None,
            "s3": {"bucket": "rows", "key": "train.jsonl", "credentialsSecretRef": {"name": "store"}},
        },
        "validation": {"type": "HTTP", "http": {"url": "https://example.org/held-out.jsonl", "sha256": "c" * 64}},
    },
}


def reason(decision, kind: str = "Ready") -> str:
    return find_condition(decision.status.conditions, kind).reason


def message(decision, kind: str = "Ready") -> str:
    return find_condition(decision.status.conditions, kind).message


def the_pod(decision):
    """The pod's spec of the one Job that is made."""
    [manifest] = [action.manifest for action in decision.actions if isinstance(action, ApplyObject)]
    return manifest["spec"]["template"]["spec"]


def at_the_gate(seen):
    return with_errand(seen, gated=True, node=None, phase="Pending", started=False)


class TestCourse:
    def test_its_number_stands_in_the_status_before_anything_is_made(self):
        seen = an_observation()
        seen = after(seen, decide(seen))  # the finalizer
        decision = decide(seen)
        assert decision.status.preparation.number == 1
        assert decision.actions == ()

    def test_it_gets_no_gpu_and_sees_none_and_asks_for_what_the_installation_says(self):
        needs = PreparationNeeds("3", "7Gi")
        pod = the_pod(decide(preparing(around=circumstances(preparation=needs))))
        [container] = pod["containers"]
        assert container["args"][0] == "prepare"
        assert container["resources"] == {"requests": {"cpu": "3", "memory": "7Gi"}}
        assert gpus_of(pod) == 0
        assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]

    def test_it_runs_where_the_storage_is(self):
        bought = decide(preparing())
        assert bought.actions[0].where == RemoteCluster("team", "gpus")
        assert bought.actions[0].manifest["metadata"]["namespace"] == "tunesmith-jobs"
        there = Known(Workload(nodes=[replace(node, labels={"a": "b"}) for node in NODES]), 0)
        spec = {**LOCAL, "placement": {**LOCAL["placement"], "local": {"nodeSelector": {"a": "b"}}}}
        local = decide(preparing(a_job(spec), cluster=None, workload=there))
        assert local.actions[0].manifest["metadata"]["namespace"] == "team"
        assert the_pod(local)["nodeSelector"] == {"a": "b"}
        assert the_pod(local)["volumes"][0]["persistentVolumeClaim"] == {"claimName": "pvc"}

    def test_a_cluster_that_is_not_ready_is_waited_for_first(self):
        seen = preparing(cluster=a_cluster(ready=False))
        assert seen.status.preparation is None
        assert reason(decide(seen), "ClusterReady") == "ClusterNotReady"
        assert reason(decide(seen), "DatasetReady") == "NotYet"

    def test_its_pod_is_let_go_when_its_configuration_is_beside_it(self):
        decision = decide(at_the_gate(preparing()))
        assert [type(action) for action in decision.actions] == [ApplyObject, ReleasePod]
        data = decision.actions[0].manifest["data"]
        assert data["training.jsonl"] == ROWS
        assert json.loads(data["config.json"])["storage"]["jobPath"] == f"/storage/{UID}"
        assert decision.actions[1].node is None
        assert decision.status.preparation.start_time is not None

    def test_it_stands_in_no_line_and_holds_nothing_yet_its_cluster_is_in_use(self):
        seen = settled(with_errand(preparing()))
        assert request_of(seen.job) is None
        assert holding_of(seen.job, ()) is None
        raw = json.loads(seen.job.model_dump_json(by_alias=True, exclude_none=True))
        assert wanting_jobs([raw], "gpus") == {"tune"}

    def test_who_runs_says_nothing_new(self):
        seen = settled(with_errand(preparing()))
        again = decide(seen)
        assert (again.actions, again.status, again.events) == ((), seen.status, ())
        assert seen.status.state == "Preparing"

    def test_a_pod_that_finds_no_node_says_what_it_needs(self):
        seen = with_errand(preparing(), node=None, phase="Pending", started=False)
        assert "1 CPU and 4Gi of memory" in message(decide(seen))

    def test_why_no_node_takes_its_pod_is_told_in_the_schedulers_words(self):
        said = 'persistentvolumeclaim "volume" not found.'
        seen = with_errand(preparing(), node=None, phase="Pending", started=False, unschedulable=said)
        assert 'The scheduler says: persistentvolumeclaim "volume" not found.' in message(decide(seen))

    def test_what_an_earlier_one_still_does_is_waited_for(self):
        broke = with_errand(preparing(), 31, "Infrastructure")
        seen = after(broke, decide(broke), around=circumstances(1))
        job, pod = the_errand(seen)
        decision = decide(with_workload(seen, jobs=[job], pods=[pod]))
        assert [(action.kind, action.name) for action in decision.actions] == [("Job", job.name)]
        gone = decide(with_workload(seen, pods=[pod]))
        assert gone.actions == ()
        clear = decide(with_workload(seen))
        assert clear.actions[0].manifest["metadata"]["name"].endswith("-p2")


class TestEnd:
    def test_rows_hashes_and_what_was_left_out_stand_in_the_status_before_its_pod_goes(self):
        done = with_errand(preparing(), 0, "Success", said={"prepared": what_was_prepared(preparing())})
        decision = decide(done)
        assert is_true(decision.status.conditions, "DatasetReady")
        assert message(decision, "DatasetReady").startswith("97 rows are learned, 5000 tokens; 3 have nothing")
        assert (decision.status.dataset.rows, decision.status.dataset.tokens) == (97, 5000)
        assert [(one.reason, one.count) for one in decision.status.dataset.dropped] == [("noTrainableTokens", 3)]
        assert len(decision.status.pinned.dataset_sha256) == 1
        assert decision.actions == ()
        following = decide(after(done, decision))
        assert [type(action) for action in following.actions] == [DeleteObject]
        assert reason(following) == "Queued"

    @pytest.mark.parametrize(
        ("code", "word"), [(10, "UserErrorData"), (11, "UserErrorModel"), (13, "UserErrorCredentials")]
    )
    def test_a_user_error_ends_the_job_before_any_gpu_was_held_in_the_trainers_words(self, code, word):
        said = {"message": "training.jsonl line 2: not JSON"}
        decision = decide(with_errand(preparing(), code, word, said=said))
        assert is_true(decision.status.conditions, "Failed")
        assert decision.status.failure.message == "training.jsonl line 2: not JSON"
        assert (reason(decision, "DatasetReady"), decision.status.start_time) == (word, None)
        assert decision.status.attempt is None

    def test_the_pod_that_failed_stays_for_its_log_and_then_goes(self):
        failed = with_errand(preparing(), 10, "UserErrorData", said={"message": "no"})
        over = after(failed, decide(failed))
        assert decide(over).actions == ()
        assert [action.kind for action in decide(replace(over, around=circumstances(61))).actions] == ["Job"]

    def test_faults_are_tried_again_after_a_growing_pause_and_counted_apart_from_attempts(self):
        seen, pauses = preparing(), []
        for number in (1, 2, 3):
            broke = with_errand(seen, 31, "Infrastructure", part=f"prepare-{number}", said={"message": "no route"})
            seen = after(broke, decide(broke))
            pauses.append((seen.status.preparation.retry_time - seen.around.now).total_seconds())
            seen = with_workload(seen, around=circumstances(60 * number))
        assert pauses == [10, 20, 40]
        assert (seen.status.preparation.number, seen.status.preparation.restarts.infrastructure) == (4, 3)
        assert seen.status.restarts is None

    def test_while_it_pauses_nothing_is_made(self):
        broke = with_errand(preparing(), 31, "Infrastructure")
        decision = decide(with_workload(after(broke, decide(broke))))
        assert (decision.actions, decision.look_again_seconds) == ((), 10)
        assert reason(decision, "DatasetReady") == "PreparingAgain"

    def test_faults_end_the_job_at_their_limit(self):
        job = a_job({"recovery": {"maxInfrastructureRestarts": 0}})
        decision = decide(with_errand(preparing(job), 31, "Infrastructure"))
        assert reason(decision, "Failed") == "RestartsExhausted"

    def test_a_lost_message_means_to_prepare_again(self):
        seen = with_errand(preparing(), 0)
        assert decide(seen).status.preparation.number == 2

    def test_a_job_that_somebody_deleted_is_not_made_again_under_its_number(self):
        seen = settled(with_errand(preparing()))
        assert decide(with_workload(seen)).status.preparation.number == 2

    def test_silence_while_the_log_can_be_read_is_a_stall(self):
        seen = settled(with_errand(preparing()))
        report = Report(0, errand="prepare-1", heard_monotonic=0.0)
        assert decide(replace(seen, report=report, around=circumstances(15))).status.preparation.number == 2

    def test_out_of_memory_names_the_installations_setting(self):
        job = a_job({"recovery": {"maxRestarts": 0}})
        assert "trainer.preparation.memory" in message(decide(with_errand(preparing(job), 20, "OutOfMemory")))

    def test_a_job_that_is_deleted_takes_its_preparation_along(self):
        seen = settled(with_errand(preparing()))
        metadata = seen.job.metadata.model_copy(update={"deletion_timestamp": circumstances().now})
        deleted = replace(seen, job=seen.job.model_copy(update={"metadata": metadata}))
        [action] = decide(deleted).actions
        assert (action.kind, action.name) == ("Job", the_errand(seen)[0].name)
        assert "save" not in message(decide(deleted))
        [last] = decide(with_workload(deleted)).actions
        assert last.finalizers == ()

    def test_nothing_is_decided_about_a_pod_that_nobody_can_see(self):
        seen = settled(with_errand(preparing()))
        assert decide(replace(seen, workload=Unknown("no answer"))).actions == ()


class TestSources:
    def preparing(self, spec=EVERY_SOURCE, **changes):
        secrets = {SecretKey("hub", "token"): True, SecretKey("store", "accessKeyID"): True}
        return preparing(a_job(spec), **{"model": None, "files": {}, "secrets": secrets, **changes})

    def written(self, seen):
        return prepare_configuration(seen, plan_of(seen), 1)

    @pytest.mark.parametrize("spec", [{}, EVERY_SOURCE, HUB], ids=["on the storage", "fetched", "model fetched"])
    def test_what_the_operator_writes_the_trainer_reads(self, spec):
        seen = preparing(a_job(spec))
        written = self.written(seen)
        jsonschema.validate(written, SCHEMA)
        PrepareConfiguration.model_validate(written)
        assert written["tuning"] == configuration(seen, plan_of(seen), 1)["tuning"]

    def test_every_source_arrives_and_a_mirror_of_the_hub_is_asked_in_its_place(self):
        fetch = self.written(self.preparing(around=circumstances(hub_endpoint="https://hub.example")))["fetch"]
        hub = {"repo": "org/tiny", "revision": "v1", "endpoint": "https://hub.example"}
        assert fetch["model"] == {"type": "HuggingFace", "huggingFace": hub, "maxParameters": 100_000_000_000}
        assert fetch["datasets"]["training"]["s3"]["endpoint"] == "https://s3.amazonaws.com"
        assert fetch["datasets"]["validation"]["http"]["sha256"] == "c" * 64

    def test_a_model_of_the_catalogue_is_fetched_from_where_it_is_published(self):
        model = _published(huggingFace={"repo": "org/tiny-published"})
        seen = preparing(a_job({"weightsPath": None}), model=model)
        assert self.written(seen)["fetch"]["model"]["huggingFace"]["repo"] == "org/tiny-published"

    def test_a_gated_model_of_the_catalogue_is_refused_with_the_way_to_give_a_token(self):
        model = _published(huggingFace={"repo": "org/gated"}, gated=True)
        seen = an_observation(a_job({"weightsPath": None}), model=model)
        assert reason(decide(seen)) == "WeightsGated"
        assert "tokenSecretRef" in message(decide(seen))
        mirror = replace(seen, around=circumstances(hub_endpoint="https://hub.example"))
        assert reason(decide(mirror)) != "WeightsGated"

    def test_secrets_reach_the_pod_as_variables_and_a_bought_cluster_gets_copies_of_only_their_keys(self):
        seen = self.preparing()
        [container] = the_pod(decide(seen))["containers"]
        references = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one}
        name = the_errand(seen)[0].name
        assert references == {
            "TUNESMITH_MODEL_TOKEN": {"name": f"{name}-source-0", "key": "token"},
            "TUNESMITH_TRAINING_ACCESS_KEY_ID": {"name": f"{name}-source-1", "key": "accessKeyID"},
            "TUNESMITH_TRAINING_SECRET_ACCESS_KEY": {"name": f"{name}-source-1", "key": "secretAccessKey"},
        }
        copies = [action for action in decide(at_the_gate(seen)).actions if isinstance(action, CopySecretKeys)]
        assert [(copy.name, copy.keys, copy.owner_uid) for copy in copies] == [
            ("hub", ("token",), "uid-prepare-1"),
            ("store", ("accessKeyID", "secretAccessKey"), "uid-prepare-1"),
        ]

    def test_a_secret_that_is_not_there_is_waited_for_before_a_cluster_is_bought_and_keeps_none(self):
        job = a_job({**EVERY_SOURCE, "placement": TEMPLATE})
        seen = settled(an_observation(job, cluster=None, files={}, secrets={SecretKey("hub", "token"): False}))
        decision = decide(seen)
        assert reason(decision, "DatasetReady") == "SourceSecretNotFound"
        assert "Secret 'hub' with key 'token' (`spec.model.huggingFace.tokenSecretRef`)" in message(decision)
        assert (decision.actions, decision.look_again_seconds) == ((), 15)
        raw = json.loads(seen.job.model_dump_json(by_alias=True, exclude_none=True))
        assert wanting_jobs([raw], "tune-0f9d2c1e") == frozenset()

    def test_the_keys_of_a_mirror_are_looked_for_before_anything_is_made(self):
        bucket = {"bucket": "copies", "credentialsSecretRef": {"name": "mirror"}}
        spec = {"training": {"checkpoints": {"mirror": {"s3": bucket}}}}
        decision = decide(preparing(a_job(spec), secrets={SecretKey("mirror", "secretAccessKey"): False}))
        assert reason(decision, "DatasetReady") == "SourceSecretNotFound"
        assert "(`spec.training.checkpoints.mirror.s3.credentialsSecretRef`)" in message(decision)

    def test_what_the_job_goes_on_from_is_looked_at_with_what_must_be_alike(self):
        seen = preparing(a_job({"continueFrom": {"type": "Path", "path": "outputs/first"}}))
        written = prepare_configuration(seen, plan_of(seen), 1)
        assert written["continueFrom"] == {"path": "/storage/outputs/first"}
        assert written["tuning"] == configuration(seen, plan_of(seen), 1)["tuning"]
        jsonschema.validate(written, SCHEMA)
        assert PrepareConfiguration.model_validate(written).continue_from.path == "/storage/outputs/first"

    def test_what_was_resolved_once_is_what_every_attempt_uses(self):
        said = {
            "modelPath": "/storage/weights/org--tiny/abc",
            "modelRevision": "abc",
            "trainingPath": "/storage/datasets/1/train.jsonl",
            "validationPath": "/storage/datasets/2/held-out.jsonl",
            "datasetSHA256": {"training": "a" * 64, "validation": "c" * 64},
        }
        seen = prepared(self.preparing(), **said)
        assert seen.status.pinned.model_revision == "abc"
        assert seen.status.pinned.dataset_sha256 == ("a" * 64, "c" * 64)
        first, second = (configuration(seen, plan_of(seen), number) for number in (1, 2))
        assert first["model"] == {"path": "/storage/weights/org--tiny/abc"}
        assert first["data"]["validation"] == {"path": "/storage/datasets/2/held-out.jsonl"}
        assert config_hash(first) == config_hash(second) == seen.status.pinned.config_hash

    def test_one_preparation_is_enough_for_all_attempts(self):
        seen = admitted()
        broke = settled(with_workload(after(seen, decide(seen))))
        assert broke.status.preparation == waiting_in_line().status.preparation


def _published(**weights):
    """The model of the catalogue, with what is known of its weights."""
    spec = a_model().spec.model_copy(update={"weights": Weights.model_validate(weights)})
    return a_model().model_copy(update={"spec": spec})
