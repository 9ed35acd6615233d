"""The status of a resource whose spec cannot be read: what was known stays, and it says where the mistake is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunesmith.planning.ownership import PAUSED_ANNOTATION
from tunesmith.resources.parsing import Invalid, parse
from tunesmith.resources.reasons import Reason

Raw = Mapping[str, Any]


def refusal_of(raw: Raw, now: datetime) -> dict[str, Any] | None:
    """The whole new status; None when the resource can be read. Of a paused one it is what it was."""
    parsed = parse(raw)
    if not isinstance(parsed, Invalid):
        return None
    if (raw["metadata"].get("annotations") or {}).get(PAUSED_ANNOTATION) == "true":
        return dict(raw.get("status") or {})
    return refused_status(raw, parsed, now)


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
            "reason": str(Reason.INVALID),
            "message": message,
        }
    return {**status, "observedGeneration": generation, "conditions": list(before.values())}


def _written(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
