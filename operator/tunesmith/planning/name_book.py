"""The book of names: what this installation has ordered, and what its users chose to keep. One ConfigMap holds it.

It is the brake of the orphan sweep. Only a cluster whose name was written here before it was ordered may ever be
deleted as an orphan, and none that somebody chose to keep. A lost book, or a lost entry, can only save a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tunesmith.planning.circumstances import Installation
from tunesmith.planning.decision import Action
from tunesmith.planning.naming import installation_mark, parse_provider_name
from tunesmith.resources.timestamps import format_time, parse_time

LONGEST_BOOK = 4000
"""Entries; about half of what a ConfigMap may hold."""
FORGOTTEN_AFTER = timedelta(days=7)
"""An order of this age whose cluster nobody sees and nobody owns is over."""


class Kept(StrEnum):
    """Why an object without a resource is left at the provider: somebody said so."""

    RETAINED = "Retained"
    ABANDONED = "Abandoned"


@dataclass(frozen=True)
class Entry:
    """One name. `ordered` is when it was written down before its order; None: only the choice to keep it is known.

    `retains`: its living resource says that what carries the name is not deleted with it. Unlike `kept`, nobody has let
    the resource go, so its loss is still told.
    """

    ordered: datetime | None = None
    kept: Kept | None = None
    kept_since: datetime | None = None
    retains: bool = False

    @property
    def newest(self) -> datetime | None:
        """When the entry was written last."""
        return max((time for time in (self.ordered, self.kept_since) if time is not None), default=None)


Book = Mapping[str, Entry]


BOOK_ANNOTATION = "tunesmith.dev/name-book-uid"
"""On the book's ConfigMap: its own uid. A copy, or one that a backup brought back, has another uid than it says."""


def foreign_uid(metadata: Mapping[str, Any]) -> str | None:
    """The uid of a ConfigMap whose book was written as another object; None: it is the one that was written.

    What such a book says was ordered may be another installation's, which lives and pays for it.
    """
    said, uid = (metadata.get("annotations") or {}).get(BOOK_ANNOTATION), metadata.get("uid") or ""
    return None if said in {None, uid} else uid


@dataclass(frozen=True)
class RecordName(Action):
    """Write the name down before the order that carries it. Done once, however often it is asked for."""

    name: str
    retains: bool = False


@dataclass(frozen=True)
class NotePolicy(Action):
    """Write down what the resource says now of keeping what carries the name. A name that is not there stays out."""

    name: str
    retains: bool


BookAction = RecordName | NotePolicy
"""What is asked of the book for a living resource; each says what becomes of the name when the resource is lost."""


@dataclass(frozen=True)
class KeepName(Action):
    """Write down that its user keeps what carries the name, before the resource goes."""

    name: str
    kept: Kept


def keeping(name: str | None, kept: Kept, installation: Installation) -> tuple[KeepName, ...]:
    """The action that says so, for a name that this installation gave; others are no business of its sweep."""
    if name is None or not is_given_by(name, installation):
        return ()
    return (KeepName(name, kept),)


def is_given_by(name: str, installation: Installation) -> bool:
    """Whether this very installation gave the name."""
    parsed = parse_provider_name(name)
    return parsed is not None and parsed.installation == installation_mark(installation.id)


def after(book: Book, action: BookAction | KeepName, now: datetime) -> Book:
    """The book with the action's entry; the same object when it says so already."""
    before = book.get(action.name, Entry())
    wanted = _entry_after(before, action, now)
    return book if wanted == before else _within_bounds({**book, action.name: wanted})


def without_what_is_over(book: Book, *, present: frozenset[str], owned: Iterable[str], now: datetime) -> Book:
    """The book without orders that are old, whose cluster no list shows, and whose resource is gone.

    What is kept stays: its account may only be out of sight. The same object when nothing is over.
    """
    living = present.union(owned)
    over = {
        name
        for name, entry in book.items()
        if entry.kept is None
        and name not in living
        and (entry.ordered is None or now - entry.ordered >= FORGOTTEN_AFTER)
    }
    return {name: entry for name, entry in book.items() if name not in over} if over else book


def read_book(data: Mapping[str, str]) -> dict[str, Entry]:
    """The book from its ConfigMap's data. What cannot be read is no entry."""
    return {name: entry for name, text in data.items() if (entry := _read(text)) is not None}


def written_book(book: Book) -> dict[str, str]:
    """The book as its ConfigMap's data."""
    return {name: _written(entry) for name, entry in sorted(book.items())}


def _entry_after(before: Entry, action: BookAction | KeepName, now: datetime) -> Entry:
    match action:
        case RecordName(_, retains):
            return replace(before, ordered=before.ordered or now, retains=retains)
        case NotePolicy(_, retains):
            return before if before.ordered is None else replace(before, retains=retains)
        case KeepName(_, kept):
            return before if before.kept is kept else replace(before, kept=kept, kept_since=now)


def _within_bounds(book: dict[str, Entry]) -> Book:
    """The newest entries: a name that is dropped is not deleted, only no longer known."""
    if len(book) <= LONGEST_BOOK:
        return book
    newest = sorted(book.items(), key=lambda item: _age_key(item[1]), reverse=True)[:LONGEST_BOOK]
    return dict(newest)


def _age_key(entry: Entry) -> str:
    return format_time(entry.newest) if entry.newest is not None else ""


def _read(text: str) -> Entry | None:
    try:
        said = json.loads(text)
        kept = Kept(said["kept"]) if "kept" in said else None
        times = _time(said.get("ordered")), _time(said.get("keptSince"))
        return Entry(times[0], kept, times[1], bool(said.get("retains", False)))
    except (ValueError, TypeError, AttributeError):
        return None


def _written(entry: Entry) -> str:
    said = {
        "ordered": format_time(entry.ordered) if entry.ordered is not None else None,
        "kept": str(entry.kept) if entry.kept is not None else None,
        "keptSince": format_time(entry.kept_since) if entry.kept_since is not None else None,
        "retains": entry.retains or None,
    }
    return json.dumps({key: value for key, value in said.items() if value is not None}, separators=(",", ":"))


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)
