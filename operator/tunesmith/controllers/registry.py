"""Which controllers the operator has, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from tunesmith.controllers.controller import Controller, KeyWorker
from tunesmith.controllers.ports import Ports


@dataclass(frozen=True)
class Registered:
    """The controllers of kinds, and the workers on keys that are no resources."""

    controllers: tuple[Controller[Any], ...] = ()
    key_workers: tuple[KeyWorker, ...] = ()


@dataclass(frozen=True)
class Provider:
    """How the provider is reached with the installation's own credential."""

    base_url: str
    project_id: str | None
    api_key: Callable[[], SecretStr | None]
    observer: Callable[[str, str, str, float], None]  # method, collection, outcome, seconds


def register(ports: Ports, provider: Provider) -> Registered:
    """Make every controller. A kind without one is left alone."""
    del ports, provider
    return Registered()
