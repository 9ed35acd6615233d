"""Which key this task is working on, for whoever writes a log line meanwhile."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from tunesmith.controllers.controller import Key


@dataclass(frozen=True)
class Work:
    """One pass over one object."""

    key: Key
    uid: str
    generation: int | None


working_on: ContextVar[Work | None] = ContextVar("working_on", default=None)
