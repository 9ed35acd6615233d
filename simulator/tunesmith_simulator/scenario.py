"""The scenario file: who the customers are, what is sold where, at what price and pace, and what goes wrong when."""

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    SecretStr,
    ValidationError,
)

from tunesmith_simulator import world as worlds
from tunesmith_simulator.capacity import CapacityPool
from tunesmith_simulator.courses import Courses
from tunesmith_simulator.faults import Fault
from tunesmith_simulator.happenings import TimelineEntry
from tunesmith_simulator.pace import Durations, Pace
from tunesmith_simulator.prices import BillingRules, Prices
from tunesmith_simulator.regions import Driver, Region
from tunesmith_simulator.repair_policy import RepairPolicy
from tunesmith_simulator.virtual_clock import FIRST_DAY, VirtualClock
from tunesmith_simulator.world import Account, World

GpuType = Literal[
    "H100_SXM", "H200_SXM", "RTX_6000_PCI", "L40_PCIE", "B200_SXM", "H100_SXM_INF", "B300_SXM", "GB200_SXM"
]
"""The GPU types that the provider's API names."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountEntry(_Part):
    """A customer's API key and what it may do. Two keys of one customer are two entries with the same projects.

    ``organization`` is who pays; by default the account's name.
    """

    name: str
    organization: str | None = None
    key: SecretStr
    projects: Annotated[tuple[str, ...], Field(min_length=1)]
    role: Literal["Admin", "Editor"] = "Admin"
    has_credit: bool = True


class DriverEntry(_Part):
    """A driver version that a region's images carry."""

    id: str
    cuda_version: str
    nvidia_driver_version: str
    os: str = "ubuntu-22.04"


class RegionEntry(_Part):
    """A region: free GPUs by type, drivers, and the partitions that clusters and lone volumes land in.

    ``preemptible_stock`` is what may be had until somebody else needs it, apart from ``stock``.
    """

    name: str
    stock: dict[GpuType, NonNegativeInt]
    preemptible_stock: dict[GpuType, NonNegativeInt] = {}
    drivers: tuple[DriverEntry, ...]
    cluster_partition: str = "a"
    volume_partition: str = "a"


class CapacityPoolEntry(_Part):
    """GPUs that a project has set aside in a region."""

    id: str
    project: str
    region: str
    gpu_type: GpuType
    gpus: NonNegativeInt


class ClockEntry(_Part):
    """A virtual clock: where it begins, and how many of its seconds pass in one on the wall (0: by admin calls)."""

    starts_at: AwareDatetime = FIRST_DAY
    rate: NonNegativeFloat = 0


class Scenario(_Part):
    """What the simulator plays, as a YAML file says it; unknown keys are refused.

    ``seed`` makes identifiers and the strikes of faults repeatable; without ``clock`` time is that of the clock on the
    wall; ``kubeconfig_server`` and ``kubeconfig_authority`` (a certificate, PEM) are for light mode, ``node_images``
    (a table of images, see devcluster) for the nodes of real clusters."""

    accounts: Annotated[tuple[AccountEntry, ...], Field(min_length=1)]
    regions: Annotated[tuple[RegionEntry, ...], Field(min_length=1)]
    capacity_pools: tuple[CapacityPoolEntry, ...] = ()
    durations: Durations = Durations()
    speed: float = Field(default=1, gt=0)
    prices: Prices = Prices()
    repair: RepairPolicy = RepairPolicy()
    billing: BillingRules = BillingRules()
    seed: int | None = None
    clock: ClockEntry | None = None
    faults: tuple[Fault, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    courses: Courses = Courses()
    kubeconfig_server: str = "https://127.0.0.1:1"
    kubeconfig_authority: str = ""
    node_images: Path | None = None

    def virtual_clock(self) -> VirtualClock | None:
        """The clock that the scenario brings, if it brings one."""
        return VirtualClock(self.clock.starts_at.astimezone(UTC), rate=self.clock.rate) if self.clock else None

    def world(self, starts_at: datetime | None = None) -> World:
        """The provider before anybody has bought anything; from ``starts_at`` on the timeline is counted."""
        world = World(
            regions={entry.name: _region(entry) for entry in self.regions},
            stock={(entry.name, gpu): free for entry in self.regions for gpu, free in entry.stock.items()},
            preemptible_stock={
                (entry.name, gpu): free for entry in self.regions for gpu, free in entry.preemptible_stock.items()
            },
            pools={
                entry.id: CapacityPool(entry.id, entry.project, entry.region, entry.gpu_type, entry.gpus)
                for entry in self.capacity_pools
            },
            pace=Pace(durations=self.durations, speed=self.speed),
            prices=self.prices,
            repair_policy=self.repair,
            billing=self.billing,
            courses=self.courses,
        )
        if starts_at is not None:
            for entry in self.timeline:
                world = worlds.planned(world, entry.happening, world.pace.after(starts_at, entry.at_seconds))
        return world

    def accounts_by_key(self) -> dict[str, Account]:
        """Who each API key belongs to. The keys are secrets: keep the answer out of logs and answers."""
        return {
            entry.key.get_secret_value(): Account(
                name=entry.name,
                projects=entry.projects,
                may_change_clusters=entry.role == "Admin",
                has_credit=entry.has_credit,
                organization=entry.organization or entry.name,
            )
            for entry in self.accounts
        }


class ScenarioError(Exception):
    """A scenario that cannot be played; the message says what to mend."""


def named(name: str) -> Scenario:
    """A scenario that comes with the package: ``default`` (plausible durations) or ``demo`` (seconds)."""
    return parsed(resources.files(__package__).joinpath("scenarios", f"{name}.yaml").read_text())


def load(path: Path) -> Scenario:
    """The scenario in a file. Raises ScenarioError."""
    try:
        return parsed(path.read_text())
    except OSError as error:
        raise ScenarioError(f"The scenario {path} cannot be read: {error.strerror}.") from error


def parsed(text: str) -> Scenario:
    """The scenario in a YAML text. Raises ScenarioError, which shows no value: keys stand in there."""
    try:
        return Scenario.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ScenarioError(f"The scenario is not valid YAML{where}.") from None
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False, include_url=False)
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in details]
        raise ScenarioError("The scenario is not valid. " + "; ".join(lines)) from None


def _region(entry: RegionEntry) -> Region:
    return Region(
        name=entry.name,
        gpu_types=tuple(entry.stock),
        drivers=tuple(
            Driver(
                version_id=driver.id,
                cuda_version=driver.cuda_version,
                nvidia_driver_version=driver.nvidia_driver_version,
                os=driver.os,
            )
            for driver in entry.drivers
        ),
        cluster_partition=entry.cluster_partition,
        volume_partition=entry.volume_partition,
    )
