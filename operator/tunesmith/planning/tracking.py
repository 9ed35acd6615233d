"""Where a job's training is recorded besides its status: what the trainer is told of it, and which Secrets open it."""

from __future__ import annotations

from tunesmith.planning.mirror import mirror_secrets
from tunesmith.planning.sources import SecretKey, SecretUse, secret_uses
from tunesmith.resources.fine_tune_job import FineTuneJobSpec
from tunesmith.resources.fine_tune_job_running import TrackingType

SECRET_KEY = "token"  # noqa: S105  the name of a key
VARIABLES = {TrackingType.WANDB: "WANDB_API_KEY", TrackingType.MLFLOW: "MLFLOW_TRACKING_TOKEN"}


def tracking_section(spec: FineTuneJobSpec) -> list[dict[str, str]]:
    """The `tracking` part of the trainer's configuration; it decides nothing of the outcome."""
    return [
        {
            name: value
            for name, value in {
                "type": one.type.value,
                "project": one.project,
                "entity": one.entity,
                "endpoint": one.endpoint,
            }.items()
            if value is not None
        }
        for one in spec.tracking
    ]


def tracking_secrets(spec: FineTuneJobSpec) -> tuple[SecretUse, ...]:
    """The keys that the attempts need, with the variable that carries each."""
    return tuple(
        SecretUse(VARIABLES[one.type], SecretKey(one.secret_ref.name, SECRET_KEY), f"spec.tracking[{index}].secretRef")
        for index, one in enumerate(spec.tracking)
        if one.secret_ref is not None and one.type in VARIABLES
    )


def every_secret(spec: FineTuneJobSpec) -> tuple[SecretUse, ...]:
    """All keys that the job needs in any of its pods: looked for before GPUs are asked for."""
    return (*secret_uses(spec), *tracking_secrets(spec), *mirror_secrets(spec))


def talks_outside(spec: FineTuneJobSpec) -> bool:
    """Whether the attempts themselves speak to something outside their cluster: a store, or a tracker's server."""
    served = any(one.type is TrackingType.WANDB or one.endpoint is not None for one in spec.tracking)
    return served or spec.training.checkpoints.mirror is not None


def environment(spec: FineTuneJobSpec) -> dict[str, SecretKey]:
    """Variables of the attempts' containers, by the key of a Secret that fills them."""
    return {use.variable: use.source for use in (*tracking_secrets(spec), *mirror_secrets(spec))}
