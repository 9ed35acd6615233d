"""What every object has cost: intervals with their rate, in exact dollars, from the world's own history. Pure.

Four kinds of charge. On-demand GPUs of a cluster are those of its standard nodes beyond what is reserved; preemptible
GPUs those of its preemptible nodes; both by the second, for as long as the billing rules say, not while the cluster is
paused for want of credit, and a node that took another's place only from when that one has left. Reserved GPUs are
charged for their whole term at once, when it begins. Storage is charged from when a volume is made until it is gone,
also without a cluster. GPUs of a capacity pool were paid for elsewhere and cost nothing here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, pairwise

from tunesmith_simulator.cluster_orders import Billing
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.machines import Node, NodePhase, Source
from tunesmith_simulator.phases import PAUSED, ClusterPhase
from tunesmith_simulator.prices import HOURS_PER_MONTH
from tunesmith_simulator.volumes import Volume
from tunesmith_simulator.world import World

ON_DEMAND, PREEMPTIBLE, RESERVED, STORAGE = "on_demand", "preemptible", "reserved", "storage"
"""The kinds of charge."""


@dataclass(frozen=True, slots=True)
class Charge:
    """So much of something at one rate, between two moments; ``units`` are GPUs, or TiB of storage.

    ``upfront``: the whole of it was due when it began, also while ``until`` lies in the future.
    ``usd_per_unit_hour`` is exact, as is what is computed from it.
    """

    kind: str
    begins: datetime
    until: datetime
    units: int
    usd_per_unit_hour: Fraction
    upfront: bool = False

    @property
    def unit_hours(self) -> Fraction:
        """GPU-hours, or TiB-hours."""
        return self.units * _hours(self.until - self.begins)

    @property
    def usd(self) -> Fraction:
        """Its dollars."""
        return self.unit_hours * self.usd_per_unit_hour


@dataclass(frozen=True, slots=True)
class Entry:
    """One object's charges, in the order in which they began; beside what was paid upfront, it goes on to cost
    ``usd_per_hour``.
    """

    kind: str
    object_id: str
    name: str
    project_id: str
    charges: tuple[Charge, ...]
    usd_per_hour: Fraction

    @property
    def usd(self) -> Fraction:
        """What it has cost."""
        return sum((charge.usd for charge in self.charges), Fraction(0))


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that was charged until ``as_of``."""

    as_of: datetime
    entries: tuple[Entry, ...]

    @property
    def usd(self) -> Fraction:
        """All dollars."""
        return sum((entry.usd for entry in self.entries), Fraction(0))

    @property
    def usd_per_hour(self) -> Fraction:
        """What everything goes on to cost in an hour, beside what was paid upfront."""
        return sum((entry.usd_per_hour for entry in self.entries), Fraction(0))

    def usd_of(self, kind: str) -> Fraction:
        """All dollars of one kind of charge."""
        return sum((each.usd for entry in self.entries for each in entry.charges if each.kind == kind), Fraction(0))

    def unit_hours_of(self, kind: str) -> Fraction:
        """All GPU-hours, or TiB-hours, of one kind of charge."""
        charges = (each for entry in self.entries for each in entry.charges if each.kind == kind)
        return sum((each.unit_hours for each in charges), Fraction(0))

    def of(self, object_id: str) -> Entry:
        """One object's entry. Raises KeyError when there never was such an object."""
        for entry in self.entries:
            if entry.object_id == object_id:
                return entry
        raise KeyError(object_id)


def ledger(world: World, now: datetime) -> Ledger:
    """The ledger of a world that has come to ``now``."""
    entries = [_cluster_entry(cluster, world, now) for cluster in world.clusters.values()]
    entries += [_volume_entry(volume, world, now) for volume in world.volumes.values()]
    return Ledger(now, tuple(entries))


def dollars(amount: Fraction, places: int = 12) -> Decimal:
    """A sum as a decimal number with so many places, rounded half to even; exact where it ends before."""
    return Decimal(round(amount * 10**places)).scaleb(-places)


def decimal_text(amount: Fraction) -> str:
    """A sum as a decimal string with twelve places at most, without zeros that say nothing, never with an exponent."""
    text = f"{dollars(amount):f}"
    return text.rstrip("0").rstrip(".")


def _cluster_entry(cluster: Cluster, world: World, now: datetime) -> Entry:
    order, prices = cluster.order, world.prices
    standard = _spans(cluster, world, Source.STANDARD)
    preemptible = _spans(cluster, world, Source.PREEMPTIBLE)
    pauses = _pauses(cluster, now)

    def beyond_reserved(at: datetime) -> int:
        return max(0, _gpus_at(standard, pauses, at) - _reserved_at(cluster, at))

    def taken_back_at_will(at: datetime) -> int:
        return _gpus_at(preemptible, pauses, at)

    moments = [edge for span in (*standard, *preemptible, *pauses) for edge in (span.begins, span.until)]
    moments += [step.time for step in cluster.reserved]
    charges = [
        *_metered(ON_DEMAND, beyond_reserved, moments, now, prices.on_demand(order.gpu_type)),
        *_metered(PREEMPTIBLE, taken_back_at_will, moments, now, prices.preemptible(order.gpu_type)),
        *_prepaid(cluster, world, now),
    ]
    charges.sort(key=lambda charge: charge.begins)
    on_demand_per_hour = beyond_reserved(now) * Fraction(prices.on_demand(order.gpu_type))
    preemptible_per_hour = taken_back_at_will(now) * Fraction(prices.preemptible(order.gpu_type))
    per_hour = on_demand_per_hour + preemptible_per_hour
    return Entry("cluster", cluster.cluster_id, order.name, order.project_id, tuple(charges), per_hour)


def _volume_entry(volume: Volume, world: World, now: datetime) -> Entry:
    ends = min(volume.gone_at or now, now)
    rate = Fraction(world.prices.storage_tib_month_usd) / HOURS_PER_MONTH
    edges = [*(step.time for step in volume.sizes), ends]
    charges = tuple(
        Charge(STORAGE, begins, until, step.size_tib, rate)
        for step, (begins, until) in zip(volume.sizes, pairwise(edges), strict=True)
        if begins < until
    )
    per_hour = Fraction(0) if volume.gone_at else rate * volume.size_tib
    return Entry("volume", volume.volume_id, volume.name, volume.project_id, charges, per_hour)


@dataclass(frozen=True, slots=True)
class _Span:
    """From ``begins`` until before ``until``: so many GPUs are charged, or a cluster is paused."""

    begins: datetime
    until: datetime
    gpus: int = 0

    def covers(self, at: datetime) -> bool:
        return self.begins <= at < self.until


_EVER = datetime(9999, 1, 1, tzinfo=UTC)


def _spans(cluster: Cluster, world: World, source: Source) -> list[_Span]:
    """When each node of one source is charged."""
    nodes = {node.instance_id: node for node in (*cluster.gpu_nodes, *cluster.deleted_nodes)}
    spans = []
    for node in nodes.values():
        begins, until = _begins(node, cluster, world), _until(node, cluster, world)
        replaced = nodes.get(node.replaces)
        if begins is not None and replaced is not None:
            # The two are there together for a while; one place is charged once.
            begins = max(begins, _until(replaced, cluster, world))
        if begins is not None:
            spans += [span for span in _of_source(node, source, begins, until) if span.begins < span.until]
    return spans


def _of_source(node: Node, source: Source, begins: datetime, until: datetime) -> list[_Span]:
    """The parts of a node's time in which it was taken from ``source``."""
    parts = []
    for former in node.former_sources:
        parts.append((former.source, begins, min(max(begins, former.until), until)))
        begins = max(begins, former.until)
    parts.append((node.source, begins, until))
    return [_Span(start, end, node.num_gpus) for of, start, end in parts if of is source]


def _begins(node: Node, cluster: Cluster, world: World) -> datetime | None:
    """When a node is charged first; None: never yet."""
    if world.billing.bill_from == "Created":
        made = node.history[0].time
        return max(made, cluster.order.starts_at) if cluster.order.starts_at else made
    ran = next((step.time for step in node.history if step.phase is NodePhase.RUNNING), None)
    ready = cluster.first_ready_at
    return None if ran is None or ready is None else max(ran, ready)


def _until(node: Node, cluster: Cluster, world: World) -> datetime:
    """When a node is no longer charged, as far as is known; the end of time while it stays."""
    ends = [node.deleted_at, cluster.gone_at]
    if world.billing.bill_until == "DeleteRequested":
        ends += [node.leaving_since, cluster.entered_at(ClusterPhase.DELETING)]
    return min((end for end in ends if end is not None), default=_EVER)


def _pauses(cluster: Cluster, now: datetime) -> list[_Span]:
    ends = [*(step.time for step in cluster.history[1:]), _EVER]
    return [
        _Span(step.time, end)
        for step, end in zip(cluster.history, ends, strict=True)
        if step.phase in PAUSED and step.time < now
    ]


def _gpus_at(spans: Iterable[_Span], pauses: Iterable[_Span], at: datetime) -> int:
    if any(pause.covers(at) for pause in pauses):
        return 0
    return sum(span.gpus for span in spans if span.covers(at))


def _reserved_at(cluster: Cluster, at: datetime) -> int:
    """How many of its GPUs are prepaid at a moment, before their term begins too: those are never charged by use."""
    return next((step.gpus for step in reversed(cluster.reserved) if step.time <= at), 0)


def _metered(
    kind: str, units_at: Callable[[datetime], int], moments: Iterable[datetime], now: datetime, rate: Decimal
) -> list[Charge]:
    """Charges by use: ``units_at`` changes at ``moments`` only."""
    edges = sorted({moment for moment in moments if moment < now} | {now})
    pieces = [(units_at(begins), begins, until) for begins, until in pairwise(edges)]
    charges = []
    for units, group in groupby(pieces, key=lambda piece: piece[0]):
        same = list(group)
        if units:
            charges.append(Charge(kind, same[0][1], same[-1][2], units, Fraction(rate)))
    return charges


def _prepaid(cluster: Cluster, world: World, now: datetime) -> list[Charge]:
    """The whole term of a reservation once it has begun; more GPUs from when they were added. Nothing is given back."""
    begins, ends = _term(cluster)
    if begins is None or ends is None or begins > now:
        return []
    rate = Fraction(world.prices.reserved(cluster.order.gpu_type, _days_ordered(cluster, begins)))
    charges = []
    paid = 0
    for step in cluster.reserved:
        if step.gpus > paid and step.time < ends:
            charges.append(Charge(RESERVED, max(begins, step.time), ends, step.gpus - paid, rate, upfront=True))
        paid = max(paid, step.gpus)
    return charges


def _term(cluster: Cluster) -> tuple[datetime | None, datetime | None]:
    order = cluster.order
    # provider: a reservation starts at Ready
    begins = order.starts_at if order.billing is Billing.SCHEDULED_CAPACITY else cluster.first_ready_at
    if begins is None:
        return None, None
    ordered = order.ends_at if order.duration_days is None else begins + timedelta(days=order.duration_days)
    ends = [end for end in (ordered, cluster.ends_at) if end is not None]
    return begins, max(ends, default=None)


def _days_ordered(cluster: Cluster, begins: datetime) -> float:
    """The length of the term as it was ordered: an extension goes on at the same price."""
    order = cluster.order
    if order.duration_days is not None:
        return order.duration_days
    ends = order.ends_at or cluster.ends_at or begins
    return (ends - (order.starts_at or begins)) / timedelta(days=1)


def _hours(duration: timedelta) -> Fraction:
    return Fraction(duration // timedelta(microseconds=1), 3_600_000_000)


def totals(book: Ledger) -> Mapping[str, Fraction]:
    """Dollars by kind of charge."""
    return {kind: book.usd_of(kind) for kind in (ON_DEMAND, PREEMPTIBLE, RESERVED, STORAGE)}
