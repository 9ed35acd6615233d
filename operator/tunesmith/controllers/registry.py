"""Which controllers the operator has, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from tunesmith.controllers.bought import bought
from tunesmith.controllers.controller import Controller, Key, KeyWorker
from tunesmith.controllers.gpu_region import REGIONS_KEY
from tunesmith.controllers.ports import Ports


@dataclass(frozen=True)
class Registered:
    """The controllers of kinds, and the workers on keys that are no resources."""

    controllers: tuple[Controller[Any], ...] = ()
    key_workers: tuple[KeyWorker, ...] = ()
    first_keys: tuple[Key, ...] = ()  # keys that no object wakes: asked for once at the start


@dataclass(frozen=True)
class Provider:
    """How the provider is reached with the installation's own credential."""

    base_url: str
    project_id: str | None
    api_key: Callable[[], SecretStr | None]
    observer: Callable[[str, str, str, float], None]  # method, collection, outcome, seconds


def register(ports: Ports, provider: Provider) -> Registered:
    """Make every controller. A kind without one is left alone."""
    costly = bought(ports, provider.base_url, provider.api_key, provider.project_id, observer=provider.observer)
    return Registered(
        (costly.gpu_cluster, costly.shared_volume, costly.gpu_region), (costly.region_keeper,), (REGIONS_KEY,)
    )
