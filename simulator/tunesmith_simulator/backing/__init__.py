"""What stands behind the clusters that are sold: nothing (``light``), or real control planes with nodes (``real``)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from tunesmith_simulator.world import World

Change = Callable[[World, datetime], World]
"""What happened, as a change of the world at the time given."""

Report = Callable[[Change], None]
"""Hands a change to the simulation; may be called from any thread."""


class Backing(Protocol):
    """Makes what the world says true. Level-triggered: it is shown the world after every change and compares."""

    real: bool

    def kube_config(self, cluster_id: str, name: str) -> str:
        """The base64 kubeconfig of a new cluster, if it is known before anything runs; else empty."""
        ...

    def start(self, report: Report) -> None:
        """Begin; ``report`` is how what happens is told."""
        ...

    def follow(self, world: World) -> None:
        """Begin to make real what the world says. Returns at once."""
        ...

    async def leaving_first(self, cluster_id: str) -> frozenset[str]:
        """Hosts of a cluster that its users cordoned or annotated to leave first on a scale-down."""
        ...

    async def renewed(self, cluster_id: str, kube_config: str, valid_for: timedelta) -> str:
        """The base64 kubeconfig with a new client certificate that ends after so long, on the wall."""
        ...

    async def close(self) -> None:
        """End everything it started."""
        ...
