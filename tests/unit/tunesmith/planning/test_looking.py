"""When the provider is looked at again, also while something that failed is not tried again yet."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_provider_cluster, a_running_cluster, a_view

from tunesmith.planning.circumstances import FailureRecord
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import ChangeCluster
from tunesmith.planning.retry import hold_back

REFUSED = Failure(ErrorClass.UNAVAILABLE, "The provider could not be reached.")


def wanting_more(*, seconds_later, failed=()):
    """A cluster that is to grow, so much later than the newest look; these actions failed just now."""
    seen = a_running_cluster(spec={"nodes": 3})
    now = MONOTONIC + seconds_later
    failures = {identity: FailureRecord(3, now - 0.1, REFUSED) for identity in failed}
    return replace(seen, around=replace(seen.around, monotonic=now, failures=failures))


def in_order(*, seconds_later, jitter):
    """A cluster that nothing has to be done about and that is to be looked at every 300 s."""
    seen = a_running_cluster(
        spec={"drift": {"intervalSeconds": 300}}, view=a_view(a_provider_cluster(), begun=MONOTONIC)
    )
    return replace(seen, around=replace(seen.around, monotonic=MONOTONIC + seconds_later, jitter=jitter))


def decided(seen):
    """What the reconciler carries out."""
    return hold_back(decide(seen), seen.around)


def test_a_change_that_is_not_tried_again_yet_does_not_blind_and_does_not_spin():
    first = decided(wanting_more(seconds_later=500))
    (change,) = [action for action in first.actions if isinstance(action, ChangeCluster)]
    later = decided(wanting_more(seconds_later=500, failed=[change.identity]))
    assert [type(action) for action in later.actions] == [LookAtProvider]
    blind = decided(wanting_more(seconds_later=500, failed=[change.identity, later.actions[0].identity]))
    assert blind.actions == ()
    assert blind.look_again_seconds > 0.5


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_the_next_look_comes_within_the_interval_whatever_the_jitter(jitter):
    again = decided(in_order(seconds_later=0, jitter=jitter)).look_again_seconds
    assert 240 <= again < 300


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_a_pass_in_the_time_that_jitter_draws_from_looks_and_draws_no_later_one(jitter):
    early, due = (decided(in_order(seconds_later=later, jitter=jitter)) for later in (239, 241))
    assert early.actions == ()
    assert [type(action) for action in due.actions] == [LookAtProvider]
