"""Which controllers the operator has, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunesmith.controllers.controller import Controller, KeyWorker


@dataclass(frozen=True)
class Registered:
    """The controllers of kinds, and the workers on keys that are no resources."""

    controllers: tuple[Controller[Any], ...] = ()
    key_workers: tuple[KeyWorker, ...] = ()
