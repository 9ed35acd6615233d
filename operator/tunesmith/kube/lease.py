"""One active replica: our own lease on a coordination.k8s.io Lease object.

A rival's lease is judged by when we last saw it change on our own monotonic clock, never by the times written in it.
Losing the lease ends the process at once. A lease is not a fence: what must not happen twice is guarded elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import LEASE

Raw = Mapping[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. The renew deadline is shorter than the lease: the holder gives up before anybody may take over."""

    lease_seconds: int = 15
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


class Lease:
    """One contender for the lease `name`. `identity` must differ between processes, restarts included."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        *,
        lost: Callable[[str], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        times: LeaseTimes | None = None,
    ) -> None:
        """`lost` is called with the reason when the lease is lost; it should not return."""
        self.held = False
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lost = lost
        self._now = now
        self._monotonic = monotonic
        self._times = times or LeaseTimes()
        self._seen_version: str | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._renewing: asyncio.Task[None] | None = None

    async def acquire(self) -> None:
        """Wait until the lease is ours, then keep it by a task of its own."""
        while True:
            if await self._try():
                break
            await asyncio.sleep(self._times.retry_seconds)
        self.held = True
        log.info("This process holds the lease.", extra={"identity": self._identity})
        self._renewing = asyncio.create_task(self._keep(), name="lease")

    async def release(self) -> None:
        """Give the lease back, so that the other replica need not wait for it to run out. Best effort."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if not self.held:
            return
        self.held = False
        try:
            found = await self._kube.get(LEASE, self._namespace, self._name)
            if found is not None and _holder(found) == self._identity:
                await self._write(found, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except KubeError as error:
            log.warning("The lease could not be given back; it will run out.", extra={"why": str(error)})

    async def _try(self) -> bool:
        begun = self._monotonic()
        try:
            found = await self._kube.get(LEASE, self._namespace, self._name)
            if found is None:
                await self._create()
            elif self._may_take(found, begun):
                await self._write(found, self._claim(found))
            else:
                return False
        except KubeError as error:
            if error.status != 409:
                log.warning("The lease could not be asked for.", extra={"why": str(error)})
            return False
        self._renewed_at = begun
        return True

    def _may_take(self, found: Raw, begun: float) -> bool:
        if not _holder(found):
            return True
        version = str(found["metadata"]["resourceVersion"])
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, begun
        valid_seconds = float(found["spec"].get("leaseDurationSeconds") or self._times.lease_seconds)
        return begun - self._seen_at >= valid_seconds

    def _claim(self, found: Raw | None) -> dict[str, Any]:
        transitions = int(found["spec"].get("leaseTransitions") or 0) + 1 if found else 0
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.lease_seconds,
            "acquireTime": self._written_now(),
            "renewTime": self._written_now(),
            "leaseTransitions": transitions,
        }

    async def _create(self) -> None:
        metadata = {"namespace": self._namespace, "name": self._name}
        manifest = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": self._claim(None),
        }
        await self._kube.create(manifest)

    async def _write(self, found: Raw, spec: Raw) -> Raw:
        """Compare-and-swap: a Conflict if anybody has written since `found` was read."""
        metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
        return await self._kube.merge_patch(LEASE, self._namespace, self._name, {"metadata": metadata, "spec": spec})

    async def _keep(self) -> None:
        """Renew until cancelled. The budget counts from the start of the last renewal that succeeded."""
        while True:
            await asyncio.sleep(self._times.retry_seconds)
            begun = self._monotonic()
            left = self._renewed_at + self._times.renew_deadline_seconds - begun
            if left <= 0:
                self._give_up(f"it could not be renewed for {self._times.renew_deadline_seconds:g} s")
                return
            try:
                async with asyncio.timeout(left):
                    found = await self._kube.get(LEASE, self._namespace, self._name)
                    if found is None or _holder(found) != self._identity:
                        self._give_up("another process holds it")
                        return
                    await self._write(found, {"renewTime": self._written_now()})
            except (KubeError, TimeoutError) as error:
                log.warning("The lease was not renewed this time.", extra={"why": str(error)})
                continue
            self._renewed_at = begun

    def _give_up(self, why: str) -> None:
        self.held = False
        self._lost(f"The lease is lost: {why}.")

    def _written_now(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _holder(lease: Raw) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
