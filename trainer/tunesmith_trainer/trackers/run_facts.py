"""What a tracker is told of a job besides its numbers: its name there, and the settings that people compare runs by."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from tunesmith_trainer.contract import Configuration

SETTINGS = ("model", "method", "tuning", "training")


def job_of(configuration: Configuration) -> str:
    """One name for all attempts of the job: its directory's, which is its uid."""
    return PurePosixPath(configuration.storage.job_path).name


def settings_of(configuration: Configuration) -> dict[str, Any]:
    """The parts of the configuration that decide the outcome; nothing of secrets or machines is among them."""
    return configuration.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(SETTINGS))


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        path = f"{prefix}{name}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found
