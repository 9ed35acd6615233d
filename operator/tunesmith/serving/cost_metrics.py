"""What is spent, as metrics by resource: as many as a scraper can bear, the dearest first, the others in one sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Raw = Mapping[str, Any]
LARGEST_SERIES = 500
"""How many resources of a kind have series of their own."""
OTHERS = "(others)"
SUMS = {"spent": "computeUSD", "idle": "idleUSD", "uncertain": "uncertainUSD"}
"""The word of the label `sum`, and the field of `status.cost`. Idle is a part of spent, uncertain comes on top."""


@dataclass(frozen=True)
class _Cost:
    namespace: str
    name: str
    hourly_usd: float
    sums: Mapping[str, float]


def cost_families(
    resources: Mapping[str, Iterable[Raw]],
) -> tuple[CounterMetricFamily, GaugeMetricFamily]:
    """Dollars so far and dollars an hour of every resource that has a cost, by kind."""
    spent = CounterMetricFamily(
        "tunesmith_cost_usd",
        "Dollars by resource over its life: spent for certain, idle as a part of that, uncertain on top.",
        labels=("kind", "namespace", "name", "sum"),
    )
    hourly = GaugeMetricFamily(
        "tunesmith_hourly_usd", "Dollars an hour by resource, now.", labels=("kind", "namespace", "name")
    )
    for kind, raws in resources.items():
        for cost in _bounded([cost for raw in raws if (cost := _cost(raw)) is not None]):
            hourly.add_metric((kind, cost.namespace, cost.name), cost.hourly_usd)
            for word, dollars in cost.sums.items():
                spent.add_metric((kind, cost.namespace, cost.name, word), dollars)
    return spent, hourly


def _bounded(costs: list[_Cost]) -> list[_Cost]:
    costs.sort(key=lambda cost: (-cost.hourly_usd, -cost.sums["spent"], cost.namespace, cost.name))
    first, rest = costs[:LARGEST_SERIES], costs[LARGEST_SERIES:]
    if not rest:
        return first
    sums = {word: sum(cost.sums[word] for cost in rest) for word in SUMS}
    return [*first, _Cost(OTHERS, OTHERS, sum(cost.hourly_usd for cost in rest), sums)]


def _cost(raw: Raw) -> _Cost | None:
    cost = (raw.get("status") or {}).get("cost")
    if not cost:
        return None
    meta = raw["metadata"]
    sums = {word: _number(cost.get(field)) for word, field in SUMS.items()}
    return _Cost(str(meta.get("namespace", "")), str(meta["name"]), _number(cost.get("hourlyUSD")), sums)


def _number(text: object) -> float:
    try:
        return float(str(text)) if text is not None else 0.0
    except ValueError:
        return 0.0
