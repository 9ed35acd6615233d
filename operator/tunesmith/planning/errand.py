"""An errand of a job: one pod without GPUs on the job's storage, before an attempt or after one. What it is made from.

There are two: `prepare` fetches weights and data and checks them; `finish` looks for what an attempt has published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.attempt import JobIdentity
from tunesmith.planning.circumstances import PreparationNeeds
from tunesmith.planning.kube_facts import ERRAND_LABEL
from tunesmith.planning.placement import Tolerated
from tunesmith.planning.sources import SecretKey

PREPARE, FINISH = "prepare", "finish"


@dataclass(frozen=True)
class Errand:
    """What the manifests of one errand say. `secrets` are environment variables by the key of a Secret that fills them.

    The Secrets stand in the job's namespace; for a bought cluster they are copied, under names of the errand's own.
    """

    job: JobIdentity
    purpose: str
    number: int
    where: RemoteCluster | None
    namespace: str
    image: str
    claim: str
    needs: PreparationNeeds
    grace_seconds: int = 30
    configuration: Mapping[str, Any] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    image_secrets: tuple[str, ...] = ()
    tolerations: tuple[Tolerated, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    pod_annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """Which of the job's errands it is: the value of its label."""
        return part_of(self.purpose, self.number)

    @property
    def name(self) -> str:
        """The name of its Job and ConfigMap: as an attempt's, with the purpose's first letter."""
        return f"{self.job.short_name}-{self.purpose[0]}{self.number}"

    @property
    def labels(self) -> dict[str, str]:
        """What the errand's objects carry."""
        return {**self.job.labels, ERRAND_LABEL: self.part}

    @property
    def pull_secrets(self) -> Mapping[str, str]:
        """The Secrets for pulling, by their name beside the job: their name beside the pod."""
        if self.where is None:
            return {name: name for name in self.image_secrets}
        return {name: f"{self.name}-pull-{index}" for index, name in enumerate(self.image_secrets)}

    @property
    def source_secrets(self) -> Mapping[str, str]:
        """The Secrets that open sources, by their name beside the job: their name beside the pod."""
        names = sorted({key.name for key in self.secrets.values()})
        if self.where is None:
            return {name: name for name in names}
        return {name: f"{self.name}-source-{index}" for index, name in enumerate(names)}

    def keys_of(self, secret: str) -> tuple[str, ...]:
        """The keys of one Secret that the errand needs, and no others."""
        return tuple(sorted({key.key for key in self.secrets.values() if key.name == secret}))


def part_of(purpose: str, number: int) -> str:
    """The label's value of one errand."""
    return f"{purpose}-{number}"
