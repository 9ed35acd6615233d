"""Trackers of a job: what the trainer is told, how their keys reach its pods, and that a missing key is said early."""

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    a_job,
    admitted,
    decide,
    preparing,
    the_batch_job,
    the_pods,
    with_workload,
)

from tunesmith.planning.acceptance import plan_of
from tunesmith.planning.actions import ApplyObject, CopySecretKeys
from tunesmith.planning.configuration import config_hash, configuration
from tunesmith.planning.sources import SecretKey
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.not_implemented import set_but_not_implemented

TRACKING = [
    {"type": "WandB", "project": "otters", "entity": "river", "secretRef": {"name": "wandb"}},
    {"type": "MLflow", "endpoint": "https://mlflow.example", "secretRef": {"name": "mlflow"}},
    {"type": "TensorBoard"},
]


def a_tracked_job():
    return a_job({"tracking": TRACKING})


def written(job):
    seen = admitted(job)
    return configuration(seen, plan_of(seen), 1)


def test_the_trainer_is_told_all_but_the_secrets():
    assert written(a_tracked_job())["tracking"] == [
        {"type": "WandB", "project": "otters", "entity": "river"},
        {"type": "MLflow", "endpoint": "https://mlflow.example"},
        {"type": "TensorBoard"},
    ]
    assert set_but_not_implemented(a_tracked_job()) == ()


def test_who_watches_changes_no_outcome():
    assert config_hash(written(a_tracked_job())) == config_hash(written(a_job()))


def test_a_key_that_is_not_there_is_asked_for_before_any_gpu_is():
    decision = decide(preparing(a_tracked_job(), secrets={SecretKey("wandb", "token"): False}))
    said = find_condition(decision.status.conditions, "DatasetReady")
    assert "Secret 'wandb' with key 'token' (`spec.tracking[0].secretRef`)" in said.message
    assert decision.actions == ()


def test_keys_reach_the_attempt_as_variables_and_a_bought_cluster_gets_copies_of_them():
    seen = admitted(a_tracked_job())
    (job,) = [
        one.manifest for one in decide(seen).actions if isinstance(one, ApplyObject) and one.manifest["kind"] == "Job"
    ]
    [container] = job["spec"]["template"]["spec"]["containers"]
    references = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one}
    name = job["metadata"]["name"]
    assert references == {
        "WANDB_API_KEY": {"name": f"{name}-source-1", "key": "token", "optional": True},
        "MLFLOW_TRACKING_TOKEN": {"name": f"{name}-source-0", "key": "token", "optional": True},
    }
    gated = the_pods(seen, gated=True, node=None, phase="Pending")
    at_the_gate = with_workload(seen, jobs=(the_batch_job(seen),), pods=gated)
    copies = [action for action in decide(at_the_gate).actions if isinstance(action, CopySecretKeys)]
    assert [(copy.name, copy.keys, copy.to_name) for copy in copies] == [
        ("mlflow", ("token",), f"{name}-source-0"),
        ("wandb", ("token",), f"{name}-source-1"),
    ]


@pytest.mark.parametrize("tracking", [None, [{"type": "WandB"}], [{"type": "TensorBoard"}]])
def test_without_a_secret_no_variable_is_filled(tracking):
    seen = admitted(a_job({"tracking": tracking}))
    (job,) = [
        one.manifest for one in decide(seen).actions if isinstance(one, ApplyObject) and one.manifest["kind"] == "Job"
    ]
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert [one for one in container["env"] if "valueFrom" in one] == []
