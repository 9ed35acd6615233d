"""What stands between a credential and the provider: retries of reads, pauses that are asked for, and the breaker."""

import asyncio

import httpx
import pytest
from tests.unit.tunesmith.cloud.clouds import FAR, a_cloud, a_gate, a_transport, answering, failure_of

from tunesmith.cloud.breaker import FAILURES_TO_OPEN, FIRST_REST_SECONDS, LONGEST_REST_SECONDS
from tunesmith.cloud.errors import CloudError, error_of
from tunesmith.cloud.g2 import G2Cloud
from tunesmith.cloud.gate import Gates
from tunesmith.cloud.retries import ReadRetries
from tunesmith.planning.decision import ErrorClass, KnownMessage
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder

EMPTY = {"clusters": []}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Provider:
    """Gives these answers (a status, or a status and its headers) one after the other, the last one for ever."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def __call__(self, request):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return httpx.Response(status, json=EMPTY, headers=headers)


def a_paced_cloud(provider, time, *, gate=None, tries=1, jitter=1.0):
    """A client whose pauses are counted."""
    gate = gate or a_gate(time, time.sleep)
    retries = ReadRetries(tries=tries, monotonic=time, sleep=time.sleep, jitter=lambda: jitter)
    return G2Cloud(a_transport(provider, clock=time, gate=gate, retries=retries))


ORDER = ClusterOrder("ts-a", "r", "g", 8)


async def test_a_read_is_tried_again_after_growing_pauses():
    time, provider = Time(), Provider(503, 503, 200)
    assert await a_paced_cloud(provider, time, tries=3).list_clusters() == ()
    assert (provider.asked, time.slept) == (3, [0.5, 1.0])


async def test_the_pauses_have_full_jitter():
    time, provider = Time(), Provider(503, 503, 200)
    await a_paced_cloud(provider, time, tries=3, jitter=0.25).list_clusters()
    assert time.slept == [0.125, 0.25]


async def test_a_read_gives_up_after_a_few_tries():
    provider = Provider(503)
    failure = await failure_of(a_paced_cloud(provider, Time(), tries=3).list_clusters())
    assert (provider.asked, failure.error) == (3, ErrorClass.UNAVAILABLE)


async def test_no_try_begins_after_the_time_is_up():
    time = Time()

    def slow(request):
        time.now += 15
        provider.asked += 1
        return httpx.Response(503)

    provider = Provider(503)
    await failure_of(a_paced_cloud(slow, time, tries=9).list_clusters())
    assert provider.asked == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
async def test_an_answer_that_says_no_is_not_asked_for_again(status):
    provider = Provider(status)
    await failure_of(a_paced_cloud(provider, Time(), tries=3).list_clusters())
    assert provider.asked == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda cloud: cloud.create_cluster(ORDER, deadline=FAR),
        lambda cloud: cloud.create_volume(VolumeOrder("v", "r", 1), deadline=FAR),
        lambda cloud: cloud.create_remediation("c", "i", "REBOOT_VM", ""),
        lambda cloud: cloud.change_cluster("c", ClusterChanges(gpus=8)),
        lambda cloud: cloud.resize_volume("v", 2),
        lambda cloud: cloud.delete_cluster("c"),
        lambda cloud: cloud.approve_remediation("c", "i", "r", ""),
    ],
)
async def test_a_write_is_never_sent_twice(write):
    for status in (429, 500, 503):
        provider = Provider(status)
        await failure_of(write(a_paced_cloud(provider, Time(), tries=3)))
        assert provider.asked == 1


async def test_retry_after_holds_everybody_with_the_same_key():
    time, told = Time(), []
    gates = Gates(monotonic=time, sleep=time.sleep, waited=told.append)
    gate, other = gates.of("a-key"), gates.of("another-key")
    first = a_paced_cloud(Provider((429, {"retry-after": "7"})), time, gate=gate)
    second = a_paced_cloud(Provider(200), time, gate=gates.of("a-key"))
    third = a_paced_cloud(Provider(200), time, gate=other)
    failure = await failure_of(first.list_clusters())
    assert (failure.error, failure.retry_after_seconds, told) == (ErrorClass.RATE_LIMITED, 7.0, [7.0])
    await third.list_clusters()
    assert time.now == 100.0
    await second.list_clusters()
    assert time.now == 107.0


async def test_missing_stock_with_a_retry_after_holds_nobody_else():
    time = Time()

    def answer(request):
        if request.method == "POST":
            return httpx.Response(409, json={"message": "Out of stock"}, headers={"retry-after": "600"})
        return httpx.Response(200, json=EMPTY)

    cloud = a_paced_cloud(answer, time)
    failure = await failure_of(cloud.create_cluster(ORDER, deadline=FAR))
    assert (failure.error, failure.retry_after_seconds) == (ErrorClass.OUT_OF_STOCK, 600.0)
    assert await cloud.list_clusters() == ()
    assert time.slept == []


async def test_a_long_pause_is_told_at_once_instead_of_being_waited_for():
    time, provider = Time(), Provider((429, {"retry-after": "600"}), 200)
    cloud = a_paced_cloud(provider, time)
    await failure_of(cloud.list_clusters())
    failure = await failure_of(cloud.create_cluster(ORDER, deadline=FAR))
    assert (failure.error, failure.retry_after_seconds) == (ErrorClass.RATE_LIMITED, 600.0)
    assert (provider.asked, time.slept) == (1, [])


async def test_a_purchase_held_past_its_window_is_not_sent():
    time, provider = Time(), Provider((503, {"retry-after": "8"}), 200)
    cloud = a_paced_cloud(provider, time)
    await failure_of(cloud.list_clusters())
    failure = await failure_of(cloud.create_cluster(ORDER, deadline=time.now + 5))
    assert (failure.error, provider.asked) == (ErrorClass.NOT_SENT, 1)


async def broken(time):
    """A client whose breaker has just opened, and its provider."""
    provider = Provider(503)
    cloud = a_paced_cloud(provider, time)
    for _ in range(FAILURES_TO_OPEN):
        await failure_of(cloud.list_clusters())
    return cloud, provider


async def test_after_failures_in_a_row_nobody_asks_and_nothing_is_bought():
    time = Time()
    cloud, provider = await broken(time)
    read = await failure_of(cloud.list_clusters())
    bought = await failure_of(cloud.create_cluster(ORDER, deadline=FAR))
    assert (read.error, read.retry_after_seconds) == (ErrorClass.UNAVAILABLE, FIRST_REST_SECONDS)
    assert bought.error is ErrorClass.NOT_SENT
    assert provider.asked == FAILURES_TO_OPEN


async def test_what_is_told_while_it_rests_does_not_move():
    time = Time()
    cloud, _ = await broken(time)
    first = await failure_of(cloud.list_clusters())
    time.now += 3
    assert (await failure_of(cloud.list_clusters())).message == first.message


async def test_after_the_rest_one_probe_goes_alone_and_it_is_no_purchase():
    time = Time()
    cloud, provider = await broken(time)
    time.now += FIRST_REST_SECONDS
    assert (await failure_of(cloud.create_cluster(ORDER, deadline=FAR))).error is ErrorClass.NOT_SENT
    assert provider.asked == FAILURES_TO_OPEN
    provider.answers = [200]
    answers = await asyncio.gather(*(cloud.list_clusters() for _ in range(5)), return_exceptions=True)
    assert provider.asked == FAILURES_TO_OPEN + sum(not isinstance(each, CloudError) for each in answers)
    assert await cloud.list_clusters() == ()


async def test_a_probe_that_fails_doubles_the_rest_up_to_a_bound():
    time = Time()
    cloud, provider = await broken(time)
    rests = []
    for _ in range(6):
        rests.append((await failure_of(cloud.list_clusters())).retry_after_seconds)
        time.now += rests[-1]
        await failure_of(cloud.list_clusters())
    assert rests == [10.0, 20.0, 40.0, 80.0, LONGEST_REST_SECONDS, LONGEST_REST_SECONDS]
    assert provider.asked == FAILURES_TO_OPEN + 6


async def test_any_answer_shows_that_the_provider_lives():
    time = Time()
    provider = Provider(*([503] * (FAILURES_TO_OPEN - 1)), 401, *([503] * (FAILURES_TO_OPEN - 1)), 200)
    cloud = a_paced_cloud(provider, time)
    for _ in range(2 * FAILURES_TO_OPEN - 1):
        await failure_of(cloud.list_clusters())
    assert await cloud.list_clusters() == ()


async def test_the_states_of_all_breakers_are_counted():
    time = Time()
    gates = Gates(monotonic=time)
    gates.of("well")
    gate = gates.of("ill")
    for _ in range(FAILURES_TO_OPEN):
        gate.ended(error_of(ErrorClass.UNAVAILABLE, "ask"))
    assert gates.breakers() == {"Closed": 1, "Open": 1}
    time.now += FIRST_REST_SECONDS
    assert gates.breakers() == {"Closed": 1, "HalfOpen": 1}


@pytest.mark.parametrize(
    ("status", "text", "error", "known"),
    [
        (409, "Out of stock", ErrorClass.OUT_OF_STOCK, KnownMessage.OUT_OF_STOCK),
        (
            400,
            "cuda version and nvidia driver version are required",
            ErrorClass.BAD_REQUEST,
            KnownMessage.DRIVER_MISSING,
        ),
        (
            409,
            "Shared volume v-1 does not exist in the datacenter",
            ErrorClass.BAD_REQUEST,
            KnownMessage.VOLUME_ELSEWHERE,
        ),
        (
            404,
            "shared volume does not exist in the datacenter dc-2",
            ErrorClass.BAD_REQUEST,
            KnownMessage.VOLUME_ELSEWHERE,
        ),
        (500, "Out of stock", ErrorClass.AMBIGUOUS, None),
        (400, "<script>anything else</script>", ErrorClass.BAD_REQUEST, None),
    ],
)
async def test_a_text_that_is_known_is_explained_in_our_words_and_no_other_is_shown(status, text, error, known):
    cloud = a_cloud(answering(status, {"code": 9, "message": text}))
    failure = await failure_of(cloud.create_cluster(ORDER, deadline=FAR))
    assert (failure.error, failure.known) == (error, known)
    assert text not in failure.message


@pytest.mark.parametrize("text", ["volume does not exist in the datacenter", "out of stock"])
async def test_a_known_text_never_hides_that_something_is_absent(text):
    assert await a_cloud(answering(404, {"message": text})).get_cluster("c-1") is None
    await a_cloud(answering(404, {"message": text})).delete_cluster("c-1")
