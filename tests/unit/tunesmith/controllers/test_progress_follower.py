"""Following rank 0's log: the newest is kept, a broken connection is taken up again, unreadable logs are told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

import pytest

from tunesmith.controllers.controller import Key
from tunesmith.controllers.progress_follower import ProgressFollower, Target
from tunesmith.kube.errors import KubeError
from tunesmith.planning.decision import ErrorClass, Failure

JOB = Key("FineTuneJob", "team", "tune")
TARGET = Target(None, "team", "tune-0", 1)
BROKEN = KubeError(Failure(ErrorClass.UNAVAILABLE, "The cluster does not answer."))


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Logs:
    """A Kubernetes whose logs are written beforehand: lines, errors, or an end that waits."""

    def __init__(self, *connections: list[str | Exception]) -> None:
        self.connections = list(connections)
        self.asked: list[dict[str, object]] = []

    async def logs(self, namespace: str, pod: str, **asked: object) -> AsyncGenerator[str, None]:
        self.asked.append(asked)
        connection = self.connections.pop(0) if self.connections else []
        for line in connection:
            if isinstance(line, Exception):
                raise line
            yield line
        await asyncio.Event().wait()


def progress(step: int, **more: object) -> str:
    said = {"tunesmith": "progress/v1", "time": f"2025-11-08T12:00:{step:02d}Z", "attempt": 1, "stage": "Training"}
    return json.dumps({**said, "step": step, **more})


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def follow():
    followers = []

    def start(kube: Logs, woken: list[Key]) -> ProgressFollower:
        async def kube_for(where):
            return kube

        follower = ProgressFollower(kube_for, woken.append, RealClock(), str)
        followers.append(follower)
        follower.follow(JOB, TARGET)
        return follower

    yield start
    for follower in followers:
        await follower.close()


async def test_the_newest_is_kept_the_job_is_woken_and_other_lines_are_the_tail(follow):
    woken: list[Key] = []
    lines = ["Loading weights", progress(1, loss=2.0, totalSteps=9), progress(2, loss=1.5)]
    follower = follow(Logs(lines), woken)
    await until(lambda: follower.report(JOB).progress and follower.report(JOB).progress.step == 2)
    report = follower.report(JOB)
    assert [point.step for point in report.losses] == [1, 2]
    assert report.progress.total_steps == 9
    assert report.tail == ("Loading weights",)
    await until(lambda: woken)
    assert woken == [JOB]


async def test_a_broken_connection_is_taken_up_where_it_was_left(follow):
    kube = Logs([progress(3, loss=1.0), BROKEN], [progress(2, loss=9.0), progress(4, loss=0.5)])
    follower = follow(kube, [])
    await until(lambda: follower.report(JOB).progress and follower.report(JOB).progress.step == 4)
    assert [point.step for point in follower.report(JOB).losses] == [3, 4]
    assert kube.asked[0]["tail_lines"] is not None
    assert kube.asked[1]["since_seconds"] is not None


async def test_a_log_that_cannot_be_read_is_said_to_be_and_no_stall(follow):
    follower = follow(Logs([BROKEN], [BROKEN], [progress(1)]), [])
    await until(lambda: not follower.report(JOB).readable)
    assert follower.report(JOB).why == "The cluster does not answer."
    await until(lambda: follower.report(JOB).readable and follower.report(JOB).progress)


async def test_another_pod_is_another_report_and_a_stopped_job_has_none(follow):
    follower = follow(Logs([progress(5)], [progress(1)]), [])
    await until(lambda: follower.report(JOB).progress)
    follower.follow(JOB, Target(None, "team", "tune-a2-0", 2))
    assert (follower.report(JOB).attempt, follower.report(JOB).progress) == (2, None)
    follower.stop(JOB)
    assert follower.report(JOB) is None


async def test_what_a_person_should_know_and_evaluations_are_kept_beside_the_losses(follow):
    lines = [
        progress(0, evaluationLoss=3.0, evaluationStep=0),
        progress(1, loss=2.0, evaluationLoss=3.0, evaluationStep=0),
        progress(1, loss=2.0, evaluationLoss=2.5, evaluationStep=1),
        progress(2, loss=1.5, evaluationLoss=2.5, evaluationStep=1, message="Step 2: the loss jumped."),
        progress(3, loss=1.0, evaluationLoss=2.5, evaluationStep=1),
    ]
    follower = follow(Logs(lines), [])
    await until(lambda: follower.report(JOB).progress and follower.report(JOB).progress.step == 3)
    report = follower.report(JOB)
    told = [(point.step, point.loss, point.evaluation_loss) for point in report.losses]
    assert told == [(0, None, 3.0), (1, 2.0, 2.5), (2, 1.5, None), (3, 1.0, None)]
    assert [note.message for note in report.notes] == ["Step 2: the loss jumped."]


async def test_a_step_that_was_not_heard_yet_is_news_whatever_the_nodes_clock_says(follow):
    set_back = progress(8, loss=0.5, time="2025-11-08T11:00:00Z")
    follower = follow(Logs([progress(7, loss=1.0), set_back]), [])
    await until(lambda: follower.report(JOB).progress and follower.report(JOB).progress.step == 8)


async def test_it_sits_still_from_when_it_first_said_so_until_it_moves(follow):
    def heartbeat(stalled: bool) -> str:
        said = {"tunesmith": "heartbeat/v1", "time": "2025-11-08T12:00:00Z", "attempt": 1, "stage": "Training"}
        return json.dumps({**said, "lastStep": 5, "stalled": stalled})

    follower = follow(Logs([heartbeat(False), heartbeat(True), heartbeat(True)]), [])
    await until(lambda: follower.report(JOB) and follower.report(JOB).stalled_monotonic is not None)
    since = follower.report(JOB).stalled_monotonic
    assert since <= follower.report(JOB).heard_monotonic
    moved = follow(Logs([heartbeat(True), progress(6)]), [])
    await until(lambda: moved.report(JOB).progress)
    assert moved.report(JOB).stalled_monotonic is None


async def test_the_time_left_of_the_steps_ends_with_them(follow):
    follower = follow(Logs([progress(7, loss=1.0, etaSeconds=3), progress(8, stage="Publishing")]), [])
    await until(lambda: follower.report(JOB).progress and follower.report(JOB).progress.step == 8)
    assert (follower.report(JOB).progress.loss, follower.report(JOB).progress.eta_seconds) == (1.0, None)
