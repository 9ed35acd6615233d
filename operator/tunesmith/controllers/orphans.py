"""The sweep for orphans: what bills at the provider under a name of ours and no resource answers for.

It lists the provider before it lists the resources, so that nothing that is just being bought is taken for an orphan.
While nothing is found, a sweep costs no request to the API server and no write. What is found is judged in planning/.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tunesmith.cloud.accounts import Account
from tunesmith.cloud.audit import Purpose, acting_for
from tunesmith.cloud.errors import CloudError
from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.controller import Key
from tunesmith.controllers.ports import Ports
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CONFIG_MAP, GPU_CLUSTER, LEASE, SHARED_VOLUME
from tunesmith.planning.decision import EventNote, EventType, Failure
from tunesmith.planning.name_book import without_what_is_over
from tunesmith.planning.orphan_report import REPORT_KEY, OrphanReport, ReportedOrphan, report_name, report_of
from tunesmith.planning.orphan_sight import Look, out_of_sight
from tunesmith.planning.orphans import (
    Found,
    Grounds,
    Orphan,
    Owners,
    Seen,
    Sweep,
    own_things,
    owners_of,
    sentence,
    sweep,
    with_refused_deletions,
    without_owner,
)
from tunesmith.resources.reasons import Reason

Raw = Mapping[str, Any]
Tell = Callable[[Raw, EventNote], None]
ORPHANS_KEY = Key("Orphans", "", "")
SOON_SECONDS = 30.0
IN_USE_SECONDS = 3600.0
"""Credentials that nothing has looked with for so long, such as rotated ones, are not looked with by the sweep."""

log = logging.getLogger(__name__)


def tell_nobody(raw: Raw, note: EventNote) -> None:
    """Where there is nobody to tell."""


@dataclass
class _Eyeful:
    """What the accounts show, and which account shows what."""

    things: dict[str, Found] = field(default_factory=dict)
    shown_by: dict[str, Account] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)


class OrphanSweep:
    """Works on the one key `ORPHANS_KEY`."""

    kind = ORPHANS_KEY.kind

    def __init__(self, ports: Ports, clouds: CloudView, tell: Tell = tell_nobody) -> None:
        self._ports = ports
        self._clouds = clouds
        self._tell = tell
        self._memory: Mapping[str, Seen] | None = None
        self._orphans: tuple[Orphan, ...] = ()
        self._published: OrphanReport | None = None
        self._has_read_report = False

    def counted(self) -> Mapping[str, int]:
        """How many orphans there are, by kind; what its users keep is not counted."""
        return Counter(each.found.kind for each in self._orphans if each.kept is None)

    async def work(self, key: Key) -> float | None:
        """One sweep; seconds until the next."""
        interval = self._ports.installation.orphan_look_seconds
        eyeful = await self._look(self._ports.clock.monotonic() - interval / 2)
        candidates = without_owner(eyeful.things.values(), self._cached_owners())
        if candidates:
            eyeful = await self._look(self._ports.clock.monotonic())
        try:
            await self._judge(eyeful, candidates)
        except (KubeError, CloudError) as error:
            log.warning("The sweep for orphans could not be finished.", extra={"why": str(error)})
            return min(SOON_SECONDS, interval)
        return min(interval, self._ports.installation.orphan_grace_seconds) if self._memory else interval

    async def _look(self, not_before: float) -> _Eyeful:
        """The lists of every account in use. One that does not answer is taken at its last word, for reports only."""
        self._clouds.of_installation()
        eyeful = _Eyeful()
        for account in self._clouds.accounts_in_use(self._ports.clock.monotonic() - IN_USE_SECONDS):
            answers = await _answers(account, not_before)
            view = account.view()
            projects = frozenset(cluster.project_id for cluster in view.seen_clusters() if cluster.project_id)
            eyeful.looks.append(Look(account.name, answers, projects))
            for found in own_things(view.seen_clusters(), view.seen_volumes(), self._ports.installation):
                project = found.project_id or account.credential.project_id or ""
                eyeful.things.setdefault(found.id, replace(found, account=account.name, project_id=project))
                if answers:
                    eyeful.shown_by.setdefault(found.id, account)
        return eyeful

    def _cached_owners(self) -> Owners:
        cache = self._ports.cache
        return owners_of((*cache.list("GPUCluster"), *cache.list("SharedVolume")), self._ports.installation)

    async def _judge(self, eyeful: _Eyeful, candidates: tuple[Found, ...]) -> None:
        now = self._ports.clock.now()
        unseen = await self._unseen(eyeful)
        remembered, hidden = await self._remembered(), {each.found.id for each in unseen}
        out_of_sight_since = {key: since for key, since in remembered.items() if key in hidden}
        if not candidates:
            self._memory = out_of_sight_since
            await self._publish(unseen, now, has_looked=any(look.answers for look in eyeful.looks))
            return
        owners = await self._owners()
        book, confirm = await self._clouds.names.read(), await self._clouds.names.confirmation_wanted()
        grounds = Grounds(
            owners,
            book,
            self._ports.installation,
            now,
            self._ports.clock.monotonic(),
            confirm,
            tuple(each.found for each in unseen),
            frozenset(eyeful.things.keys() - eyeful.shown_by.keys()),
        )
        result = sweep(without_owner(eyeful.things.values(), owners), remembered, grounds)
        result = await self._carry_out(result, eyeful, now)
        self._memory = {**result.memory, **out_of_sight_since}
        await self._publish((*unseen, *result.orphans), now)
        present = frozenset(found.name for found in eyeful.things.values())
        if without_what_is_over(book, present=present, owned=owners.names, now=now) is not book:
            await self._clouds.names.change(
                lambda each: without_what_is_over(each, present=present, owned=owners.names, now=now)
            )

    async def _remembered(self) -> Mapping[str, Seen]:
        """What this process has seen before; at first, what the process before it had reported."""
        if self._memory is not None:
            return self._memory
        now = self._ports.clock.monotonic()
        return {each.id: Seen(now, each.since, reported_before=True) for each in await self._reported()}

    async def _unseen(self, eyeful: _Eyeful) -> tuple[Orphan, ...]:
        """What was reported before and cannot be seen now: no list but that of its own project says that it is gone."""
        owners = self._cached_owners()
        missing = (each.orphan() for each in await self._reported() if each.id not in eyeful.things)
        report = report_name(self._ports.installation.release)
        return out_of_sight((each for each in missing if not owners.answer_for(each.found)), eyeful.looks, report)

    async def _reported(self) -> tuple[ReportedOrphan, ...]:
        """What the report says now. It is read again while it says something: who deletes it has lines forgotten."""
        if not self._has_read_report or (self._published is not None and self._published.orphans):
            await self._read_report()
        return self._published.orphans if self._published is not None else ()

    async def _owners(self) -> Owners:
        """As they stand at the API server now, after the provider was listed."""
        clusters = (await self._ports.kube.list(GPU_CLUSTER)).items
        volumes = (await self._ports.kube.list(SHARED_VOLUME)).items
        return owners_of((*clusters, *volumes), self._ports.installation)

    async def _carry_out(self, result: Sweep, eyeful: _Eyeful, now: datetime) -> Sweep:
        """Tell and delete. A deletion is told when the provider has taken it, so that no Event speaks of what failed.

        Dying in between leaves one untold; it is in the audit log.
        """
        if not result.tell and not result.delete:
            return result
        lease = await self._lease()
        for orphan in result.tell:
            if orphan not in result.delete:
                self._announce(lease, Reason.ORPHAN_FOUND, orphan, now)
        refused: dict[str, Failure] = {}
        for orphan in result.delete:
            try:
                await self._delete(orphan, eyeful.shown_by[orphan.found.id])
            except CloudError as error:
                refused[orphan.found.id] = error.failure
            else:
                self._announce(lease, Reason.ORPHAN_DELETED, orphan, now)
        result = with_refused_deletions(result, refused)
        for orphan in result.orphans:
            if orphan.found.id in refused:
                self._announce(lease, Reason.ORPHAN_NOT_DELETED, orphan, now)
        return result

    async def _delete(self, orphan: Orphan, account: Account) -> None:
        found, installation = orphan.found, self._ports.installation
        purpose = Purpose("Orphan", installation.operator_namespace, found.name, "", "", orphan.hourly_usd)
        with acting_for(purpose):
            await account.cloud.delete_cluster(found.id)

    async def _lease(self) -> Raw | None:
        """The one object of its own that the operator has however it is run: Events go there."""
        installation = self._ports.installation
        lease = await self._ports.kube.get(LEASE, installation.operator_namespace, installation.release)
        return None if lease is None else {**lease, "apiVersion": LEASE.api_version, "kind": LEASE.kind}

    def _announce(self, lease: Raw | None, reason: Reason, orphan: Orphan, now: datetime) -> None:
        log.warning("No resource answers for something that bills.", extra={"orphan": orphan.found.name})
        if lease is not None:
            self._tell(lease, EventNote(EventType.WARNING, reason, sentence(orphan, now)))

    async def _publish(self, orphans: tuple[Orphan, ...], now: datetime, *, has_looked: bool = True) -> None:
        """The report for `tunesmith orphans`, written only when it says something new.

        The first says something also when it is empty: that somebody has looked.
        """
        self._orphans = orphans
        report = report_of(orphans, now)
        if self._published is None and not orphans and not has_looked:
            return
        if self._published is not None and report.says_the_same(self._published):
            return
        await self._ports.kube.apply(self._manifest(report))
        self._published = report

    async def _read_report(self) -> None:
        """What this process or one before it has written, unless somebody has taken it away."""
        installation = self._ports.installation
        name = report_name(installation.release)
        found = await self._ports.kube.get(CONFIG_MAP, installation.operator_namespace, name)
        self._published = None
        with suppress(ValidationError, KeyError):
            self._published = None if found is None else OrphanReport.model_validate_json(found["data"][REPORT_KEY])
        self._has_read_report = True

    def _manifest(self, report: OrphanReport) -> dict[str, Any]:
        installation = self._ports.installation
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": report_name(installation.release),
                "namespace": installation.operator_namespace,
                "labels": {"app.kubernetes.io/managed-by": "tunesmith"},
            },
            "data": {REPORT_KEY: report.model_dump_json(by_alias=True, exclude_none=True)},
        }


async def _answers(account: Account, not_before: float) -> bool:
    try:
        await account.look(not_before)
    except CloudError:
        return False  # the resources of the account say what is wrong with it
    return True
