"""What a controller is given to reach the world with. Handed in whole, so that tests can hand in another world."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from tunesmith.controllers.controller import Key
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.remote import RemoteClusters
from tunesmith.planning.circumstances import Installation


class Clock(Protocol):
    """The two times of a process."""

    def now(self) -> datetime:
        """UTC wall time, for what is written down."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for waiting and comparing."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """UTC wall time, whole seconds as Kubernetes writes them."""
        return datetime.now(UTC).replace(microsecond=0)

    def monotonic(self) -> float:
        """Seconds since some moment of the past."""
        return time.monotonic()


@dataclass(frozen=True)
class Ports:
    """The operator's hands and eyes.

    `wake` asks for a pass over a key. `secret` takes every secret value that is loaded, so that no log line shows it;
    `redacted` takes such values out of a text that others wrote.
    """

    cache: Cache
    kube: Kube
    remotes: RemoteClusters
    installation: Installation
    wake: Callable[[Key], None]
    clock: Clock
    secret: Callable[[str], None]
    redacted: Callable[[str], str]
