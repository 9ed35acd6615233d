"""A SharedVolume that may lie in several regions follows the cluster that was bought."""

import pytest
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, REGION, a_provider_cluster, a_view
from tests.unit.tunesmith.planning.volume_builders import (
    BOUGHT,
    a_naming_cluster,
    a_volume,
    at_provider,
    intent,
    message,
    only,
    reason,
    seen,
)

from tunesmith.planning.neighbours import named_volume
from tunesmith.planning.orders import BuyVolume
from tunesmith.planning.provider import AttachedVolume, Region
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.shared_volume import decide

EUROPE = Region("eu-west-1", ("H100_SXM",))
ANYWHERE = {"region": None, "regions": ["us-central-8", "eu-west-1"]}
ELECTED = intent(clusterName="train", clusterUID="u-1")


def either(*args, **more):
    return a_volume(*args, **ANYWHERE, **more)


@pytest.mark.parametrize("regions", [("eu-west-1",), ("ap-1", "us-central-8"), ("us-central-8", "eu-west-1")])
def test_a_cluster_is_elected_when_one_of_its_choices_lies_in_one_of_the_volumes_regions(regions):
    decision = decide(seen(either(), clusters=(a_naming_cluster(regions=regions),)))
    assert decision.status.create_intent.cluster_uid == "u-1"
    assert decision.status.create_intent.region is None, "the cluster's own order says where"


def test_a_cluster_of_other_regions_is_not_elected():
    decision = decide(seen(either(), clusters=(a_naming_cluster(regions=("ap-1",)),)))
    assert (decision.status.create_intent, reason(decision)) == (None, "WaitingForCluster")


def test_the_volume_lies_where_the_cluster_was_bought():
    holder = a_provider_cluster(region="eu-west-1", volumes=(AttachedVolume("v-1", "x", 2, "bound"),))
    view = a_view(holder, volumes=(at_provider("bound"),), regions=(REGION, EUROPE))
    decision = decide(seen(either(status={"createIntent": ELECTED}), view, clusters=(a_naming_cluster(),)))
    assert (decision.status.volume_id, decision.status.region) == ("v-1", "eu-west-1")


def test_without_a_holder_it_lies_where_the_elected_clusters_order_went():
    view = a_view(volumes=(at_provider(),))
    ordered = a_naming_cluster(regions=("eu-west-1",), buying=True)
    decision = decide(seen(either(status={"createIntent": ELECTED}), view, clusters=(ordered,)))
    assert decision.status.region == "eu-west-1"


def test_where_it_lies_is_learned_later_when_nobody_could_tell_at_first():
    view = a_view(volumes=(at_provider(),))
    recorded = decide(seen(either(status={"createIntent": ELECTED}), view, clusters=())).status
    assert (recorded.volume_id, recorded.region) == ("v-1", None)
    resource = either().model_copy(update={"status": recorded})
    assert named_volume(resource).regions == ("us-central-8", "eu-west-1"), "any of them may be the one"
    holder = a_provider_cluster(region="eu-west-1", volumes=(AttachedVolume("v-1", "x", 2, "bound"),))
    assert decide(seen(resource, a_view(holder, volumes=(at_provider("bound"),)))).status.region == "eu-west-1"


def test_a_volume_that_is_made_alone_is_made_in_the_first_region_that_the_provider_has():
    opened = decide(seen(either(bindingMode="Immediate"), a_view(regions=(EUROPE,))))
    assert opened.status.create_intent.region == "eu-west-1"
    resource = either(bindingMode="Immediate").model_copy(update={"status": opened.status})
    memory = PurchaseMemory(first_seen=940.0).with_intent_written("fresh", decided=MONOTONIC, written=MONOTONIC)
    view = a_view(begun=1001.0, regions=(EUROPE,))
    assert only(decide(seen(resource, view, memory=memory, monotonic=1001.0)), BuyVolume).order.region == "eu-west-1"


def test_after_a_refusal_a_volume_that_is_made_alone_is_tried_in_the_next_region():
    memory = PurchaseMemory(first_seen=940.0, refusals=1)
    view = a_view(regions=(REGION, EUROPE))
    decision = decide(seen(either(bindingMode="Immediate"), view, memory=memory))
    assert decision.status.create_intent.region == "eu-west-1"


def test_regions_that_the_provider_does_not_have_are_refused_before_anything_is_made():
    decision = decide(seen(a_volume(region=None, regions=["mars-1", "mars-2"])))
    assert reason(decision, "Stalled") == "RegionUnknown"
    assert "'mars-1' or 'mars-2'" in message(decision)
    assert "us-central-8" in message(decision)


def test_one_region_that_the_provider_has_is_enough():
    decision = decide(seen(a_volume(region=None, regions=["mars-1", "us-central-8"])))
    assert reason(decision) == "WaitingForCluster"


def test_what_is_bought_stays_where_it_is():
    resource = a_volume(region=None, regions=["us-central-8", "eu-west-1"], status=BOUGHT)
    assert named_volume(resource).regions == ("us-central-8",)
