"""A GPUCluster and its volume: who makes it, who waits, and what is never made twice."""

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    MONOTONIC,
    OWN_MEMORY,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_view,
    only,
    reason,
    seen,
)

from tunesmith.planning.bought import NoCredential
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import NamedVolume
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.neighbours import named_volume, naming_clusters
from tunesmith.planning.orders import BuyCluster
from tunesmith.planning.provider import AttachedVolume, Credential, ProviderVolume
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.shared_volume import SharedVolume


def volume_cluster(volume, **more):
    resource = a_cluster_resource(volumeRef={"name": "data"}, status={"createIntent": INTENT})
    return seen(resource, memory=OWN_MEMORY, monotonic=1001.0, volume=volume, **more)


def test_a_volume_that_does_not_exist_is_waited_for():
    assert reason(decide(volume_cluster(None))) == "WaitingForVolume"


def test_the_elected_cluster_makes_the_volume_inline():
    volume = NamedVolume("data", ("us-central-8",), 2, order_name="ts-vol", elected_uid=UID)
    order = only(decide(volume_cluster(volume)), BuyCluster).order
    assert (order.new_volume.name, order.new_volume.size_tib, order.volume_id) == ("ts-vol", 2, None)


def test_a_cluster_that_was_not_elected_waits():
    volume = NamedVolume("data", ("us-central-8",), 2, order_name="ts-vol", elected_uid="somebody")
    decision = decide(volume_cluster(volume))
    assert reason(decision) == "WaitingForVolume"
    assert decision.actions == ()


def recalled(memory, *, view=None, monotonic=MONOTONIC, elected="somebody", **more):
    """An open intent whose volume wants another cluster, or none, by now."""
    resource = a_cluster_resource(volumeRef={"name": "data"}, status={"createIntent": INTENT})
    volume = NamedVolume("data", (), 1, order_name="ts-vol", elected_uid=elected, **more)
    return seen(resource, view or a_view(begun=monotonic), monotonic=monotonic, memory=memory, volume=volume)


@pytest.mark.parametrize("change", [{}, {"elected": None}, {"deleting": True}, {"trouble": "broken"}])
def test_an_order_that_was_not_sent_is_given_up_when_the_volume_wants_it_no_more(change):
    decision = decide(recalled(OWN_MEMORY, **change))
    assert (decision.status.create_intent, decision.actions) == (None, ())
    assert reason(decision) == "WaitingForVolume"


def test_an_order_that_may_have_been_sent_is_given_up_only_when_nothing_can_have_come_of_it():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", MONOTONIC)
    early = decide(recalled(memory))
    assert (early.status.create_intent.nonce, reason(early)) == ("n1", "LookingBeforeBuying")
    only(decide(recalled(memory, view=a_view(begun=1200.0), monotonic=1301.0)), LookAtProvider)
    assert decide(recalled(memory, monotonic=1301.0)).status.create_intent is None


def test_a_volume_that_an_earlier_order_made_is_not_made_again():
    view = a_view(volumes=(ProviderVolume("v-1", "ts-vol", 1, "available"),))
    resource = a_cluster_resource(volumeRef={"name": "data"})
    decision = decide(seen(resource, view, volume=NamedVolume("data", (), 1, order_name="ts-vol", elected_uid=UID)))
    assert (decision.actions, reason(decision)) == ((), "WaitingForVolume")


def test_a_volume_that_exists_is_named_by_its_id():
    volume = NamedVolume("data", ("us-central-8",), 2, volume_id="v-1", order_name="ts-vol")
    view = a_view(volumes=(ProviderVolume("v-1", "ts-vol", 2, "available"),), begun=1001.0)
    order = only(decide(volume_cluster(volume, view=view)), BuyCluster).order
    assert (order.volume_id, order.new_volume) == ("v-1", None)


@pytest.mark.parametrize("other", [Credential("key-2"), Credential("key-1", "p-2")], ids=["key", "project"])
@pytest.mark.parametrize("made", [{"elected_uid": UID}, {"volume_id": "v-1"}], ids=["elected", "made"])
def test_a_volume_that_its_own_key_would_not_show_is_neither_made_nor_attached(made, other):
    volume = NamedVolume("data", ("us-central-8",), 2, order_name="ts-vol", credential=other, **made)
    decision = decide(volume_cluster(volume))
    assert (decision.actions, decision.status.create_intent) == ((), None)
    assert reason(decision, "Stalled") == reason(decision, "Provisioned") == "VolumeOfAnotherAccount"


def test_an_order_that_may_have_been_sent_is_settled_before_another_account_is_told():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", MONOTONIC)
    decision = decide(recalled(memory, elected=UID, credential=Credential("key-2")))
    assert (decision.status.create_intent.nonce, reason(decision)) == ("n1", "LookingBeforeBuying")


def test_another_key_that_shows_the_volume_may_attach_it():
    volume = NamedVolume("data", ("us-central-8",), 2, volume_id="v-1", credential=Credential("key-2"))
    view = a_view(volumes=(ProviderVolume("v-1", "ts-vol", 2, "available"),), begun=1001.0)
    assert only(decide(volume_cluster(volume, view=view)), BuyCluster).order.volume_id == "v-1"


@pytest.mark.parametrize("other", [Unknown("no answer"), NoCredential("CredentialsMissing", "No key.")], ids=str)
def test_a_volume_whose_key_cannot_be_read_is_waited_for(other):
    volume = NamedVolume("data", ("us-central-8",), 2, order_name="ts-vol", elected_uid=UID, credential=other)
    decision = decide(volume_cluster(volume))
    assert (decision.actions, reason(decision)) == ((), "WaitingForVolume")


def test_a_volume_that_another_cluster_holds_is_waited_for():
    held = a_provider_cluster("c-7", "other", volumes=(AttachedVolume("v-1", "ts-vol", 2, "bound"),))
    volume = NamedVolume("data", ("us-central-8",), 2, volume_id="v-1", order_name="ts-vol")
    assert reason(decide(volume_cluster(volume, view=a_view(held, begun=1001.0)))) == "VolumeInUse"


def test_a_volume_that_is_made_binds_the_cluster_to_where_it_lies():
    volume = SharedVolume.model_validate(
        {
            "apiVersion": "tunesmith.dev/v1alpha1",
            "kind": "SharedVolume",
            "metadata": {"name": "data", "namespace": "ml", "uid": "v"},
            "spec": {"regions": ["us-central-8", "eu-west-1"], "sizeTiB": 1},
        }
    )
    assert named_volume(volume).regions == ("us-central-8", "eu-west-1")
    made = volume.status.model_copy(update={"volume_id": "v-1", "region": "eu-west-1"})
    assert named_volume(volume.model_copy(update={"status": made})).regions == ("eu-west-1",)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ("us-central-8", "eu-west-1")),
        ({"createIntent": {**INTENT, "region": "eu-west-1"}}, ("eu-west-1",)),
        ({"clusterID": "c-1", "choice": {"region": "eu-west-1", "gpuType": "H100_SXM"}}, ("eu-west-1",)),
    ],
)
def test_a_cluster_with_alternatives_may_be_elected_in_each_of_their_regions_until_one_is_chosen(status, expected):
    resource = a_cluster_resource(
        volumeRef={"name": "data"}, alternatives=[{"region": "eu-west-1", "gpuType": "H100_SXM"}], status=status
    )
    (naming,) = naming_clusters([resource.model_dump(mode="json", by_alias=True, exclude_unset=True)], "data")
    assert naming.regions == expected
