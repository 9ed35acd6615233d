"""The status of a resource whose spec cannot be read: what was known stays, and it says where the mistake is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunesmith.resources.parsing import Invalid, parse

Raw = Mapping[str, Any]
REASON = "InvalidSpec"


def refusal_of(raw: Raw, now: datetime) -> dict[str, Any] | None:
    """The whole new status; None when the resource can be read."""
    parsed = parse(raw)
    return refused_status(raw, parsed, now) if isinstance(parsed, Invalid) else None


def refused_status(raw: Raw, invalid: Invalid, now: datetime) -> dict[str, Any]:
    """Whatever is recorded (ids of what was bought above all) is kept; Stalled says what is wrong."""
    status = dict(raw.get("status") or {})
    generation = raw["metadata"].get("generation", 0)
    message = (
        f"`{invalid.path}` cannot be used: {invalid.message} Correct it; nothing is done with this resource until then."
    )
    said = {"Ready": "False", "Reconciling": "False", "Stalled": "True"}
    before = {condition["type"]: condition for condition in status.get("conditions") or ()}
    for kind, holds in said.items():
        was = before.get(kind, {})
        changed = was.get("status") != holds
        before[kind] = {
            "type": kind,
            "status": holds,
            "observedGeneration": generation,
            "lastTransitionTime": _written(now) if changed else was["lastTransitionTime"],
            "reason": REASON,
            "message": message,
        }
    return {**status, "observedGeneration": generation, "conditions": list(before.values())}


def _written(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
