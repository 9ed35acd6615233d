"""GPURegions: what the provider offers, shown as resources. One worker makes them, one controller fills them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.cloud.errors import CloudError
from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.controller import ActionFailed, Key
from tunesmith.controllers.ports import Ports
from tunesmith.kube.errors import KubeError
from tunesmith.planning.circumstances import Circumstances, Known
from tunesmith.planning.decision import Action, Decision
from tunesmith.planning.gpu_region import LOOK_SECONDS, RegionObservation, decide, manifest, object_name
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.provider import Region
from tunesmith.resources.gpu_region import GPURegion, GPURegionStatus
from tunesmith.resources.parsing import parse

Raw = Mapping[str, Any]
REGIONS_KEY = Key("Regions", "", "")
SOON_SECONDS = 30.0

log = logging.getLogger(__name__)


class GPURegionController:
    """The GPURegion's part in a pass."""

    kind = "GPURegion"

    def __init__(self, ports: Ports, clouds: CloudView) -> None:
        self._ports = ports
        self._clouds = clouds

    async def observe(self, key: Key, raw: Raw, around: Circumstances) -> RegionObservation:
        """The resource, and what the installation's credential sees."""
        resource = parse(raw)
        if not isinstance(resource, GPURegion):
            raise TypeError(f"not a GPURegion that can be read: {resource}")
        eyes = self._clouds.of_installation()
        return RegionObservation(around, resource, eyes.view, has_credential=eyes.account is not None)

    def decide(self, seen: RegionObservation) -> Decision[GPURegionStatus]:
        """The pure decision."""
        return decide(seen)

    async def act(self, seen: RegionObservation, action: Action) -> object:
        """Look at the provider: all there is to do for a region."""
        account = self._clouds.of_installation().account
        if isinstance(action, LookAtProvider) and account is not None:
            try:
                await account.look(action.not_before)
            except CloudError as error:
                raise ActionFailed(error.failure) from error
        return None

    def wakes(self, raw: Raw) -> Iterable[Key]:
        """Nobody: clusters read the provider's list themselves."""
        return ()

    def forget(self, key: Key) -> None:
        """Nothing is remembered."""


class RegionKeeper:
    """Makes a GPURegion for each region that the installation's credential sees. Works on one key, `REGIONS_KEY`."""

    kind = REGIONS_KEY.kind

    def __init__(self, ports: Ports, clouds: CloudView) -> None:
        self._ports = ports
        self._clouds = clouds

    async def work(self, key: Key) -> float | None:
        """One pass. Regions that are shown already are woken, so that their status follows the list."""
        account = self._clouds.of_installation().account
        if account is None:
            return LOOK_SECONDS
        try:
            await account.look(self._ports.clock.monotonic() - LOOK_SECONDS / 2)
        except CloudError:
            return SOON_SECONDS  # the resources that buy say what is wrong
        regions = account.view().regions
        shown = [await self._is_shown(region) for region in (regions.value if isinstance(regions, Known) else ())]
        return LOOK_SECONDS if all(shown) else SOON_SECONDS

    async def _is_shown(self, region: Region) -> bool:
        """False: it could not be, for now or for its name; that keeps no other region from being shown."""
        name = object_name(region)
        if self._ports.cache.get("GPURegion", "", name) is None:
            try:
                self._ports.cache.observe(await self._ports.kube.apply(manifest(region)))
            except KubeError as error:
                log.warning("A region cannot be shown.", extra={"region": region.name, "why": str(error)})
                return False
        self._ports.wake(Key("GPURegion", "", name))
        return True
