"""Where and what a GPUCluster may be bought: first choice, alternatives, which of them cannot be, which is next.

Knows the spec and the provider's list of regions, and no purchase. The first choice is tried, then each alternative in
order, then round again. What was out of stock stands in the status, the newest answer last: so the next one is known
after a restart as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.drivers import DriverChoice, choose_driver
from tunesmith.planning.provider import Region
from tunesmith.resources.gpu_cluster import GPUClusterSpec
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, OutOfStock
from tunesmith.resources.reasons import Reason

LEAST_ROUND_PAUSE_SECONDS = 15.0
LONGEST_ROUND_PAUSE_SECONDS = 900.0


@dataclass(frozen=True)
class ClusterChoice:
    """One place and kind of GPU, in the provider's words. Empty where an adopted cluster's spec names none."""

    region: str
    gpu_type: str

    def __str__(self) -> str:
        """As messages say it."""
        return f"'{self.gpu_type}' in '{self.region}'"


@dataclass(frozen=True)
class Unfit:
    """Why a choice cannot be bought, whatever the stock."""

    choice: ClusterChoice
    reason: Reason
    message: str


Regions = Known[tuple[Region, ...]] | Unknown


def all_choices(spec: GPUClusterSpec) -> tuple[ClusterChoice, ...]:
    """The first choice and the alternatives, in the order in which they are tried, each once."""
    first = ClusterChoice(spec.region or "", spec.gpu_type or "")
    others = (ClusterChoice(each.region, each.gpu_type) for each in spec.alternatives)
    return tuple(dict.fromkeys((first, *others)))


def unfit(
    spec: GPUClusterSpec, regions: Regions, volume_name: str | None = None, volume_regions: tuple[str, ...] = ()
) -> tuple[Unfit, ...]:
    """The choices that cannot be bought, in order, each with the reason. `volume_regions` empty: no volume, or any."""
    found = (_unfit(choice, spec, regions, volume_name, volume_regions) for choice in all_choices(spec))
    return tuple(each for each in found if each is not None)


def fit(
    spec: GPUClusterSpec, regions: Regions, volume_name: str | None = None, volume_regions: tuple[str, ...] = ()
) -> tuple[ClusterChoice, ...]:
    """The choices that may be bought, in order."""
    left_out = {each.choice for each in unfit(spec, regions, volume_name, volume_regions)}
    return tuple(choice for choice in all_choices(spec) if choice not in left_out)


def next_choice(choices: tuple[ClusterChoice, ...], out_of_stock: tuple[OutOfStock, ...]) -> ClusterChoice | None:
    """The one to try next: the first that was not answered yet, else the one after the newest answer; None: none."""
    answered = [ClusterChoice(each.region, each.gpu_type) for each in out_of_stock]
    fresh = next((choice for choice in choices if choice not in answered), None)
    if fresh is not None or not choices:
        return fresh
    newest = choices.index(next(each for each in reversed(answered) if each in choices))
    return choices[(newest + 1) % len(choices)]


def begins_a_round(choices: tuple[ClusterChoice, ...], following: ClusterChoice) -> bool:
    """All were tried once more: it is time to rest."""
    return bool(choices) and following == choices[0]


def with_out_of_stock(
    before: tuple[OutOfStock, ...], choice: ClusterChoice, now: datetime, *, known: tuple[ClusterChoice, ...]
) -> tuple[OutOfStock, ...]:
    """The list with this answer as its newest; since when counts from the first. Choices of no more are dropped."""
    first = next((each.since_time for each in before if (each.region, each.gpu_type) == _words(choice)), None)
    kept = tuple(
        each
        for each in before
        if (each.region, each.gpu_type) != _words(choice) and ClusterChoice(each.region, each.gpu_type) in known
    )
    return (*kept, OutOfStock(region=choice.region, gpu_type=choice.gpu_type, since_time=first or now))


def round_pause_seconds(
    out_of_stock: tuple[OutOfStock, ...], now: datetime, jitter: float, *, wish: float | None
) -> float:
    """How long to rest after a round: as long again as it has lasted, within bounds; the provider's wish wins.

    It doubles with every round, and goes on doubling after a restart, because it counts from what is written down.
    """
    if wish is not None:
        return wish
    began = min((each.since_time for each in out_of_stock if each.since_time is not None), default=now)
    lasted = (now - began).total_seconds()
    return min(max(lasted, LEAST_ROUND_PAUSE_SECONDS), LONGEST_ROUND_PAUSE_SECONDS) * (0.5 + 0.5 * jitter)


def present_choice(spec: GPUClusterSpec, status: GPUClusterStatus, following: ClusterChoice | None) -> ClusterChoice:
    """What was bought, else what is being bought, else what is tried next, else the first choice."""
    bought, intent = status.choice, status.create_intent
    first = all_choices(spec)[0]
    if status.cluster_id is not None and bought is not None:
        return ClusterChoice(bought.region or first.region, bought.gpu_type or first.gpu_type)
    if intent is not None:
        return ClusterChoice(intent.region or first.region, intent.gpu_type or first.gpu_type)
    return following or first


def driver_for(spec: GPUClusterSpec, choice: ClusterChoice, regions: Regions) -> DriverChoice | str:
    """The driver to order with this choice, or a sentence that says why there is none."""
    known = regions.value if isinstance(regions, Known) else ()
    region = next((each for each in known if each.name == choice.region), None)
    wish = spec.driver
    if wish is None:
        return choose_driver(region)
    return choose_driver(
        region, version_id=wish.version_id, cuda_version=wish.cuda_version, driver_version=wish.driver_version
    )


def _words(choice: ClusterChoice) -> tuple[str, str]:
    return (choice.region, choice.gpu_type)


def _unfit(
    choice: ClusterChoice,
    spec: GPUClusterSpec,
    regions: Regions,
    volume_name: str | None,
    volume_regions: tuple[str, ...],
) -> Unfit | None:
    if volume_regions and choice.region not in volume_regions:
        message = f"SharedVolume '{volume_name}' is for {_quoted(volume_regions)}, the cluster for '{choice.region}'. "
        message += "A volume attaches only in its own region: name another volume or region."
        return Unfit(choice, Reason.VOLUME_IN_ANOTHER_REGION, message)
    if isinstance(regions, Unknown):
        return None
    region = next((each for each in regions.value if each.name == choice.region), None)
    if region is None:
        offers = _quoted(tuple(sorted(each.name for each in regions.value))) or "none"
        return Unfit(choice, Reason.REGION_UNKNOWN, f"The provider has no region '{choice.region}'. It has: {offers}.")
    if choice.gpu_type not in region.gpu_types:
        return Unfit(choice, Reason.GPU_TYPE_UNAVAILABLE, _type_not_there(choice, region, regions.value))
    driver = driver_for(spec, choice, regions)
    return Unfit(choice, Reason.DRIVER_UNKNOWN, driver) if isinstance(driver, str) else None


def _type_not_there(choice: ClusterChoice, region: Region, regions: tuple[Region, ...]) -> str:
    others = sorted(each.name for each in regions if choice.gpu_type in each.gpu_types)
    where = f"It is offered in {', '.join(others)}." if others else "No region offers it."
    offers = ", ".join(region.gpu_types) or "none"
    return f"Region '{region.name}' has no '{choice.gpu_type}', only {offers}. {where}"


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
