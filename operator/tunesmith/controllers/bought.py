"""Puts together what deals with the provider: one set of accounts behind the controllers of all that is bought."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from tunesmith.cloud.accounts import Accounts
from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.gate import Gates
from tunesmith.cloud.generations import ApiGeneration, cloud_of
from tunesmith.cloud.interface import Cloud
from tunesmith.cloud.transport import Observer, Transport
from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.gpu_cluster import GPUClusterController
from tunesmith.controllers.gpu_region import GPURegionController, RegionKeeper
from tunesmith.controllers.orphans import OrphanSweep, Tell, tell_nobody
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.shared_volume import SharedVolumeController


@dataclass(frozen=True)
class Bought:
    """The controllers of everything that costs money, and of what shows the provider's offer."""

    gpu_cluster: GPUClusterController
    shared_volume: SharedVolumeController
    gpu_region: GPURegionController
    region_keeper: RegionKeeper
    orphan_sweep: OrphanSweep


@dataclass(frozen=True)
class Provider:
    """How the provider is reached, and with which credential of the installation.

    `base_url` comes with or without the trailing `/v1`. No resource has a say in any of this.
    """

    base_url: str
    project_id: str | None
    api_key: Callable[[], SecretStr | None]
    observer: Observer | None = None
    gates: Gates = field(default_factory=Gates)
    generation: ApiGeneration = ApiGeneration.G2


def bought(ports: Ports, provider: Provider, tell: Tell = tell_nobody) -> Bought:
    """The controllers, over the provider. `tell` posts Events about objects that are no resources of ours."""

    def make_cloud(credential: ApiCredential) -> Cloud:
        transport = Transport(
            provider.base_url,
            credential,
            gate=provider.gates.of(credential.fingerprint),
            observer=provider.observer,
            monotonic=time.monotonic,
        )
        return cloud_of(provider.generation, transport)

    accounts = Accounts(make_cloud, monotonic=ports.clock.monotonic)
    clouds = CloudView(ports, accounts, provider.api_key, provider.project_id)
    return Bought(
        GPUClusterController(ports, clouds),
        SharedVolumeController(ports, clouds),
        GPURegionController(ports, clouds),
        RegionKeeper(ports, clouds),
        OrphanSweep(ports, clouds, tell),
    )
