"""Who does not wait in line: what is being let go of, and what is in the middle of a purchase.

An order may be sent only within a window from its intent on. Where two thousand resources want to be bought at once,
each would be past its window whenever its turn came, and none of them would ever be: so who has begun goes first, and
nobody new begins while many have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.controllers.controller import Key
from tunesmith.kube.cache import Cache


def urgency(raw: Mapping[str, Any]) -> int:
    """0: it is being deleted. 1: it may have been bought without being recorded. 2: the rest."""
    if raw["metadata"].get("deletionTimestamp"):
        return 0
    return 1 if (raw.get("status") or {}).get("createIntent") else 2


def urgent_in(cache: Cache) -> Callable[[Key], bool]:
    """Whether the resource of a key, as it is known now, should not wait in line."""

    def is_urgent(key: Key) -> bool:
        raw = cache.get(key.kind, key.namespace, key.name)
        return raw is not None and urgency(raw) < 2

    return is_urgent
