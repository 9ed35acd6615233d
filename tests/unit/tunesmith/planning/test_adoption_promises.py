"""The promises of adoption, whatever is found: it never buys, and what another owns is never touched."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_cluster_resource, a_view, seen
from tests.unit.tunesmith.planning.test_adoption import OLDER, UNNAMED, YOUNGER, a_mark, adopted_status, theirs

from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.observing import touches
from tunesmith.planning.orders import BuyCluster

facts = st.builds(
    lambda adopt, found, claims, status, spec, monotonic, deleting: replace(
        seen(
            a_cluster_resource(deleting=deleting, status=status, **{**UNNAMED, **spec, "adopt": adopt}),
            a_view(*found, begun=monotonic, not_found={} if found else {"c-9": monotonic}),
            monotonic=monotonic,
        ),
        other_claims=claims,
    ),
    st.sampled_from([{"clusterID": "c-9"}, {"clusterName": "theirs"}]),
    st.lists(st.sampled_from([theirs(), theirs("c-8"), theirs("c-7", a_mark())]), max_size=2, unique_by=lambda c: c.id),
    st.sampled_from([(), (OLDER,), (YOUNGER,), (replace(YOUNGER, bought=True),)]),
    st.sampled_from([{}, adopted_status(), {"createIntent": {"name": "n", "nonce": "n1"}}]),
    st.sampled_from([{}, {"managementPolicy": "Observe"}, {"nodes": 2}, {"adoptionPolicy": "BuyNew"}]),
    st.floats(MONOTONIC, 3000),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(facts)
def test_a_resource_that_adopts_never_buys(observation):
    assert not any(isinstance(action, BuyCluster) for action in decide(observation).actions)


@settings(max_examples=300, deadline=None)
@given(facts)
def test_what_another_owns_is_never_touched(observation):
    decision = decide(replace(observation, other_claims=(replace(YOUNGER, bought=True),)))
    assert not any(touches(action) for action in decision.actions)
