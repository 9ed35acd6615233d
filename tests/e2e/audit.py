"""The API server's audit log, read as the record of what the operator asked for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

OPERATOR = "system:serviceaccount:tunesmith-system:tunesmith"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """One request that was answered."""

    time: datetime
    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    message: str = ""
    group: str = ""

    @property
    def is_forbidden(self) -> bool:
        """RBAC said no. A namespace that is going takes nothing new, and says so with the same code."""
        return self.code == 403 and "because it is being terminated" not in self.message

    @property
    def is_write(self) -> bool:
        """Whether something was to be changed."""
        return self.verb in WRITES

    def __str__(self) -> str:
        what = "/".join(filter(None, (self.resource, self.namespace, self.name, self.subresource)))
        return f"{self.time:%H:%M:%S.%f} {self.verb} {what}: {self.code}"


@dataclass(frozen=True)
class AuditLog:
    """One line per request and stage; requests are told once, when they were answered."""

    path: Path

    def of_operator(self, *, since: datetime | None = None) -> list[Request]:
        """What the operator's service account asked for, oldest first."""
        return [each for each in self._read() if each.user == OPERATOR and (since is None or each.time >= since)]

    def writes(self, *, since: datetime | None = None) -> list[Request]:
        """What it tried to change, but for the Lease that says which replica is active, and for Events."""
        apart = {"leases", "events"}
        return [each for each in self.of_operator(since=since) if each.is_write and each.resource not in apart]

    def events_written(self, *, since: datetime | None = None) -> int:
        """How often it wrote an Event."""
        return sum(each.resource == "events" and each.is_write for each in self.of_operator(since=since))

    def _read(self) -> Iterator[Request]:
        with self.path.open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line) if line.endswith("\n") else None
                if entry is None or entry["stage"] != "ResponseComplete":
                    continue
                reference = entry.get("objectRef", {})
                yield Request(
                    time=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
                    user=entry["user"]["username"],
                    verb=entry["verb"],
                    resource=reference.get("resource", ""),
                    subresource=reference.get("subresource", ""),
                    namespace=reference.get("namespace", ""),
                    name=reference.get("name", ""),
                    code=entry.get("responseStatus", {}).get("code", 0),
                    message=entry.get("responseStatus", {}).get("message", ""),
                    group=reference.get("apiGroup", ""),
                )
