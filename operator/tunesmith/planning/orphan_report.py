"""The report of orphans as it lies in a ConfigMap, for the `tunesmith orphans` command: written here, read there.

It holds nothing that moves by itself: cost so far is reckoned by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tunesmith.planning.name_book import Kept
from tunesmith.planning.orphans import Found, Orphan

REPORT_KEY = "report.json"
LONGEST_REPORT = 500


def report_name(release: str) -> str:
    """What the report's ConfigMap is called."""
    return f"{release}-orphans"


class ReportedOrphan(BaseModel):
    """One line of the report."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    kind: str
    id: str
    name: str
    status: str
    region: str = ""
    gpu_type: str = ""
    gpus: int = 0
    size_tib: int = 0
    created: datetime | None = None
    account: str = ""
    project_id: str = ""
    ordered: datetime | None = None
    since: datetime
    hourly_usd: Decimal | None = None
    kept: Kept | None = None
    stays: str = ""

    @classmethod
    def of(cls, orphan: Orphan) -> ReportedOrphan:
        """The line of an orphan."""
        found = orphan.found
        return cls(
            kind=found.kind,
            id=found.id,
            name=found.name,
            status=found.status,
            region=found.region,
            gpu_type=found.gpu_type,
            gpus=found.gpus,
            size_tib=found.size_tib,
            created=found.created,
            account=found.account,
            project_id=found.project_id,
            ordered=orphan.ordered,
            since=orphan.since,
            hourly_usd=orphan.hourly_usd,
            kept=orphan.kept,
            stays=orphan.stays,
        )

    def orphan(self) -> Orphan:
        """The orphan of the line."""
        found = Found(
            self.kind,
            self.id,
            self.name,
            self.status,
            self.region,
            self.gpu_type,
            self.gpus,
            self.size_tib,
            self.created,
            self.account,
            self.project_id,
        )
        return Orphan(found, self.since, self.kept, self.ordered, self.hourly_usd, self.stays)


class OrphanReport(BaseModel):
    """All of them. `as_of` is when the report was written last; `left_out` counts those beyond its bound."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    as_of: datetime
    orphans: tuple[ReportedOrphan, ...] = ()
    left_out: int = 0

    def says_the_same(self, other: OrphanReport) -> bool:
        """Whether they differ in nothing but the time."""
        return (self.orphans, self.left_out) == (other.orphans, other.left_out)


def report_of(orphans: Iterable[Orphan], now: datetime) -> OrphanReport:
    """The report of these orphans."""
    lines = tuple(ReportedOrphan.of(each) for each in orphans)
    return OrphanReport(as_of=now, orphans=lines[:LONGEST_REPORT], left_out=max(len(lines) - LONGEST_REPORT, 0))
