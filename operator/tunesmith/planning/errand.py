"""An errand of a job: one pod without GPUs on the job's storage, before an attempt or after one. What it is made from.

There are two: `prepare` fetches weights and data and checks them; `finish` looks for what an attempt has published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunesmith.planning.attempt import Work
from tunesmith.planning.circumstances import PreparationNeeds
from tunesmith.planning.kube_facts import ERRAND_LABEL
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus

PREPARE, FINISH = "prepare", "finish"
GRACE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Errand(Work):
    """What the manifests of one errand say."""

    purpose: str
    needs: PreparationNeeds
    node_selector: Mapping[str, str] = field(default_factory=dict)

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


def part_of(purpose: str, number: int) -> str:
    """The label's value of one errand."""
    return f"{purpose}-{number}"


def errand_under_way(status: FineTuneJobStatus) -> str | None:
    """The errand that is recorded and has not come to its purpose."""
    preparation, check = status.preparation, status.finish_check
    if preparation is not None and preparation.number and preparation.completion_time is None:
        return part_of(PREPARE, preparation.number)
    if check is not None and check.number and check.completion_time is None:
        return part_of(FINISH, check.number)
    return None
