"""What the status says of a job that passed all checks: the plan, what is pinned, and the conditions that hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.planning.acceptance import Plan, plan_of
from tunesmith.planning.configuration import config_hash, configuration
from tunesmith.planning.expected import expectation, expected_changes
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.fine_tune_job_status import DatasetStatus, FineTuneJobStatus, Pinned
from tunesmith.resources.fine_tune_job_status import Plan as WrittenPlan


def accepted_changes(seen: JobObservation) -> dict[str, Any]:
    """Fields of the status: the plan and what every attempt shares. What was pinned stays."""
    plan = plan_of(seen)
    if not isinstance(plan, Plan):
        return {}
    return {"plan": _written_plan(seen, plan), "pinned": _pinned(seen, plan)}


def accepted_verdicts(seen: JobObservation) -> Mapping[str, Verdict]:
    """The job can be done as it is written, with what it is expected to need; and what is known of its data."""
    return {"Accepted": _accepted(seen), "DatasetReady": _data(seen)}


def _accepted(seen: JobObservation) -> Verdict:
    plan = plan_of(seen)
    told = f" {expectation(seen, plan.sizes)}" if isinstance(plan, Plan) else ""
    return Verdict(True, "Accepted", f"The job is within all limits.{told}")


def _data(seen: JobObservation) -> Verdict:
    if not is_prepared(seen.status):
        return Verdict(None, "NotYet", "Weights and data are looked at, without GPUs, once the cluster takes pods.")
    return dataset_verdict(seen.status.dataset or DatasetStatus())


def dataset_verdict(dataset: DatasetStatus) -> Verdict:
    """What the preparation found."""
    dropped = sum(one.count for one in dataset.dropped)
    more = f"; {dropped} have nothing to learn from and are left out" if dropped else ""
    return Verdict(True, "DatasetChecked", f"{dataset.rows} rows are learned, {dataset.tokens} tokens{more}.")


def is_prepared(status: FineTuneJobStatus) -> bool:
    """Whether weights and data lie checked on the storage."""
    return status.preparation is not None and status.preparation.completion_time is not None


def ready_verdicts(seen: JobObservation) -> Mapping[str, Verdict]:
    """And its cluster can take pods."""
    return {**accepted_verdicts(seen), "ClusterReady": cluster_verdict(seen)}


def cluster_verdict(seen: JobObservation) -> Verdict:
    """The cluster answers and takes pods."""
    if seen.where is None:
        return Verdict(True, "LocalCluster", "The job runs in the operator's own cluster.")
    return Verdict(True, "ClusterReady", f"GPUCluster '{seen.cluster_name}' takes pods.")


def _written_plan(seen: JobObservation, plan: Plan) -> WrittenPlan:
    return (seen.status.plan or WrittenPlan()).model_copy(
        update={
            "pods": plan.pods,
            "gpus_per_pod": plan.gpus_per_pod,
            "gpus": plan.pods * plan.gpus_per_pod,
            "micro_batch": plan.batch.micro,
            "gradient_accumulation": plan.batch.accumulation,
            "sharding": plan.sizes.sharding.value,
            **expected_changes(seen, plan.sizes),
        }
    )


def _pinned(seen: JobObservation, plan: Plan) -> Pinned | None:
    """The hash of the configuration is known once all its paths are."""
    before = seen.status.pinned
    if before is None or not is_prepared(seen.status) or before.config_hash is not None:
        return before
    return before.model_copy(update={"config_hash": config_hash(configuration(seen, plan, max(1, seen.attempt)))})
