"""Nobody waits for a dead cluster."""

from __future__ import annotations

import pytest

from tunesmith.kube.breaker import FAILURES_TO_OPEN, REST_SECONDS, Breaker
from tunesmith.kube.errors import KubeError


class Time:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def a_dead_one() -> tuple[Breaker, Time]:
    time = Time()
    breaker = Breaker(time)
    for _ in range(FAILURES_TO_OPEN):
        breaker.observe("GET", "Pod", "unreachable", 1.0)
    return breaker, time


def test_after_some_failures_in_a_row_requests_fail_at_once() -> None:
    breaker, _ = a_dead_one()
    with pytest.raises(KubeError, match="list Pod"):
        breaker.gate("list Pod")


def test_an_error_is_an_answer_and_so_a_sign_of_life() -> None:
    breaker, _ = a_dead_one()
    breaker.observe("GET", "Pod", "503", 1.0)
    breaker.gate("list Pod")
    assert not breaker.open


def test_after_a_rest_one_request_may_try_and_the_others_go_on_waiting() -> None:
    breaker, time = a_dead_one()
    time.seconds = REST_SECONDS
    breaker.gate("list Pod")
    with pytest.raises(KubeError):
        breaker.gate("list Pod")
