"""What bills at the provider under a name of this installation although no resource answers for it, and what to do.

Pure. The sweep reports; deleting is a setting of the installation, for clusters only, behind the brakes of `_brake`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tunesmith.planning.circumstances import Installation
from tunesmith.planning.decision import Failure
from tunesmith.planning.money import cents, hourly_usd
from tunesmith.planning.name_book import Book, Entry, Kept
from tunesmith.planning.naming import ProviderName, installation_mark, parse_provider_name, provider_name
from tunesmith.planning.ownership import NAME_ANNOTATION
from tunesmith.planning.price_table import Prices
from tunesmith.planning.provider import ProviderCluster, ProviderVolume

Raw = Mapping[str, Any]
OWNING_KINDS = ("GPUCluster", "SharedVolume")
DELETED_AFTER = timedelta(hours=24)
"""No orphan is deleted in its first 24 hours, counted from its order, its creation, and since it is one."""
TOLD_AGAIN_AFTER = timedelta(hours=6)
DELETE_AGAIN_SECONDS = 600.0
HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Found:
    """A cluster or volume at the provider that carries a name of this installation. Volumes tell no time or place.

    `account` is that which showed it; `project_id` is empty where neither the list nor the account names one. Of its
    GPUs `preemptible_gpus` have a price of their own, and `pool_gpus` are a capacity pool's, paid for elsewhere. What
    of a `prepaid` one was paid when it was bought, nobody tells.
    """

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
    preemptible_gpus: int = 0
    pool_gpus: int = 0
    prepaid: bool = False

    @property
    def parsed(self) -> ProviderName | None:
        """The parts of its name."""
        return parse_provider_name(self.name)


@dataclass(frozen=True)
class Owners:
    """What the living resources answer for: by id, by name, by the object itself, and by what it is called."""

    ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    objects: frozenset[tuple[str, str]] = frozenset()  # identity and uid, as names carry them
    identities: frozenset[str] = frozenset()
    left_behind: frozenset[str] = frozenset()
    """Identities of resources that were told (`BuyNew`) to leave what was bought for them before."""
    served: frozenset[str] = frozenset()
    """Identities of resources that have theirs: nobody asks them any more about another of their like."""

    def answer_for(self, found: Found) -> bool:
        """Some resource has bought it, means to, has adopted it, or is being asked about it."""
        parsed = found.parsed
        if found.id in self.ids or found.name in self.names:
            return True
        if parsed is None:
            return False
        return (parsed.identity, parsed.uid) in self.objects or parsed.identity in self.identities


@dataclass(frozen=True)
class Seen:
    """Since when something was seen without an owner. `reported_before`: an earlier process had reported it already."""

    monotonic: float
    wall: datetime
    reported_before: bool = False
    told: datetime | None = None
    delete_sent: float | None = None


@dataclass(frozen=True)
class Orphan:
    """Something that bills and that nobody answers for. `stays`: why it is not deleted; empty: it may be."""

    found: Found
    since: datetime
    kept: Kept | None = None
    ordered: datetime | None = None
    hourly_usd: Decimal | None = None
    stays: str = ""

    @property
    def billed_since(self) -> datetime | None:
        """From when on it is known to have billed: its creation, else its order; None: not known."""
        return self.found.created or self.ordered

    @property
    def cost_is_at_least(self) -> bool:
        """Nobody tells its age (no volume's is told), so its cost is counted from when it was first seen."""
        return self.billed_since is None

    def cost_usd(self, now: datetime) -> Decimal | None:
        """What it has cost so far at today's price, see `cost_is_at_least`; None when the price is not known."""
        since = self.billed_since or self.since
        if self.hourly_usd is None or now < since:
            return None
        return cents(self.hourly_usd * Decimal((now - since) // timedelta(seconds=1)) / 3600)


@dataclass(frozen=True)
class Sweep:
    """What came of one look: all without an owner, those to tell of now, those to delete now, what to remember."""

    orphans: tuple[Orphan, ...] = ()
    tell: tuple[Orphan, ...] = ()
    delete: tuple[Orphan, ...] = ()
    memory: Mapping[str, Seen] = field(default_factory=dict)


def own_things(
    clusters: Iterable[ProviderCluster], volumes: Iterable[ProviderVolume], installation: Installation
) -> tuple[Found, ...]:
    """Those of them that carry a name of this very installation; former ids of it count as another's."""
    mark = installation_mark(installation.id)
    found = (
        *(
            Found(
                "GPUCluster",
                c.id,
                c.name,
                c.status,
                c.region,
                c.gpu_type,
                c.gpus,
                created=c.created,
                project_id=c.project_id,
                preemptible_gpus=c.allocated_preemptible_gpus,
                pool_gpus=c.capacity_pool_gpus,
                prepaid=bool(c.is_prepaid),
            )
            for c in clusters
        ),
        *(Found("SharedVolume", v.id, v.name, v.status, size_tib=v.size_tib) for v in volumes),
    )
    return tuple(each for each in found if (parsed := each.parsed) is not None and parsed.installation == mark)


def owners_of(raws: Iterable[Raw], installation: Installation) -> Owners:
    """What these GPUClusters and SharedVolumes answer for; an open intent counts like a purchase."""
    ids: set[str] = set()
    names: set[str] = set()
    objects: set[tuple[str, str]] = set()
    identities: set[str] = set()
    left_behind: set[str] = set()
    served: set[str] = set()
    for raw in raws:
        meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
        adopt = spec.get("adopt") or {}
        ids.update(
            _words(status.get("clusterID"), status.get("volumeID"), adopt.get("clusterID"), adopt.get("volumeID"))
        )
        ids.update(_words(*(volume.get("id") for volume in status.get("volumes") or ())))
        intended = (status.get("createIntent") or {}).get("name")
        annotated = (meta.get("annotations") or {}).get(NAME_ANNOTATION)
        names.update(
            _words(status.get("providerName"), intended, annotated, adopt.get("clusterName"), adopt.get("volumeName"))
        )
        own = _own(raw, installation)
        objects.add((own.identity, own.uid))
        # A resource that may take over what was bought for its like is being asked about it, until it has its own.
        has_its_own = status.get("clusterID") or status.get("volumeID")
        asked = served if has_its_own else identities
        (left_behind if spec.get("adoptionPolicy") == "BuyNew" else asked).add(own.identity)
    return Owners(
        frozenset(ids),
        frozenset(names),
        frozenset(objects),
        frozenset(identities),
        frozenset(left_behind),
        frozenset(served),
    )


def without_owner(found: Iterable[Found], owners: Owners) -> tuple[Found, ...]:
    """Those that no resource answers for."""
    return tuple(each for each in found if not owners.answer_for(each))


@dataclass(frozen=True)
class Grounds:
    """What a sweep is judged on beside what was found."""

    owners: Owners
    book: Book
    installation: Installation
    now: datetime
    monotonic: float
    confirm_book: str = ""
    """The book was copied or restored, so that its orders may be another installation's: what would confirm it."""
    out_of_sight: tuple[Found, ...] = ()
    """What was reported before and cannot be seen now; it may be of the same mishap as what is seen."""
    silent: frozenset[str] = frozenset()
    """Ids of what is known only by the last word of an account that does not answer now."""


def sweep(unowned: tuple[Found, ...], memory: Mapping[str, Seen], grounds: Grounds) -> Sweep:
    """What is to be told and deleted of what no resource answers for. The young are left alone, and only remembered."""
    now, monotonic = grounds.now, grounds.monotonic
    seen = {each.id: memory.get(each.id, Seen(monotonic, now)) for each in unowned}
    orphans = [
        _orphan(each, seen[each.id], grounds)
        for each in sorted(unowned, key=lambda each: (each.kind, each.name, each.id))
        if not _is_young(each, seen[each.id], grounds)
    ]
    orphans = _not_too_many(orphans, grounds)
    delete = tuple(each for each in orphans if not each.stays and _may_be_asked(seen[each.found.id], monotonic))
    tell = tuple(each for each in orphans if each.kept is None and _is_news(seen[each.found.id], now))
    for each in tell:
        seen[each.found.id] = replace(seen[each.found.id], told=now)
    for each in delete:
        seen[each.found.id] = replace(seen[each.found.id], delete_sent=monotonic)
    return Sweep(tuple(orphans), tell, delete, seen)


def with_refused_deletions(result: Sweep, refused: Mapping[str, Failure]) -> Sweep:
    """The sweep after its deletions. Those of `refused` (by id) stay, say why, and are tried again by the next."""
    if not refused:
        return result
    orphans = tuple(_refused(each, refused.get(each.found.id)) for each in result.orphans)
    again = {key: replace(result.memory[key], delete_sent=None) for key in refused}
    return replace(result, orphans=orphans, memory={**result.memory, **again})


def sentence(orphan: Orphan, now: datetime) -> str:
    """What is told of one orphan: what it is, what it costs, what becomes of it, what to do."""
    found, cost = orphan.found, orphan.cost_usd(now)
    what = f"{found.gpus} GPUs of '{found.gpu_type}'" if found.kind == "GPUCluster" else f"{found.size_tib} TiB"
    at_least = "at least " if orphan.cost_is_at_least else ""
    spent = f"{at_least}${cost} so far" if cost is not None else "an unknown amount so far"
    hourly = f", ${orphan.hourly_usd} an hour" if orphan.hourly_usd is not None else ""
    text = f"No resource answers for '{found.name}' ({found.id}), {what} at the provider: {spent}{hourly}. "
    if not orphan.stays:
        return f"{text}The provider deletes it now, as `orphans.mode` says."
    thing = "GPUCluster with `spec.adopt.clusterID`" if found.kind == "GPUCluster" else "SharedVolume with `spec.adopt`"
    return f"{text}It is not deleted: {orphan.stays}. Take it over by a {thing}, or delete it at the provider."


def _own(raw: Raw, installation: Installation) -> ProviderName:
    meta = raw["metadata"]
    return provider_name(
        installation_id=installation.id,
        kind=raw["kind"],
        namespace=meta.get("namespace") or "",
        name=meta["name"],
        uid=meta.get("uid") or "",
    )


def _is_young(found: Found, seen: Seen, grounds: Grounds) -> bool:
    """Its order may still be on its way into a status, or its deletion into the provider's list."""
    grace = grounds.installation.orphan_grace_seconds
    if not seen.reported_before and grounds.monotonic < seen.monotonic + grace:
        return True
    return found.created is not None and grounds.now - found.created < timedelta(seconds=grace)


def _orphan(found: Found, seen: Seen, grounds: Grounds) -> Orphan:
    entry = grounds.book.get(found.name, Entry())
    hourly = _hourly_usd(found, grounds.installation.prices)
    stays = _brake(found, grounds) or _not_now(found, entry, seen.wall, grounds)
    return Orphan(found, seen.wall, entry.kept, entry.ordered, hourly, stays)


def _brake(found: Found, grounds: Grounds) -> str:
    """Why it is not deleted, however long it waits. Every line is a brake; all must be off."""
    entry, installation = grounds.book.get(found.name, Entry()), grounds.installation
    if entry.kept is not None:
        return f"its user chose to keep it ({entry.kept})"
    if found.kind != "GPUCluster":
        return "volumes are never deleted, because data is lost with them"
    if not installation.orphans_are_deleted:
        return "this installation only reports (`orphans.mode: Report`)"
    if found.status == "Deleting":
        return "the provider is deleting it already"
    if found.prepaid:
        return "it was paid for ahead, so that nothing is saved"
    if entry.retains:
        return "its resource kept it (`deletionPolicy: Retain`, or only watched)"
    if entry.ordered is None:
        return "its name was not recorded before it was ordered"
    identity = found.parsed.identity if found.parsed is not None else ""
    if identity in grounds.owners.left_behind:
        return "its resource was told to leave it (`adoptionPolicy: BuyNew`)"
    if identity in grounds.owners.served:
        return "a resource of the name that it was bought for lives, and has another"
    if grounds.confirm_book:
        return f"the book of names was copied or restored from a backup; {grounds.confirm_book} to believe it"
    return ""


def _not_now(found: Found, entry: Entry, since: datetime, grounds: Grounds) -> str:
    """Why it is not deleted yet."""
    if found.id in grounds.silent:
        return "the provider does not answer to the key that showed it"
    now = grounds.now
    if any(now - time < DELETED_AFTER for time in (entry.ordered, found.created) if time is not None):
        return "it is in its first 24 hours"
    return "it has been an orphan for less than 24 hours" if now - since < DELETED_AFTER else ""


def _not_too_many(orphans: list[Orphan], grounds: Grounds) -> list[Orphan]:
    """More at once than the set number are the sign of another fault, such as resources that were lost: none goes.

    Those that only wait count too, or the orphans of one mishap would go one by one as each has waited long enough.
    """
    all_found = (*(each.found for each in orphans), *grounds.out_of_sight)
    doomed, at_most = sum(not _brake(each, grounds) for each in all_found), grounds.installation.orphans_delete_at_most
    if doomed <= at_most:
        return orphans
    why = f"{doomed} were found at once, and `orphans.deleteAtMost` is {at_most}"
    return [each if each.stays else replace(each, stays=why) for each in orphans]


def _refused(orphan: Orphan, failure: Failure | None) -> Orphan:
    if failure is None:
        return orphan
    why = f"the provider did not confirm that it deletes it ({failure.message.rstrip('.')}), and is asked again"
    return replace(orphan, stays=why)


def _may_be_asked(seen: Seen, monotonic: float) -> bool:
    return seen.delete_sent is None or monotonic >= seen.delete_sent + DELETE_AGAIN_SECONDS


def _is_news(seen: Seen, now: datetime) -> bool:
    return seen.told is None or now - seen.told >= TOLD_AGAIN_AFTER


def _hourly_usd(found: Found, prices: Prices) -> Decimal | None:
    if found.kind == "GPUCluster":
        by_hour = max(found.gpus - found.preemptible_gpus - found.pool_gpus, 0)
        return None if found.prepaid else hourly_usd(prices, found.gpu_type, by_hour, found.preemptible_gpus)
    return None if prices.tib_month_usd is None else cents(prices.tib_month_usd * found.size_tib / HOURS_PER_MONTH)


def _words(*values: Any) -> set[str]:
    return {value for value in values if isinstance(value, str) and value}
