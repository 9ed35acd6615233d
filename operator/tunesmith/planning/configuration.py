"""The trainer's configuration files, in the words of contract/v1: of an attempt, and of the preparation before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tunesmith.planning.acceptance import Plan
from tunesmith.planning.attempt import (
    CONFIGURATION_DIRECTORY,
    STORAGE_ROOT,
    job_path,
    master_port,
    on_storage,
    output_path,
)
from tunesmith.planning.contract import API_VERSION
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.learning import learning, packs
from tunesmith.planning.memory.terms import Sharding
from tunesmith.planning.mirror import mirror_section
from tunesmith.planning.sources import ROLES, TRAINING, VALIDATION, fetch_section, fetches_data, fetches_model
from tunesmith.planning.tracking import tracking_section
from tunesmith.resources.fine_tune_job_inputs import DatasetSource, DatasetType
from tunesmith.resources.fine_tune_job_status import Pinned

MOST_SECONDS_TO_LOSE = 900
"""Of training, when a job dies: it is saved as often, whatever `checkpoints.count` says."""
# What another attempt may have otherwise without another outcome.
NOT_HASHED = frozenset({"microBatch", "gradientAccumulation", "microBatchBefore"})
DECIDES_THE_OUTCOME = ("model", "data", "method", "tuning", "continueFrom")
DECIDES_ABOUT_ROWS = frozenset({"epochs", "maxSteps", "globalBatch", "contextLength", "packing"})


def configuration(seen: JobObservation, plan: Plan, attempt: int) -> dict[str, Any]:
    """The whole file: everything is resolved here, the trainer does not guess."""
    spec = seen.spec
    return {
        "apiVersion": API_VERSION,
        "model": {"path": plan.model_path},
        "data": _data(seen),
        **learning(seen),
        "training": _training(seen, plan),
        "evaluations": _evaluations(seen),
        "checkpoints": {
            "count": spec.training.checkpoints.count,
            "maxSecondsApart": MOST_SECONDS_TO_LOSE,
            "keep": spec.training.checkpoints.keep,
            "graceSeconds": seen.around.installation.save_grace_seconds,
            **mirror_section(spec),
        },
        "storage": {
            "root": STORAGE_ROOT,
            "jobPath": job_path(seen.identity),
            "attempt": attempt,
            "outputPath": output_path(seen.identity, spec.output.path or f"outputs/{seen.identity.name}", attempt),
        },
        "world": {
            "pods": plan.pods,
            "processesPerPod": plan.processes_per_pod,
            "gpusPerPod": plan.gpus_per_pod,
            "masterPort": master_port(seen.identity, attempt),
            "sharding": "FSDP2" if plan.sizes.sharding is Sharding.FSDP2 else "DDP",
        },
        "simulatedGPUs": seen.around.installation.simulated_gpus,
        "stallAfterSeconds": spec.recovery.stall_timeout_seconds,
        "tracking": tracking_section(spec),
    }


def prepare_configuration(seen: JobObservation, plan: Plan, number: int) -> dict[str, Any]:
    """The file of a preparation: where everything comes from, what becomes of the rows, what must fit the job."""
    whole = configuration(seen, plan, 1)
    fetch = fetch_section(seen.spec, seen.model, seen.around.installation)
    fetched = {} if fetch is None else fetch.get("datasets", {})
    written = {
        "apiVersion": API_VERSION,
        "data": {key: part for key, part in whole["data"].items() if key not in fetched},
        "method": whole["method"],
        "tuning": whole["tuning"],
        "training": {key: part for key, part in whole["training"].items() if key in DECIDES_ABOUT_ROWS},
        "storage": {"root": STORAGE_ROOT, "jobPath": job_path(seen.identity), "attempt": number},
        "stallAfterSeconds": seen.spec.recovery.stall_timeout_seconds,
    }
    model = {} if fetches_model(seen.spec, seen.model) else {"model": whole["model"]}
    continued = {"continueFrom": whole["continueFrom"]} if "continueFrom" in whole else {}
    return written | model | continued | ({} if fetch is None else {"fetch": fetch})


def config_hash(configuration: Mapping[str, Any]) -> str:
    """SHA-256 over what decides the outcome of the training."""
    training = {key: value for key, value in configuration["training"].items() if key not in NOT_HASHED}
    outcome = {key: configuration[key] for key in DECIDES_THE_OUTCOME if key in configuration} | {"training": training}
    return hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()


def travelling_files(seen: JobObservation) -> dict[str, str]:
    """The datasets that come out of ConfigMaps, by the file name that they get in the pod."""
    return {_file_name(role): text for role, text in seen.files.items() if text is not None}


def changed_files(seen: JobObservation) -> tuple[str, ...]:
    """Roles of the datasets from ConfigMaps that are not what was prepared. What nobody pinned has not changed."""
    pinned = dict(zip(ROLES, seen.status.pinned.dataset_sha256 if seen.status.pinned is not None else (), strict=False))
    return tuple(
        role
        for role, text in sorted(seen.files.items())
        if text is not None and role in pinned and hashlib.sha256(text.encode()).hexdigest() != pinned[role]
    )


def _file_name(role: str) -> str:
    return f"{role}.jsonl"


def _data(seen: JobObservation) -> dict[str, Any]:
    dataset = seen.spec.dataset
    data: dict[str, Any] = {
        "training": {"path": _path(seen, TRAINING, dataset.training)},
        "trainOnInputs": seen.spec.method.train_on_inputs.value,
        "onUnstableTemplate": dataset.on_unstable_template.value,
    }
    if dataset.validation is not None:
        data["validation"] = {"path": _path(seen, VALIDATION, dataset.validation)}
    return data


def _path(seen: JobObservation, role: str, source: DatasetSource) -> str | None:
    """As the pod sees it; None as long as the file is to be fetched."""
    if source.type is DatasetType.CONFIG_MAP:
        return f"{CONFIGURATION_DIRECTORY}/{_file_name(role)}"
    if fetches_data(source):
        pinned = seen.status.pinned or Pinned()
        return pinned.training_path if role == TRAINING else pinned.validation_path
    return on_storage(source.path or "")


def _training(seen: JobObservation, plan: Plan) -> dict[str, Any]:
    training = seen.spec.training
    scheduler = {"type": training.scheduler.type.value, "minRatio": float(training.scheduler.min_ratio)}
    if training.scheduler.cycles is not None:
        scheduler["cycles"] = float(training.scheduler.cycles)
    written = {
        "epochs": training.epochs,
        "learningRate": float(training.learning_rate),
        "scheduler": scheduler,
        "warmupRatio": float(training.warmup_ratio),
        "weightDecay": float(training.weight_decay),
        "maxGradNorm": float(training.max_grad_norm),
        "microBatch": plan.batch.micro,
        "gradientAccumulation": plan.batch.accumulation,
        "globalBatch": plan.batch.rows,
        "contextLength": plan.context_length,
        "packing": packs(seen, training.packing),
        "seed": training.seed,
        "precision": _precision(seen),
    }
    before = seen.status.plan.micro_batch_before if seen.status.plan is not None else None
    ran_out = {} if before is None else {"microBatchBefore": before}
    return written | ran_out | ({} if training.max_steps is None else {"maxSteps": training.max_steps})


def _evaluations(seen: JobObservation) -> dict[str, Any]:
    evaluations = seen.spec.training.evaluations
    rule = evaluations.early_stopping
    if rule is None:
        return {"count": evaluations.count}
    return {
        "count": evaluations.count,
        "earlyStopping": {
            "patience": rule.patience,
            "minDelta": float(rule.min_delta),
            "warmupEvaluations": rule.warmup_evaluations,
        },
    }


def _precision(seen: JobObservation) -> str:
    """The user's word, else the model's row; on simulated GPUs the CPU computes, and it is best at FP32."""
    if seen.spec.training.precision is not None:
        return seen.spec.training.precision.value
    if seen.around.installation.simulated_gpus:
        return "FP32"
    row = seen.model.spec.precision if seen.model is not None else None
    return row.value if row is not None else "AMP"
