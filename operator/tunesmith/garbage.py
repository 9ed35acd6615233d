"""When Python looks for garbage in cycles: seldom and at a chosen time, because nothing else happens meanwhile.

Of two thousand bought clusters the operator holds millions of objects, and nearly none of them is ever garbage. Python
looks through all of them each time that a quarter was added; that takes seconds, in which no lease is renewed. What is
short-lived is still looked through as often as before.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time

FULL_LOOK_SECONDS = 600.0
NEVER_BY_COUNT = 1_000_000_000

log = logging.getLogger(__name__)


def look_seldom() -> None:
    """From now on only `look_now_and_then` looks through all objects."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER_BY_COUNT)


async def look_now_and_then(seconds: float = FULL_LOOK_SECONDS) -> None:
    """Look through all objects every so many seconds, until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        begun = time.monotonic()
        found = gc.collect()
        log.debug("Looked for garbage.", extra={"found": found, "seconds": round(time.monotonic() - begun, 3)})
