"""What can be looked at again at the provider: the actions that ask for it. They change nothing and cost nothing."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.planning.decision import Action


@dataclass(frozen=True)
class LookAtProvider(Action):
    """Have lists of clusters, volumes and regions that were begun at `not_before` (monotonic seconds) or later.

    An id that the lists lack is asked for by itself: only a 404 says that it is gone.
    """

    not_before: float
    cluster_id: str | None = None
    volume_id: str | None = None

    @property
    def identity(self) -> str:
        """All looks are one to the count of failures."""
        return "look at the provider"


@dataclass(frozen=True)
class LookAtCluster(Action):
    """Have one cluster asked for by its id at `not_before` (monotonic seconds) or later, whatever the lists show."""

    not_before: float
    cluster_id: str

    @property
    def identity(self) -> str:
        """All such looks at one cluster are one to the count of failures."""
        return f"look at cluster {self.cluster_id}"


@dataclass(frozen=True)
class LookAtRemediations(Action):
    """Have the repairs of one cluster, in a list begun at `not_before` (monotonic seconds) or later."""

    not_before: float
    cluster_id: str

    @property
    def identity(self) -> str:
        """All looks at one cluster are one to the count of failures."""
        return f"look at the repairs of {self.cluster_id}"
