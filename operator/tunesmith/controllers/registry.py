"""Which controllers the operator has, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunesmith.controllers.bought import Provider, bought
from tunesmith.controllers.catalog_model import BUNDLED, BundledCatalog, CatalogModelController
from tunesmith.controllers.controller import Controller, Key, KeyWorker
from tunesmith.controllers.fine_tune_job import FineTuneJobController
from tunesmith.controllers.gpu_region import REGIONS_KEY
from tunesmith.controllers.pool import PoolController
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.progress_follower import ProgressFollower


@dataclass(frozen=True)
class Registered:
    """The controllers of kinds, the workers on keys that are no resources, and those keys that nothing else wakes."""

    controllers: tuple[Controller[Any], ...] = ()
    key_workers: tuple[KeyWorker, ...] = ()
    first_keys: tuple[Key, ...] = ()


def register(ports: Ports, provider: Provider) -> Registered:
    """Make every controller. Must be called where an event loop runs."""
    paid = bought(ports, provider)
    pools = PoolController(ports)
    follower = ProgressFollower(ports.remotes.kube_for, ports.wake, ports.clock, ports.redacted)
    return Registered(
        controllers=(
            paid.gpu_cluster,
            paid.shared_volume,
            paid.gpu_region,
            FineTuneJobController(ports, pools, follower),
            CatalogModelController(ports),
        ),
        key_workers=(pools, paid.region_keeper, BundledCatalog(ports)),
        first_keys=(REGIONS_KEY, BUNDLED),
    )
