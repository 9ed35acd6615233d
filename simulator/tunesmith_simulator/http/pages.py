"""Pages of the remediation list: filters, order and tokens, as its query says them."""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar

from multidict import MultiMapping

from tunesmith_simulator.http.times import time_text
from tunesmith_simulator.refusals import invalid
from tunesmith_simulator.remediations import Remediation, RemediationMode, RemediationState, Trigger

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
"""The provider states neither; its own command line asks for 100. A larger wish is cut down to this."""

_PARAMETERS = frozenset({"mode", "state", "trigger", "order_by", "page_size", "page_token"})

OrderField = Literal["create_time", "update_time"]
Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True)
class PageQuery:
    """What a client wants to see. Empty filters let everything through."""

    modes: frozenset[RemediationMode]
    states: frozenset[RemediationState]
    triggers: frozenset[Trigger]
    order: OrderField
    descending: bool
    size: int
    token: str

    def selects(self, remediation: Remediation) -> bool:
        """The remediation passes the filters."""
        return (
            (not self.modes or remediation.mode in self.modes)
            and (not self.states or remediation.state in self.states)
            and (not self.triggers or remediation.trigger in self.triggers)
        )

    def key(self, remediation: Remediation) -> tuple[str, str]:
        """Where it stands in the order."""
        time = remediation.created_at if self.order == "create_time" else remediation.updated_at
        return time_text(time), remediation.remediation_id


@dataclass(frozen=True)
class Page:
    """A part of the list; ``next_token`` is empty on the last one."""

    remediations: Sequence[Remediation]
    next_token: str


def page_query(query: MultiMapping[str]) -> PageQuery:
    """The query of a list request. Raises RefusedError for unknown parameters and words that mean nothing."""
    if unknown := sorted(set(query) - _PARAMETERS):
        raise invalid(f"unknown query parameter {unknown[0]!r}")
    order, _, direction = query.get("order_by", "create_time desc").strip().partition(" ")
    if order not in ("create_time", "update_time") or direction not in {"", "asc", "desc"}:
        raise invalid("order_by must be 'create_time' or 'update_time', with ' asc' or ' desc' after it")
    return PageQuery(
        modes=_words(query, "mode", RemediationMode),
        states=_words(query, "state", RemediationState),
        triggers=_words(query, "trigger", Trigger),
        order="create_time" if order == "create_time" else "update_time",
        descending=direction == "desc",
        size=_page_size(query.get("page_size", "0")),
        token=query.get("page_token", ""),
    )


def page_of(remediations: Iterable[Remediation], query: PageQuery) -> Page:
    """The page that the query asks for. A token says where the last page ended, so what is new shifts nothing."""
    found = sorted(filter(query.selects, remediations), key=query.key, reverse=query.descending)
    if query.token:
        last = _read(query)
        found = [each for each in found if (query.key(each) < last if query.descending else query.key(each) > last)]
    shown = found[: query.size]
    return Page(shown, _token(query, shown[-1]) if len(found) > len(shown) else "")


def _words(query: MultiMapping[str], name: str, kind: type[Word]) -> frozenset[Word]:
    """A list of words: joined by commas, given repeatedly, or both."""
    words = [word for value in query.getall(name, []) for word in value.split(",") if word]
    try:
        return frozenset(kind(word) for word in words)
    except ValueError as error:
        raise invalid(f"{name}: {error}") from None


def _page_size(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"page_size must be a number of at least 0, not {text!r}")
    return min(int(text) or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _meaning(query: PageQuery) -> list[str]:
    """What must not change from one page to the next."""
    words = sorted([*query.modes, *query.states, *query.triggers])
    return [*words, query.order, str(query.descending)]


def _token(query: PageQuery, last: Remediation) -> str:
    return base64.urlsafe_b64encode(json.dumps([_meaning(query), *query.key(last)]).encode()).decode()


def _read(query: PageQuery) -> tuple[str, str]:
    try:
        meaning, time, identifier = json.loads(base64.urlsafe_b64decode(query.token.encode()))
    except (ValueError, TypeError, binascii.Error):
        raise invalid("page_token is not one that this list gave") from None
    if meaning != _meaning(query):
        raise invalid("page_token belongs to a list with other filters or another order")
    return str(time), str(identifier)
