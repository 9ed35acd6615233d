"""Reads an audit log back: what was done at the provider, for whom, and how it ended. Other lines are passed over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tunesmith.cloud.audit import REQUEST

NOT_KNOWN = "NotKnown"
"""The outcome of a write whose process died before it ended: look at the provider."""


class AuditedResource(BaseModel):
    """The resource that a write was made for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))

    def is_named(self, wanted: str) -> bool:
        """Whether `wanted` is its name, with as much of namespace and kind before it as is given; or its uid."""
        parts = [self.kind.lower(), self.namespace.lower(), self.name.lower()]
        asked = wanted.lower().split("/")
        return wanted == self.uid or parts[-len(asked) :] == asked


class AuditLine(BaseModel):
    """One line, as it was written."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    kind: str
    write: str = Field(min_length=1)
    event: str
    time: AwareDatetime
    verb: str = ""
    thing: str = Field(default="", alias="object")
    id: str = ""
    name: str = ""
    resource: AuditedResource = AuditedResource()
    intent: str = ""
    credential: str = ""
    outcome: str = ""
    usd_per_hour: str = Field(default="", alias="usdPerHour")


@dataclass(frozen=True)
class AuditedWrite:
    """One write, both of its lines taken together. `ended` is None while nobody wrote down how it ended."""

    begun: datetime
    ended: datetime | None
    line: AuditLine

    @property
    def outcome(self) -> str:
        """How it ended: 'ok', a class of error, 'Cancelled', or `NOT_KNOWN`."""
        return self.line.outcome if self.ended is not None else NOT_KNOWN

    def as_json(self) -> dict[str, object]:
        """One object, in the words of the log."""
        said = self.line.model_dump(by_alias=True, exclude={"kind", "event", "time", "outcome"}, exclude_defaults=True)
        ended = None if self.ended is None else self.ended.isoformat()
        return {"begun": self.begun.isoformat(), "ended": ended, **said, "outcome": self.outcome}


def read_audit(lines: Iterable[str]) -> tuple[AuditedWrite, ...]:
    """All writes in the log, by the time at which they began."""
    writes: dict[str, AuditedWrite] = {}
    for line in _requests(lines):
        before = writes.get(line.write)
        if line.event != "ended":
            writes.setdefault(line.write, AuditedWrite(line.time, None, line))
        elif before is None:
            writes[line.write] = AuditedWrite(line.time, line.time, line)  # its first line was rotated away
        else:
            writes[line.write] = replace(before, ended=line.time, line=line)
    return tuple(sorted(writes.values(), key=lambda write: write.begun))


def _requests(lines: Iterable[str]) -> Iterator[AuditLine]:
    """The log may be mixed with others, carry the prefixes of a container's log, and end in the middle of a line."""
    for text in lines:
        try:
            entry = json.loads(text[max(text.find("{"), 0) :])
            if isinstance(entry, dict) and entry.get("kind") == REQUEST:
                yield AuditLine.model_validate(entry)
        except (ValueError, RecursionError, ValidationError):
            continue
