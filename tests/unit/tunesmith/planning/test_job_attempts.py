"""An attempt of a FineTuneJob: made in order, followed to its end, and begun anew after a fault."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
    NODES,
    ROWS,
    TEMPLATE,
    UID,
    WELL,
    a_cluster,
    a_job,
    admitted,
    after,
    circumstances,
    ended,
    made,
    message,
    reason,
    running,
    settled,
    the_batch_job,
    the_pods,
    with_exits,
    with_workload,
)

from tunesmith.planning.actions import (
    DeleteObject,
    ReleasePod,
    RemoteCluster,
    SetMetadata,
)
from tunesmith.planning.admission import holding_of, request_of
from tunesmith.planning.circumstances import Known
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.progress import Report
from tunesmith.resources.conditions import is_true


class TestAttempt:
    def test_the_job_is_made_first_and_its_pods_wait(self):
        decision = decide(admitted())
        assert made(decision) == ["Job"]
        assert decision.actions[0].where == RemoteCluster("team", "gpus")

    def test_configuration_and_service_come_before_the_pods_are_let_go_onto_their_nodes(self):
        seen = admitted()
        gated = the_pods(seen, gated=True, phase="Pending", node=None)
        decision = decide(with_workload(seen, jobs=[the_batch_job(seen)], pods=gated))
        assert made(decision) == ["ConfigMap", "Service"]
        released = [action for action in decision.actions if isinstance(action, ReleasePod)]
        assert [action.node for action in released] == ["n0", "n1"]
        assert decision.actions[0].manifest["data"]["training.jsonl"] == ROWS

    def test_running_pods_are_ready(self):
        seen = running()
        assert is_true(seen.status.conditions, "PodsReady")
        assert decide(seen).actions == ()
        assert seen.status.state == "Training"

    def test_an_image_that_cannot_be_pulled_is_told_in_kubernetes_own_word(self):
        seen = admitted()
        pods = the_pods(seen, phase="Pending", waiting_reason="ErrImagePull", waiting_message="no such image")
        decision = decide(with_workload(seen, jobs=[the_batch_job(seen)], pods=pods))
        assert reason(decision, "PodsReady") == "ImagePullFailed"
        assert "no such image" in message(decision)

    def test_pods_that_no_node_takes_say_why_in_the_schedulers_words(self):
        seen = admitted()
        pods = the_pods(seen, phase="Pending", node=None, unschedulable="0/3 nodes are available: 3 Insufficient cpu.")
        decision = decide(with_workload(seen, jobs=[the_batch_job(seen)], pods=pods))
        assert "0 of 2 pods run." in message(decision)
        assert "has no node: 0/3 nodes are available: 3 Insufficient cpu." in message(decision)

    def test_success_is_recorded_then_everything_is_taken_away_then_the_job_is_let_go(self):
        seen = running()
        over = with_exits(seen, (0, "Success"), (0,), said=WELL)
        decision = decide(over)
        assert is_true(decision.status.conditions, "Succeeded")
        assert is_true(decision.status.conditions, "Ready")
        assert decision.status.output.path == f"outputs/tune/{UID}-a1"
        assert decision.status.output.size_bytes == WELL["resultBytes"]
        assert decision.status.progress.percent == 100
        assert decision.actions == ()
        kept = decide(after(over, decision, around=circumstances(minutes=59)))
        assert kept.actions == (), "its log can still be read"
        first, *peers = the_pods(over)
        phase_follows = replace(ended(first, 0, "Success", **WELL), phase="Running")
        told_early = with_workload(over, jobs=[the_batch_job(over)], pods=[phase_follows, *peers])
        assert decide(after(told_early, decide(told_early))).actions == ()
        tidy = decide(after(over, decision, around=circumstances(minutes=61)))
        assert [(a.kind, a.uid) for a in tidy.actions] == [("Job", "job-1")]
        assert tidy.status == decision.status
        last = decide(with_workload(after(over, decision)))
        assert [a.finalizers for a in last.actions if isinstance(a, SetMetadata)] == [()]

    def test_the_templates_cluster_is_given_back_when_the_job_has_ended(self):
        cluster = a_cluster(ownerReferences=[{"kind": "FineTuneJob", "name": "tune", "uid": UID}], name="tune-0f9d2c1e")
        seen = running(a_job({"placement": TEMPLATE}), cluster=cluster)
        over = with_exits(seen, (0, "Success"), (0,), said=WELL)
        decision = decide(after(over, decide(over)))
        assert [a.kind for a in decision.actions] == ["GPUCluster"], "which takes the pods along"

    def test_a_job_is_deleted_when_its_time_to_live_is_over(self):
        seen = running(a_job({"ttlSecondsAfterFinished": 60}))
        over = with_exits(seen, (0, "Success"), (0,), said=WELL)
        rest = settled(with_workload(after(over, decide(over))))
        waits = decide(after(rest, decide(rest), around=circumstances(0.5)))
        assert (waits.actions, waits.look_again_seconds) == ((), 30)
        [delete] = decide(after(rest, decide(rest), around=circumstances(2))).actions
        assert (delete.kind, delete.uid) == ("FineTuneJob", UID)


class TestFaults:
    def test_a_user_error_ends_the_job_in_the_trainers_words(self):
        said = {"message": "training.jsonl line 3: not JSON"}
        decision = decide(with_exits(running(), (10, "UserErrorData"), (31,), said=said))
        assert is_true(decision.status.conditions, "Failed")
        assert decision.status.failure.message == "training.jsonl line 3: not JSON"
        assert (decision.status.failure.class_, decision.status.failure.reason) == ("User", "UserErrorData")

    def test_a_dead_node_is_blamed_and_the_next_attempt_goes_elsewhere_without_waiting_for_its_pods(self):
        seen = running()
        nodes = (NODES[0], NodeFact("n1", ready=False, gpus=8), NODES[2])
        lost = with_workload(seen, jobs=[the_batch_job(seen)], pods=the_pods(seen), nodes=nodes)
        decision = decide(lost)
        assert decision.status.admission is None
        assert decision.status.blamed_nodes == ("n1",)
        assert decision.status.restarts.infrastructure == 1
        line = settled(after(lost, decision))
        assert [type(action) for action in decide(line).actions] == [DeleteObject]
        assert request_of(line.job).avoid == {"n1"}
        again = decide(after(line, decide(line), answer=Known(GRANT, 0)))
        assert again.status.attempt == 2

    def test_unclassified_failures_are_counted_apart_and_end_at_their_limit(self):
        seen = running(a_job({"recovery": {"maxRestarts": 0}}))
        decision = decide(with_exits(seen, (1,), (1,)))
        assert decision.status.failure.reason == "RestartsExhausted"

    def test_a_newer_attempt_on_the_storage_ends_the_job_and_is_not_the_users_fault(self):
        decision = decide(with_exits(running(), (76, "Superseded"), (76, "Superseded")))
        assert (decision.status.failure.class_, decision.status.failure.reason) == ("Infrastructure", "Superseded")

    def test_preemption_is_not_counted(self):
        decision = decide(with_exits(running(a_job({"recovery": {"maxRestarts": 0}})), (75,), (75,)))
        assert decision.status.admission is None
        assert decision.status.restarts.unclassified is None

    def test_a_job_taken_away_by_somebody_else_is_not_made_again_under_its_number(self):
        decision = decide(with_workload(running()))
        assert decision.status.admission is None
        assert reason(decision, "PodsReady") == "JobDeleted"

    def test_silence_while_the_log_can_be_read_is_a_stall(self):
        seen = running()
        report = Report(1, heard_monotonic=0.0)
        decision = decide(after(seen, decide(seen), report=report, around=circumstances(15)))
        assert reason(decision, "PodsReady") == "Stall"

    def test_a_deadline_ends_the_job(self):
        seen = running(a_job({"activeDeadlineSeconds": 60}))
        decision = decide(after(seen, decide(seen), around=circumstances(2)))
        assert decision.status.failure.reason == "DeadlineExceeded"
        assert holding_of(after(seen, decision).job, ()) is None
