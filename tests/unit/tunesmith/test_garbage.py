"""Garbage in cycles is found by the clock, and never by the count of what is held."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from tunesmith.garbage import look_now_and_then, look_seldom


class Knot:
    """An object in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)


def full_looks() -> int:
    return int(gc.get_stats()[2]["collections"])


def test_however_much_is_held_nobody_looks_through_all_of_it_unasked() -> None:
    look_seldom()
    before, young = full_looks(), gc.get_stats()[0]["collections"]
    held = [[number] for number in range(200_000)]
    assert gc.get_stats()[0]["collections"] > young, "the short-lived is looked through as before"
    assert full_looks() == before
    assert len(held) == 200_000


async def test_old_garbage_goes_by_the_clock() -> None:
    look_seldom()
    knot = Knot()
    gone = weakref.ref(knot)
    gc.collect()  # it is old now
    del knot
    looking = asyncio.create_task(look_now_and_then(0.01))
    async with asyncio.timeout(20):
        while gone() is not None:
            await asyncio.sleep(0.01)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
