"""Where a job's checkpoints are copied to: what the trainer is told of the store, and which Secret opens it."""

from __future__ import annotations

from tunesmith.planning.sources import AWS_ENDPOINT, SecretKey, SecretUse
from tunesmith.resources.fine_tune_job import FineTuneJobSpec

FIELD = "spec.training.checkpoints.mirror.s3.credentialsSecretRef"


def mirror_section(spec: FineTuneJobSpec) -> dict[str, dict[str, str]]:
    """The `mirror` of the trainer's checkpoints, if there is one; it decides nothing of the outcome."""
    if spec.training.checkpoints.mirror is None:
        return {}
    bucket = spec.training.checkpoints.mirror.s3
    prefix = {} if bucket.prefix is None else {"prefix": bucket.prefix}
    return {"mirror": {"endpoint": bucket.endpoint or AWS_ENDPOINT, "bucket": bucket.bucket, **prefix}}


def mirror_secrets(spec: FineTuneJobSpec) -> tuple[SecretUse, ...]:
    """The keys that the attempts need, with the variable that carries each."""
    if spec.training.checkpoints.mirror is None:
        return ()
    name = spec.training.checkpoints.mirror.s3.credentials_secret_ref.name
    return (
        SecretUse("TUNESMITH_MIRROR_ACCESS_KEY_ID", SecretKey(name, "accessKeyID"), FIELD),
        SecretUse("TUNESMITH_MIRROR_SECRET_ACCESS_KEY", SecretKey(name, "secretAccessKey"), FIELD),
    )
