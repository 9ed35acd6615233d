"""The audit trail: two JSON lines for every write to the provider, one before it leaves and one when it has ended.

A process that dies in between leaves a line 'begun' without its 'ended'; that is what an auditor looks for. Lines go
to the logger `tunesmith.audit`; where that writes to is decided where the process is put together.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

AUDIT_LOGGER = "tunesmith.audit"
REQUEST = "request"
"""The `kind` of these lines. Other kinds of line, such as usage records, may stand in the same log."""

audit = logging.getLogger(AUDIT_LOGGER)
log = logging.getLogger(__name__)


class Verb(StrEnum):
    """What is done to an object of the provider."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"


class Thing(StrEnum):
    """The provider's objects that can be written."""

    CLUSTER = "cluster"
    VOLUME = "volume"
    REMEDIATION = "remediation"


_ID_FIELDS = {Thing.CLUSTER: "cluster_id", Thing.VOLUME: "volume_id", Thing.REMEDIATION: "id"}


@dataclass(frozen=True)
class Purpose:
    """For which resource a write is made, under which intent, and what its object costs by the hour (None: unknown)."""

    kind: str
    namespace: str
    name: str
    uid: str
    intent: str = ""
    usd_per_hour: Decimal | None = None


@dataclass(frozen=True)
class Write:
    """One write, as the dialect that makes it knows it. `asks` is the body of the request, without secrets."""

    verb: Verb
    thing: Thing
    id: str = ""
    name: str = ""
    spends: bool = False
    asks: Mapping[str, object] | None = None

    def id_in(self, answer: object) -> str | None:
        """The id that an answer gives the thing."""
        found = answer.get(_ID_FIELDS[self.thing]) if isinstance(answer, Mapping) else None
        return found if isinstance(found, str) else None


_purpose: ContextVar[Purpose | None] = ContextVar("audit_purpose", default=None)


@contextmanager
def acting_for(purpose: Purpose) -> Iterator[None]:
    """Writes made meanwhile by this task carry this purpose in their lines."""
    token = _purpose.set(purpose)
    try:
        yield
    finally:
        _purpose.reset(token)


class AuditTrail:
    """Writes the lines."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def line(self, write: Write, credential: str) -> dict[str, object]:
        """What both lines of a write say. `write` is the same in both and in no other."""
        purpose = _purpose.get()
        line: dict[str, object] = {
            "kind": REQUEST,
            "write": secrets.token_hex(8),
            "verb": write.verb,
            "object": write.thing,
            "id": write.id or None,
            "name": write.name or None,
            "credential": credential,
            "asks": write.asks,
        }
        if purpose is not None:
            line["resource"] = {
                "kind": purpose.kind,
                "namespace": purpose.namespace,
                "name": purpose.name,
                "uid": purpose.uid,
            }
            line["intent"] = purpose.intent or None
            line["usdPerHour"] = None if purpose.usd_per_hour is None else str(purpose.usd_per_hour)
        return {key: value for key, value in line.items() if value is not None}

    def begun(self, line: Mapping[str, object]) -> None:
        """The write is about to leave. Raises `OSError` when that cannot be written down."""
        self._append({**line, "event": "begun"})

    def ended(self, line: Mapping[str, object], outcome: str, made: str | None) -> None:
        """The write has ended: 'ok', a class of error, or 'Cancelled'; `made` is the id that the answer gave."""
        entry = {**line, "event": "ended", "outcome": outcome} | ({"id": made} if made else {})
        entry.pop("asks", None)
        try:
            self._append(entry)
        except OSError:
            log.exception("The end of a write could not be put into the audit log.", extra={"write": line["write"]})

    def _append(self, entry: Mapping[str, object]) -> None:
        time = self._now().isoformat(timespec="milliseconds")
        audit.info(json.dumps({"time": time, **entry}, sort_keys=False))
