"""When the provider is looked at again, also while something that failed is not tried again yet."""

from dataclasses import replace

from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_running_cluster

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
