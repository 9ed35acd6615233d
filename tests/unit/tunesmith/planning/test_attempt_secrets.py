"""The Secrets that the attempts of a job read: copied to a bought cluster, named when they are not there."""

from dataclasses import replace
from typing import ClassVar

from tests.unit.tunesmith.planning.job_builders import a_job, admitted, the_batch_job, the_pods, with_workload

from tunesmith.planning.actions import CopySecretKeys
from tunesmith.planning.circumstances import FailureRecord
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.fine_tune_job import decide
from tunesmith.resources.conditions import find_condition


class TestKeysOfAMirror:
    BUCKET: ClassVar = {"bucket": "copies", "credentialsSecretRef": {"name": "store"}}

    def gated(self):
        seen = admitted(a_job({"training": {"checkpoints": {"mirror": {"s3": self.BUCKET}}}}))
        pods = the_pods(seen, gated=True, node=None, phase="Pending")
        return with_workload(seen, jobs=[the_batch_job(seen)], pods=pods)

    def test_they_are_copied_before_a_pod_may_start(self):
        [copy] = [action for action in decide(self.gated()).actions if isinstance(action, CopySecretKeys)]
        assert (copy.name, copy.keys) == ("store", ("accessKeyID", "secretAccessKey"))

    def test_a_secret_that_is_not_there_is_named(self):
        seen = self.gated()
        [copy] = [action for action in decide(seen).actions if isinstance(action, CopySecretKeys)]
        record = FailureRecord(1, 0, Failure(ErrorClass.NOT_FOUND, "Secret 'store' does not exist."))
        decision = decide(replace(seen, around=replace(seen.around, failures={copy.identity: record})))
        told = find_condition(decision.status.conditions, "PodsReady")
        assert told.reason == "SourceSecretNotFound"
        assert "Secret 'store' does not exist." in told.message
