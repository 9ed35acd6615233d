"""Taking over a volume that exists, and only watching one."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, NOW, a_provider_cluster, a_view, circumstances
from tests.unit.tunesmith.planning.test_shared_volume import a_volume, only, reason, seen

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.naming import provider_name
from tunesmith.planning.neighbours import named_volume
from tunesmith.planning.observing import touches
from tunesmith.planning.orders import BuyVolume, DeleteVolume, ResizeVolume
from tunesmith.planning.ownership import Claim
from tunesmith.planning.provider import AttachedVolume, ProviderVolume
from tunesmith.planning.shared_volume import decide
from tunesmith.resources.conditions import find_condition

OLDER = Claim("ops", "first", "u-1", NOW - timedelta(days=9))
BUYER = Claim("ops", "later", "u-2", NOW + timedelta(days=9), bought=True)
TAKEN = {"volumeID": "v-9", "providerName": "theirs", "credentialFingerprint": "key-1", "sizeTiB": 4}


def an_adopter(adopt=None, *, status=None, deleting=False, **spec):
    """A SharedVolume that takes over what exists; region and size are left out unless given."""
    fields = {"region": None, "sizeTiB": None, **spec, "adopt": adopt or {"volumeID": "v-9"}}
    made = a_volume(status=status, deleting=deleting, **fields)
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"creation_timestamp": NOW})})


def theirs(volume_id="v-9", name="theirs", size=4, status="available"):
    return ProviderVolume(volume_id, name, size, status)


def looking_at(*volumes, resource=None, clusters=(), **more):
    view = a_view(*clusters, volumes=volumes, **more.pop("view", {}))
    return seen(resource or an_adopter(), view, **more)


def message(decision, kind="Ready"):
    return find_condition(decision.status.conditions, kind).message


@pytest.mark.parametrize("adopt", [{"volumeID": "v-9"}, {"volumeName": "theirs"}])
def test_a_volume_is_taken_over_by_its_id_or_its_name_and_region_and_size_are_optional(adopt):
    holder = a_provider_cluster("c-1", "x", region="us-west-1", volumes=(AttachedVolume("v-9", "theirs", 4, "bound"),))
    decision = decide(looking_at(theirs(), resource=an_adopter(adopt), clusters=(holder,)))
    status = decision.status
    assert (status.volume_id, status.provider_name, status.size_tib, status.region) == ("v-9", "theirs", 4, "us-west-1")
    assert decision.actions == ()


def test_what_is_in_the_way_of_taking_over_is_said():
    missing = decide(looking_at(resource=an_adopter({"volumeName": "theirs"})))
    assert (reason(missing, "Stalled"), missing.actions) == ("NothingToAdopt", ())
    several = decide(looking_at(theirs("v-1"), theirs("v-2"), resource=an_adopter({"volumeName": "theirs"})))
    assert reason(several, "Stalled") == "AdoptionAmbiguous"
    assert "'v-1', 'v-2'" in message(several)
    assert only(decide(looking_at()), LookAtProvider).volume_id == "v-9"
    gone = decide(looking_at(view={"not_found": {"v-9": MONOTONIC}}))
    assert reason(gone, "Stalled") == "NothingToAdopt"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"sizeTiB": 5}, "`spec.sizeTiB` wants '5', the provider has '4'"),
        ({"region": "us-west-1"}, "`spec.region` wants 'us-west-1', the provider has 'us-central-8'"),
    ],
)
def test_a_field_that_is_given_and_different_is_named(spec, said):
    holder = a_provider_cluster("c-1", "x", volumes=(AttachedVolume("v-9", "theirs", 4, "bound"),))
    decision = decide(looking_at(theirs(), resource=an_adopter(**spec), clusters=(holder,)))
    assert reason(decision, "Stalled") == "AdoptionMismatch"
    assert said in message(decision)
    assert decision.status.volume_id is None


@pytest.mark.parametrize("claim", [OLDER, BUYER])
def test_of_competing_claims_one_owns_and_the_others_go_at_once(claim):
    decision = decide(looking_at(theirs(), other_claims=(claim,)))
    assert reason(decision, "Stalled") == "AlreadyOwned"
    assert decision.status.volume_id is None
    held = looking_at(theirs(), resource=an_adopter(status=TAKEN), other_claims=(claim,))
    assert decide(held).status.volume_id is None
    leaving = looking_at(theirs(), resource=an_adopter(status=TAKEN, deleting=True), other_claims=(claim,))
    assert only(decide(replace(leaving, around=circumstances(MONOTONIC + 500))), SetMetadata).finalizers == ()


def test_what_was_made_for_another_resource_is_not_taken_over_with_the_installations_credential():
    mark = str(provider_name(installation_id="prod01", kind="SharedVolume", namespace="ml", name="other", uid="u"))
    assert reason(decide(looking_at(theirs(name=mark))), "Stalled") == "AdoptionRefused"
    own = an_adopter(credentialsRef={"name": "key"})
    taken = decide(looking_at(theirs(name=mark), resource=own, credential_secret_held=True))
    assert taken.status.volume_id == "v-9"


@pytest.mark.parametrize(
    ("spec", "type_", "why", "said"),
    [
        ({}, "Normal", "Adopted", "leaves it at the provider"),
        ({"deletionPolicy": "Delete"}, "Warning", "Adopted", "DELETING THIS RESOURCE DELETES THE VOLUME"),
        ({"managementPolicy": "Observe"}, "Normal", "Watched", "leaves it as it is"),
    ],
)
def test_what_deletion_does_is_said_when_it_is_taken_over_and_stays_said(spec, type_, why, said):
    decision = decide(looking_at(theirs(), resource=an_adopter(**spec)))
    (event,) = decision.events
    assert (event.type, event.reason) == (type_, why)
    assert said in message(decision, "Provisioned")
    resource = an_adopter(**spec).model_copy(update={"status": decision.status})
    settled = decide(looking_at(theirs(), resource=resource))
    again = decide(looking_at(theirs(), resource=resource.model_copy(update={"status": settled.status})))
    assert message(again, "Provisioned").count(said) == 1
    assert (again.status, again.events) == (settled.status, ())


def test_it_is_said_anew_when_the_policy_changes():
    told = decide(looking_at(theirs(), resource=an_adopter(managementPolicy="Observe"))).status
    managed = an_adopter(deletionPolicy="Delete").model_copy(update={"status": told})
    decision = decide(looking_at(theirs(), resource=managed))
    assert "Adopted" in {event.reason for event in decision.events}
    assert "only watched" not in message(decision, "Provisioned")


def test_a_size_that_is_given_later_grows_it():
    decision = decide(looking_at(theirs(), resource=an_adopter(status=TAKEN, sizeTiB=5)))
    assert only(decision, ResizeVolume).size_tib == 5


def test_deleting_an_adopter_keeps_the_data_unless_the_policy_says_otherwise():
    kept = decide(looking_at(theirs(), resource=an_adopter(status=TAKEN, deleting=True)))
    assert isinstance(kept.actions[-1], SetMetadata)
    assert not any(touches(action) for action in kept.actions)
    deleted = decide(looking_at(theirs(), resource=an_adopter(status=TAKEN, deleting=True, deletionPolicy="Delete")))
    only(deleted, DeleteVolume)


# only watched


def a_watched(**more):
    return an_adopter(status=more.pop("status", TAKEN), managementPolicy="Observe", **more)


def test_a_watched_volume_is_told_and_not_grown():
    decision = decide(looking_at(theirs(), resource=a_watched(sizeTiB=5)))
    assert reason(decision) == "InOrder"
    assert "left so" in message(decision, "Resizing")
    assert not any(touches(action) for action in decision.actions)


def test_a_watched_volume_is_let_go_at_once_and_never_deleted():
    decision = decide(looking_at(theirs(), resource=a_watched(deleting=True, deletionPolicy="Delete")))
    assert decision.actions[-1].finalizers == ()
    assert not any(touches(action) for action in decision.actions)


def test_a_watched_volume_is_not_attached_to_a_cluster_that_is_bought():
    assert "only watched" in named_volume(a_watched()).trouble


facts = st.builds(
    lambda spec, status, volumes, claims, deleting: replace(
        looking_at(*volumes, resource=an_adopter(status=status, deleting=deleting, **spec)), other_claims=claims
    ),
    st.sampled_from([{}, {"sizeTiB": 9}, {"deletionPolicy": "Delete"}, {"bindingMode": "Immediate"}]),
    st.sampled_from([{}, TAKEN, {"createIntent": {"name": "n", "nonce": "n1"}}]),
    st.lists(st.sampled_from([theirs(), theirs("v-8")]), max_size=2, unique_by=lambda volume: volume.id),
    st.sampled_from([(), (OLDER,), (BUYER,)]),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(facts, st.sampled_from(["Manage", "Observe"]))
def test_a_resource_that_adopts_never_makes_a_volume_and_one_that_watches_touches_nothing(observation, policy):
    spec = observation.spec.model_copy(update={"management_policy": policy})
    decision = decide(replace(observation, resource=observation.resource.model_copy(update={"spec": spec})))
    assert not any(isinstance(action, BuyVolume) for action in decision.actions)
    assert policy == "Manage" or not any(touches(action) for action in decision.actions)
