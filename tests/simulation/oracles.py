"""What may never happen, whatever goes wrong: watched at the moment at which it would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.api_server import OWN, Store
from tests.simulation.process import INSTALLATION
from tests.simulation.provider import DYING, Provider
from tests.simulation.world import MESSAGE_DELAY, World

from tunesmith.planning.naming import ProviderName, parse_provider_name, provider_name
from tunesmith.planning.provider import ProviderCluster, ProviderVolume

Raw = Mapping[str, Any]
Paid = ProviderCluster | ProviderVolume


@dataclass(eq=False)
class Watch:
    """Stands between the provider and the API server, and holds what each does against the other.

    `kept` are the things that `Retain` keeps apart, by id; `lost_uids` are objects that vanished by a restore, not by
    the operator's doing; `restored_at` says when the status of an object was taken back to an earlier one, and
    `forgotten` which things such a status had recorded, by the object's uid.
    """

    world: World
    api: Store
    providers: tuple[Provider, ...] = ()
    kept: set[str] = field(default_factory=set)
    lost_uids: set[str] = field(default_factory=set)
    restored_at: dict[str, float] = field(default_factory=dict)
    forgotten: dict[str, set[str]] = field(default_factory=dict)
    account_of_key: Callable[[], str] = lambda: "main"
    names: dict[tuple[str, str, str], ProviderName] = field(default_factory=dict)

    def acts(self, verb: str, thing: Paid) -> None:
        """The provider was told to make, change or delete something."""
        if verb == "create":
            self._not_twice(thing)
            self._owned(thing)
        elif thing.id in self.kept and not self.was_taken_over(thing):
            self.world.broken(f"'{thing.name}' ({thing.id}) was kept apart by Retain, and somebody sent a {verb}")
        elif verb == "delete":
            self._may_go(thing)

    def vanished(self, raw: Raw) -> None:
        """An object of ours went because no finalizer held it any more."""
        if raw["kind"] not in OWN:
            return
        for thing in self.things_of(raw):
            if raw["spec"].get("deletionPolicy", _DEFAULT[raw["kind"]]) == "Retain":
                self.kept.add(thing.id)
            elif raw["metadata"]["uid"] in self.lost_uids:
                continue
            elif raw["metadata"]["uid"] in self.restored_at and self.account_of(thing) != self.account_of_key():
                self._left_to_people(thing)  # the record of the key went with the status: nothing says where to look
            else:
                self.world.broken(f"{_said(raw)} was let go while '{thing.name}' ({thing.id}) is paid for")

    def restored(self, raw: Raw) -> None:
        """A backup is about to take the status of this object back."""
        uid, recorded = raw["metadata"]["uid"], _recorded(raw)
        self.restored_at[uid] = self.world.now
        if recorded is not None:
            self.forgotten.setdefault(uid, set()).add(recorded)

    def owner_of(self, thing: Paid) -> Raw | None:
        """The object whose purchase this is: by the name, or because it took it over."""
        name = parse_provider_name(thing.name)
        for kind in OWN:
            for raw in self.api.of_kind(kind):
                recorded = (raw.get("status") or {}).get("clusterID" if kind == "GPUCluster" else "volumeID")
                if recorded == thing.id or (name is not None and name.is_same_object(self.name_of(raw))):
                    return raw
        return None

    def name_of(self, raw: Raw) -> ProviderName:
        """The first incarnation's name of an object."""
        meta = raw["metadata"]
        at = (raw["kind"], meta["name"], meta["uid"])
        if at not in self.names:
            self.names[at] = provider_name(
                installation_id=INSTALLATION.id, kind=at[0], namespace=meta["namespace"], name=at[1], uid=at[2]
            )
        return self.names[at]

    def was_taken_over(self, thing: Paid) -> bool:
        """Somebody said that an object of the same name may have it."""
        owner = self.owner_of(thing)
        return owner is not None and owner["spec"].get("adoptionPolicy") == "SameIdentity"

    def living(self) -> list[Paid]:
        """Everything that bills in all accounts."""
        return [thing for provider in self.providers for thing in provider.living()]

    def unowned(self) -> list[Paid]:
        """What bills and belongs to no object, less what is kept apart."""
        return [thing for thing in self.living() if thing.id not in self.kept and self.owner_of(thing) is None]

    def _left_to_people(self, thing: Paid) -> None:
        """Nobody can find it but people who know that account: they take it down in the provider's console."""
        self.kept.add(thing.id)
        payer = next((provider for provider in self.providers if thing.id in provider.clusters), None)
        if payer is not None:
            self.world.later(60.0, lambda: payer.take_down(thing.id))

    def account_of(self, thing: Paid) -> str:
        """Which account pays for it."""
        return thing.id.partition("-")[0]

    def _not_twice(self, made: Paid) -> None:
        mine = parse_provider_name(made.name)
        for other in self.living():
            name = parse_provider_name(other.name)
            same_kind = type(other) is type(made) and other.id != made.id and other.id not in self.kept
            if same_kind and name is not None and mine is not None and name.is_same_object(mine):
                if self._in_an_account_that_nothing_names(made, other):
                    self._left_to_people(other)
                    continue
                self.world.broken(f"bought twice: '{made.name}' ({made.id}) besides '{other.name}' ({other.id})")

    def _in_an_account_that_nothing_names(self, made: Paid, other: Paid) -> bool:
        """Bought with another account's key, and then a backup lost the status: no record says where to look."""
        owner = self.owner_of(made)
        lost = owner is not None and owner["metadata"]["uid"] in self.restored_at
        return lost and self.account_of(made) != self.account_of(other)

    def _owned(self, made: Paid) -> None:
        name = parse_provider_name(made.name)
        lost = any(name is not None and name.uid == self.uid_mark(uid) for uid in self.lost_uids)
        if not lost and self.owner_of(made) is None:
            self.world.broken(f"'{made.name}' ({made.id}) was bought for an object that is no more")

    def _may_go(self, thing: Paid) -> None:
        owner = self.owner_of(thing)
        if owner is None or thing.status in DYING:
            return
        if self.world.now - self.restored_at.get(owner["metadata"]["uid"], -1e9) < MESSAGE_DELAY * 2:
            return  # the request may be of before the restore
        if owner["metadata"].get("deletionTimestamp") or (owner.get("status") or {}).get("release"):
            return
        self.world.broken(f"'{thing.name}' ({thing.id}) was deleted under {_said(owner)}, which nobody deleted")

    def things_of(self, raw: Raw) -> list[Paid]:
        own = self.name_of(raw)
        held = {_recorded(raw), *self.forgotten.get(raw["metadata"]["uid"], ())}
        found = []
        for thing in self.living():
            name = parse_provider_name(thing.name)
            if thing.id in held or (name is not None and name.is_same_object(own)):
                found.append(thing)
        return found

    def uid_mark(self, uid: str) -> str:
        """How names at the provider speak of an object."""
        return provider_name(installation_id="x", kind="x", namespace="x", name="x", uid=uid).uid


_DEFAULT = {"GPUCluster": "Delete", "SharedVolume": "Retain"}


def _recorded(raw: Raw) -> str | None:
    status = raw.get("status") or {}
    return status.get("clusterID") or status.get("volumeID")


def _said(raw: Raw) -> str:
    return f"{raw['kind']} '{raw['metadata']['name']}' ({raw['metadata']['uid']})"
