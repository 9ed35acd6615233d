"""Why a job cannot be done as it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why the job cannot be done as it is written, and what would help."""

    reason: str
    message: str
