"""Which controllers the operator has, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.controllers.bought import Provider, bought
from tunesmith.controllers.catalog_model import BUNDLED, BundledCatalog, CatalogModelController
from tunesmith.controllers.controller import Controller, Key, KeyWorker
from tunesmith.controllers.fine_tune_job import FineTuneJobController
from tunesmith.controllers.gpu_region import REGIONS_KEY
from tunesmith.controllers.orphans import ORPHANS_KEY, Tell, tell_nobody
from tunesmith.controllers.pool import PoolController
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.progress_follower import ProgressFollower


@dataclass(frozen=True)
class Registered:
    """The controllers of kinds, the workers on keys that are no resources, and those keys that nothing else wakes."""

    controllers: tuple[Controller[Any], ...] = ()
    key_workers: tuple[KeyWorker, ...] = ()
    first_keys: tuple[Key, ...] = ()
    orphans: Callable[[], Mapping[str, int]] = dict  # by kind; what kept things there are, apart


def register(ports: Ports, provider: Provider, tell: Tell = tell_nobody) -> Registered:
    """Make every controller. Must be called where an event loop runs. `tell` posts Events of the operator's own."""
    paid = bought(ports, provider, tell)
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
        key_workers=(pools, paid.region_keeper, paid.orphan_sweep, BundledCatalog(ports)),
        first_keys=(REGIONS_KEY, ORPHANS_KEY, BUNDLED),
        orphans=paid.orphan_sweep.counted,
    )
