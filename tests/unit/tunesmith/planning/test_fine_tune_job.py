"""The life of a FineTuneJob up to its admission, and its end, as its decisions tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
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
    ended,
    message,
    reason,
    running,
    settled,
    the_batch_job,
    the_pods,
    waiting_in_line,
    with_exits,
    with_workload,
)

from tunesmith.planning.actions import (
    CopyPullSecret,
    SetMetadata,
)
from tunesmith.planning.admission import request_of
from tunesmith.planning.circumstances import FailureRecord, Known, NotYet, Unknown
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.neighbours import wanting_jobs
from tunesmith.planning.pool import GoesBack, InLine, NeverFits
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.schema import to_raw


class TestAcceptance:
    @pytest.mark.parametrize(
        ("spec", "facts", "word", "helps"),
        [
            ({}, {"model": None}, "ModelUnknown", "kubectl get catalogmodels"),
            ({"weightsPath": None}, {}, "WeightsUnknown", "spec.weightsPath"),
            ({"training": {"contextLength": 9000}}, {}, "ContextTooLong", "at most 8192"),
            ({"training": {"batchSize": 17}}, {}, "BatchSizeOutOfRange", "16, 32, 48, 64, 80, 96"),
            ({"training": {"batchSize": 112}}, {}, "BatchSizeOutOfRange", "allows 8 to 96"),
            ({"tuning": {"type": "LoRA", "lora": {"rank": 128}}}, {}, "RankTooHigh", "at most 64"),
            ({"image": "evil:1"}, {}, "ImageNotAllowed", "evil:1"),
            ({"resources": {"gpus": 128}, "training": {"batchSize": None}}, {}, "BatchSizeOutOfRange", "fewer GPUs"),
            ({}, {"files": {"training": "x" * 1_000_001}}, "DatasetTooLarge", "type: Path"),
            ({"suspend": True}, {}, "NotImplemented", "spec.suspend"),
        ],
    )
    def test_what_cannot_be_done_is_refused_with_the_way_out(self, spec, facts, word, helps):
        decision = decide(an_observation(a_job(spec), **facts))
        assert reason(decision) == word
        assert helps in message(decision)
        assert is_true(decision.status.conditions, "Stalled")
        assert not is_true(decision.status.conditions, "Reconciling")
        assert reason(decision, "Accepted") == word
        assert decision.actions == ()

    @pytest.mark.parametrize(
        ("pattern", "allowed"),
        [
            ("example.org/own/trainer:1", True),
            ("example.org/own/trainer:*", True),
            ("example.org/own/trainer:?", True),
            ("example.org/*", True),
            ("example.org/own/trainer", False),
            ("example.org/own/trainer:??", False),
            ("example.org/Own/*", False),
        ],
    )
    def test_an_image_is_allowed_by_its_name_or_a_pattern(self, pattern, allowed):
        job = a_job({"image": "example.org/own/trainer:1"})
        decision = decide(an_observation(job, around=circumstances(allowed_images=(pattern,))))
        assert (reason(decision, "Accepted") == "Accepted") is allowed

    def test_without_a_batch_size_the_largest_that_the_model_allows_and_the_processes_divide_is_taken(self):
        seen = waiting_in_line(a_job({"training": {"batchSize": None}}), model=a_model(maxBatchSizeSFT=100))
        assert seen.status.plan.micro_batch == 6

    def test_simulated_gpus_are_one_process_for_each_pod(self):
        seen = waiting_in_line(around=circumstances(simulated_gpus=True))
        assert (seen.status.plan.pods, seen.status.plan.gpus_per_pod, seen.status.plan.micro_batch) == (2, 8, 8)

    def test_a_model_on_the_storage_needs_no_row_but_its_sizes(self):
        path = {"model": {"type": "Path", "catalog": None, "path": "models/own"}}
        assert reason(decide(an_observation(a_job(path), model=None))) != "ModelUnknown"
        unknown = a_job({**path, "training": {"batchSize": None}})
        assert reason(decide(an_observation(unknown, model=None))) == "BatchSizeUnknown"

    def test_a_missing_config_map_is_waited_for_and_keeps_no_cluster(self):
        seen = an_observation(files={"training": None})
        decision = decide(seen)
        assert reason(decision, "DatasetReady") == "DatasetNotFound"
        assert is_true(decision.status.conditions, "Stalled")
        assert "ConfigMap 'rows' with key 'train.jsonl'" in message(decision)
        assert wanting_jobs([to_raw(after(seen, decision).job)], "gpus") == frozenset()
        assert decision.look_again_seconds == 15.0, "nobody tells of ConfigMaps"
        there = after(seen, decision, files={"training": ROWS})
        assert wanting_jobs([to_raw(settled(there).job)], "gpus") == {"tune"}

    def test_an_attempt_whose_config_map_is_gone_holds_no_gpus(self):
        seen = admitted()
        gated = the_pods(seen, gated=True, phase="Pending", node=None)
        seen = with_workload(seen, jobs=[the_batch_job(seen)], pods=gated, files={"training": None})
        decision = decide(seen)
        assert reason(decision) == "DatasetNotFound"
        assert is_true(decision.status.conditions, "Stalled")
        assert decision.status.admission is None
        assert [action.uid for action in decision.actions] == ["job-1"]

    def test_an_attempt_that_is_refused_before_it_runs_holds_no_gpus(self):
        seen = admitted()
        gated = the_pods(seen, gated=True, phase="Pending", node=None)
        seen = with_workload(seen, jobs=[the_batch_job(seen)], pods=gated, model=None)
        decision = decide(seen)
        assert (reason(decision), reason(decision, "Accepted")) == ("ModelUnknown", "ModelUnknown")
        assert is_true(decision.status.conditions, "Stalled")
        assert decision.status.admission is None
        assert [action.uid for action in decision.actions] == ["job-1"]
        refused = decide(after(seen, decision))
        assert reason(refused) == "ModelUnknown"
        assert [action.uid for action in refused.actions] == ["job-1"], "a deletion that failed is asked for again"

    def test_a_training_goes_on_whatever_becomes_of_the_catalogue(self):
        decision = decide(replace(running(), model=None))
        assert reason(decision) == "Training"
        assert decision.status.admission is not None

    def test_data_that_changes_after_the_plan_is_another_job(self):
        seen = running()
        broke = after(seen, decide(with_exits(seen, (31,), (31,))), files={"training": ROWS * 2})
        assert reason(decide(broke)) == "DatasetChanged"

    def test_a_dry_run_ends_with_its_plan_and_touches_nothing(self):
        seen = settled(an_observation(a_job({"dryRun": True})))
        assert seen.status.plan.pods == 2
        assert seen.job.metadata.finalizers == ()
        assert is_true(seen.status.conditions, "Ready")

    def test_nothing_is_written_while_paused(self):
        job = a_job(annotations={"tunesmith.dev/paused": "true"})
        decision = decide(an_observation(job))
        assert (decision.status, decision.actions) == (job.status, ())

    def test_all_conditions_are_there_from_the_first_visit(self):
        assert len(decide(an_observation()).status.conditions) == 11


class TestCluster:
    def test_a_cluster_that_is_not_there_is_waited_for(self):
        decision = decide(waiting_in_line(cluster=None))
        assert reason(decision, "ClusterReady") == "ClusterNotFound"

    def test_a_cluster_that_is_not_ready_is_waited_for(self):
        decision = decide(waiting_in_line(cluster=a_cluster(ready=False)))
        assert reason(decision, "ClusterReady") == "ClusterNotReady"

    def test_storage_must_be_the_clusters_own_volume(self):
        decision = decide(waiting_in_line(cluster=a_cluster(volume="other")))
        assert reason(decision) == "StorageMismatch"
        assert is_true(decision.status.conditions, "Stalled")

    def test_a_templates_cluster_is_recorded_before_it_is_made_and_belongs_to_the_job(self):
        seen = an_observation(a_job({"placement": TEMPLATE}), cluster=None)
        seen = after(seen, decide(seen))  # the finalizer
        decision = decide(seen)
        assert decision.status.cluster_name == "tune-0f9d2c1e"
        [action] = decision.actions
        manifest = action.manifest
        assert (manifest["kind"], manifest["metadata"]["name"]) == ("GPUCluster", "tune-0f9d2c1e")
        assert manifest["metadata"]["ownerReferences"][0]["uid"] == UID
        assert manifest["spec"]["billing"] == {"type": "OnDemand"}
        assert manifest["spec"]["nodes"] == 2
        assert type(a_cluster()).model_validate(manifest).spec.volume_ref.name == "volume"

    def test_nothing_is_decided_about_pods_that_nobody_can_see(self):
        seen = running()
        decision = decide(after(seen, decide(seen), workload=Unknown("no answer")))
        assert reason(decision, "Progressing") == "ProgressUnknown"
        assert decision.actions == ()
        assert decision.status.admission == seen.status.admission
        seen_again = decide(after(seen, decision))
        assert is_true(seen_again.status.conditions, "ClusterReady")


class TestAdmission:
    def test_a_job_asks_its_pool_only_when_everything_else_is_there(self):
        assert request_of(an_observation().job) is None
        assert request_of(waiting_in_line(cluster=a_cluster(ready=False)).job) is None
        request = request_of(waiting_in_line().job)
        assert (request.pods, request.gpus_per_pod) == (2, 8)

    def test_the_grant_stands_in_the_status_before_anything_is_made(self):
        seen = waiting_in_line()
        decision = decide(after(seen, decide(seen), answer=Known(GRANT, 0)))
        assert [(p.node, p.gpus) for p in decision.status.admission.pods] == [("n0", 8), ("n1", 8)]
        assert decision.status.attempt == 1
        assert decision.actions == ()

    def test_who_waits_says_for_what(self):
        seen = waiting_in_line()
        decision = decide(after(seen, decide(seen), answer=Known(InLine(3, "Waits behind job 'big'."), 0)))
        assert (decision.status.queue.position, decision.status.queue.blocked_by) == (3, "Waits behind job 'big'.")

    def test_what_never_fits_is_stalled_but_keeps_asking(self):
        seen = waiting_in_line()
        decision = decide(after(seen, decide(seen), answer=Known(NeverFits("Too small."), 0)))
        assert reason(decision) == "PoolTooSmall"
        assert request_of(after(seen, decision).job) is not None

    def test_an_admission_without_pods_goes_back_when_its_nodes_cannot_give_it(self):
        seen = admitted()
        decision = decide(after(seen, decide(seen), answer=Known(GoesBack("n1 lost GPUs."), 0)))
        assert decision.status.admission is None
        assert decision.actions == ()

    def test_a_local_job_runs_in_its_own_namespace_on_its_claim(self):
        seen = admitted(a_job(LOCAL), cluster=None)
        [action] = decide(seen).actions
        assert action.where is None
        assert action.manifest["metadata"]["namespace"] == "team"
        volumes = action.manifest["spec"]["template"]["spec"]["volumes"]
        assert volumes[0]["persistentVolumeClaim"] == {"claimName": "pvc"}


class TestRestart:
    """The operator begins anew and nothing has happened: nothing is written."""

    @pytest.mark.parametrize("life", [waiting_in_line, admitted, running], ids=["waiting", "admitted", "running"])
    def test_a_cluster_that_was_not_looked_into_yet_is_no_news(self, life):
        seen = life()
        decision = decide(after(seen, decide(seen), workload=NotYet("not listed"), answer=Unknown("not judged")))
        assert decision.actions == ()
        assert decision.look_again_seconds == 1

    def test_a_place_in_the_line_stays_until_the_pool_has_judged_again(self):
        seen = waiting_in_line()
        told = decide(after(seen, decide(seen), answer=Known(InLine(3, "Waits behind job 'big'."), 0)))
        line = after(seen, told)
        for answer in (Known(None, 0), Unknown("not judged")):
            assert decide(after(line, told, answer=answer)).status == told.status


class TestDeletion:
    def deleted(self, seen, **changes):
        job = seen.job.model_copy(
            update={"metadata": seen.job.metadata.model_copy(update={"deletion_timestamp": circumstances().now})}
        )
        return after(seen, decide(seen), job=job, **changes)

    def test_pods_are_stopped_and_save_before_the_job_goes(self):
        seen = self.deleted(running())
        [action] = decide(seen).actions
        assert (action.kind, action.uid) == ("Job", "job-1")
        ending = with_workload(seen, pods=the_pods(seen, deleting=True))
        assert decide(ending).actions == ()
        [last] = decide(with_workload(seen)).actions
        assert last.finalizers == ()

    def test_abort_does_not_wait_for_a_checkpoint(self):
        actions = decide(self.deleted(running(a_job({"onDelete": "Abort"})))).actions
        assert [(a.kind, a.grace_period_seconds) for a in actions] == [("Pod", 1), ("Pod", 1), ("Job", None)]

    def test_pods_of_a_dead_node_are_not_waited_for(self):
        seen = self.deleted(running())
        left = the_pods(seen, deleting=True)[1:]
        assert isinstance(decide(with_workload(seen, pods=left, nodes=NODES[:1])).actions[0], SetMetadata)

    def test_an_unreachable_cluster_is_waited_for_unless_it_goes_itself(self):
        seen = running()
        gone = Unknown("no answer")
        assert decide(self.deleted(seen, workload=gone)).actions == ()
        [action] = decide(self.deleted(seen, workload=gone, cluster=None)).actions
        assert action.finalizers == ()

    def test_a_job_that_made_nothing_goes_at_once(self):
        seen = self.deleted(waiting_in_line())
        assert [type(action) for action in decide(seen).actions] == [SetMetadata]


def test_ended_pods_tell_their_end():
    assert ended(the_pods(running())[0], 0).finished


def test_the_table_of_jobs_names_the_model_as_the_provider_does():
    assert decide(an_observation(a_job())).status.model_name == a_model().spec.id


class TestPullSecrets:
    SPEC: ClassVar = {"image": "trainer:1", "imagePullSecretRefs": [{"name": "registry"}]}

    def gated(self):
        seen = admitted(a_job(self.SPEC))
        pods = the_pods(seen, gated=True, node=None, phase="Pending")
        return with_workload(seen, jobs=[the_batch_job(seen)], pods=pods)

    def test_they_are_copied_before_a_pod_may_start(self):
        kinds = [type(action).__name__ for action in decide(self.gated()).actions]
        assert kinds == ["ApplyObject", "ApplyObject", "CopyPullSecret", "ReleasePod", "ReleasePod"]

    def test_one_that_cannot_be_used_is_named(self):
        seen = self.gated()
        [copy] = [action for action in decide(seen).actions if isinstance(action, CopyPullSecret)]
        record = FailureRecord(1, 0, Failure(ErrorClass.NOT_FOUND, "Secret 'registry' does not exist."))
        decision = decide(replace(seen, around=replace(seen.around, failures={copy.identity: record})))
        assert reason(decision, "PodsReady") == "PullSecretUnusable"
        assert "Secret 'registry' does not exist." in find_condition(decision.status.conditions, "PodsReady").message
