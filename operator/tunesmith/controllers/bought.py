"""Puts together what deals with the provider: one set of accounts behind the controllers of all that is bought."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from tunesmith.cloud.accounts import Accounts
from tunesmith.cloud.credentials import ApiCredential
from tunesmith.cloud.g2 import G2Cloud
from tunesmith.cloud.gate import Gates
from tunesmith.cloud.interface import Cloud
from tunesmith.cloud.transport import Observer, Transport
from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.gpu_cluster import GPUClusterController
from tunesmith.controllers.gpu_region import GPURegionController, RegionKeeper
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.shared_volume import SharedVolumeController


@dataclass(frozen=True)
class Bought:
    """The controllers of everything that costs money, and of what shows the provider's offer."""

    gpu_cluster: GPUClusterController
    shared_volume: SharedVolumeController
    gpu_region: GPURegionController
    region_keeper: RegionKeeper


def bought(
    ports: Ports,
    base_url: str,
    installation_key: Callable[[], SecretStr | None],
    project_id: str | None = None,
    *,
    observer: Observer | None = None,
) -> Bought:
    """The controllers, over the provider at `base_url` (with or without the trailing `/v1`)."""
    gates = Gates()

    def make_cloud(credential: ApiCredential) -> Cloud:
        gate = gates.of(credential.fingerprint)
        return G2Cloud(Transport(base_url, credential, gate=gate, observer=observer, monotonic=time.monotonic))

    clouds = CloudView(ports, Accounts(make_cloud, monotonic=ports.clock.monotonic), installation_key, project_id)
    return Bought(
        GPUClusterController(ports, clouds),
        SharedVolumeController(ports, clouds),
        GPURegionController(ports, clouds),
        RegionKeeper(ports, clouds),
    )
