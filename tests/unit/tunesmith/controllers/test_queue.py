"""The work queue, by sentences and against a model."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tunesmith.controllers.controller import Key
from tunesmith.controllers.queue import WorkQueue


class ManualTime:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def a_queue(urgent: Container[Key] = ()) -> tuple[WorkQueue, ManualTime]:
    time = ManualTime()
    return WorkQueue(time, lambda: 0.0, lambda key: key in urgent), time


def taken(queue: WorkQueue, count: int) -> list[str]:
    """The names of the next keys, each done before the next."""
    names = []
    for _ in range(count):
        key = queue.take_ready()
        assert key is not None
        queue.done(key)
        names.append(key.name)
    return names


def clusters(names: Iterable[str]) -> list[Key]:
    return [Key("GPUCluster", "team", name) for name in names]


A, B = Key("GPUCluster", "team", "a"), Key("GPUCluster", "team", "b")


def test_a_key_added_often_is_taken_once() -> None:
    queue, _ = a_queue()
    for _ in range(5):
        queue.add(A)
    assert queue.take_ready() == A
    queue.done(A)
    assert queue.take_ready() is None


def test_a_key_in_flight_is_not_handed_out_again_until_it_is_done() -> None:
    queue, _ = a_queue()
    queue.add(A)
    queue.take_ready()
    queue.add(A)
    assert queue.take_ready() is None
    queue.done(A)
    assert queue.take_ready() == A


def test_of_several_delayed_wishes_the_earliest_counts() -> None:
    queue, time = a_queue()
    queue.add_after(A, 30)
    queue.add_after(A, 10)
    queue.add_after(A, 20)
    time.seconds = 9.9
    assert queue.take_ready() is None
    time.seconds = 10
    assert queue.take_ready() == A
    queue.done(A)
    time.seconds = 100
    assert queue.take_ready() is None


def test_an_immediate_wish_overtakes_a_delayed_one() -> None:
    queue, time = a_queue()
    queue.add_after(A, 30)
    queue.add(A)
    assert queue.take_ready() == A
    queue.done(A)
    time.seconds = 31
    assert queue.take_ready() is None


def test_failures_in_a_row_grow_the_pause_up_to_five_minutes() -> None:
    queue, time = a_queue()
    pauses = []
    for _ in range(12):
        queue.add_failed(A)
        due = queue.next_due()
        assert due is not None
        pauses.append(due - time.seconds)
        time.seconds = due
        assert queue.take_ready() == A
        queue.done(A)
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses[-1] == 150.0


def test_after_a_success_the_pause_is_short_again() -> None:
    queue, time = a_queue()
    for _ in range(4):
        queue.add_failed(A)
        time.seconds += 100
        queue.take_ready()
        queue.done(A)
    queue.succeeded(A)
    queue.add_failed(A)
    assert queue.next_due() == time.seconds + 0.5


def test_a_forgotten_key_is_not_taken_later() -> None:
    queue, time = a_queue()
    queue.add_after(A, 5)
    queue.forget(A)
    time.seconds = 10
    assert queue.take_ready() is None


@pytest.mark.parametrize("turns", range(4))
async def test_a_worker_that_is_cancelled_as_a_key_comes_ends(turns: int) -> None:
    queue, _ = a_queue()
    queue.add_after(*clusters(["later"]), 1000)

    async def work() -> None:
        while True:
            queue.done(await queue.take())

    worker = asyncio.create_task(work())
    await asyncio.sleep(0)
    queue.add(*clusters(["a"]))
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.cancel()
    await asyncio.wait({worker}, timeout=10)
    assert worker.cancelled()


def test_who_is_urgent_does_not_wait_in_line_and_one_in_four_is_of_the_others() -> None:
    queue, _ = a_queue(urgent=clusters("vwxyz"))
    for key in clusters("abvwxyz"):
        queue.add(key)
    assert taken(queue, 7) == ["v", "w", "x", "a", "y", "z", "b"]


def test_who_becomes_urgent_while_it_waits_leaves_its_place() -> None:
    urgent: set[Key] = set()
    queue, _ = a_queue(urgent)
    for key in clusters("abc"):
        queue.add(key)
    urgent.update(clusters("c"))
    for _ in range(2):
        queue.add(clusters("c")[0])
    assert queue.depth == 3
    assert taken(queue, 3) == ["c", "a", "b"]
    assert queue.take_ready() is None


def test_who_becomes_urgent_in_its_own_pass_goes_on_before_the_others() -> None:
    urgent: set[Key] = set()
    queue, _ = a_queue(urgent)
    for key in clusters("abc"):
        queue.add(key)
    first = queue.take_ready()
    urgent.update(clusters("a"))
    queue.add(first)
    queue.done(first)
    assert taken(queue, 3) == ["a", "b", "c"]


def passes_to_buy(count: int, *, hurried: bool, give_up_after: int) -> int:
    """How many passes of a second it takes to buy so many: intent, look and order, the order within 30 s."""
    begun: dict[Key, float] = {}
    looked: set[Key] = set()
    bought: set[Key] = set()
    queue, time = a_queue(urgent=begun if hurried else ())
    for key in clusters(str(number) for number in range(count)):
        queue.add(key)
    while len(bought) < count and time.seconds < give_up_after:
        time.seconds += 1
        key = queue.take_ready()
        if key not in begun or time.seconds > begun[key] + 30:
            begun[key] = time.seconds
            looked.discard(key)
        elif key not in looked:
            looked.add(key)
        else:
            bought.add(key)
            del begun[key]
        if key not in bought:
            queue.add(key)
        queue.done(key)
    return int(time.seconds)


def test_many_that_want_to_be_bought_at_once_do_not_keep_each_other_from_it() -> None:
    assert passes_to_buy(500, hurried=True, give_up_after=10_000) < 2_000
    assert passes_to_buy(500, hurried=False, give_up_after=10_000) == 10_000


async def test_take_waits_for_a_key_and_wakes_as_many_workers_as_there_are_keys() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time, lambda: 0.0)
    workers = [asyncio.create_task(queue.take()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add(A)
    queue.add_after(B, 0.01)
    async with asyncio.timeout(30):
        assert set(await asyncio.gather(*workers)) == {A, B}


class QueueAgainstModel(RuleBasedStateMachine):
    """Whatever is done: nothing that was wished for is lost, nothing is in flight twice, nothing comes early."""

    def __init__(self) -> None:
        super().__init__()
        self.urgent: set[Key] = set()
        self.queue, self.time = a_queue(self.urgent)
        self.wished: dict[Key, float] = {}  # key -> earliest moment of a wish not yet answered
        self.flying: set[Key] = set()

    keys = st.sampled_from([A, B, Key("Pool", "team", "a")])

    def _wish(self, key: Key, due: float) -> None:
        self.wished[key] = min(due, self.wished.get(key, due))

    @rule(key=keys)
    def add(self, key: Key) -> None:
        self.queue.add(key)
        self._wish(key, self.time.seconds)

    @rule(key=keys, seconds=st.integers(0, 20))
    def add_after(self, key: Key, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        self._wish(key, self.time.seconds + seconds)

    @rule(key=keys)
    def becomes_urgent_or_does_not_hurry_any_more(self, key: Key) -> None:
        self.urgent ^= {key}

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds: int) -> None:
        self.time.seconds += seconds

    @rule()
    def take(self) -> None:
        due = {key for key, at in self.wished.items() if at <= self.time.seconds and key not in self.flying}
        taken = self.queue.take_ready()
        assert (taken in due) if due else (taken is None)
        if taken is not None:
            self.flying.add(taken)
            del self.wished[taken]

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        self.flying.discard(key)
        self.queue.done(key)

    @invariant()
    def counts_agree(self) -> None:
        assert self.queue.in_flight == len(self.flying)


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
