"""Taking over a cluster that exists: by id and by name, whose it is, what must agree, and what deletion then does."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    KUBECONFIG,
    MONOTONIC,
    NAME,
    NOW,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import DeleteObject, SetMetadata
from tunesmith.planning.circumstances import FailureRecord, Known
from tunesmith.planning.cluster_observation import NamedVolume, StoredSecret
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.naming import provider_name
from tunesmith.planning.observing import touches
from tunesmith.planning.orders import DeleteCluster
from tunesmith.planning.ownership import Claim
from tunesmith.planning.provider import AttachedVolume, Credential, Login
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true

OLDER = Claim("ops", "first", "u-1", NOW - timedelta(days=9))
YOUNGER = Claim("ops", "later", "u-2", NOW + timedelta(days=9))
UNNAMED = {"region": None, "gpuType": None, "nodes": None}


def an_adopter(adopt=None, **spec):
    """A GPUCluster that takes over what exists; the purchase fields are left out unless given."""
    fields = {**UNNAMED, **spec, "adopt": adopt or {"clusterID": "c-9"}}
    status, rest = fields.pop("status", None), fields
    return a_cluster_resource(status=status, **rest)


def theirs(cluster_id="c-9", name="theirs", **more):
    return a_provider_cluster(cluster_id, name, **more)


def looking_at(*clusters, resource=None, **more):
    return seen(resource or an_adopter(), a_view(*clusters, **more.pop("view", {})), **more)


def adopted_status(**more):
    return bought_status(clusterID="c-9", providerName="theirs", **more)


def message(decision, kind="Ready"):
    return find_condition(decision.status.conditions, kind).message


# what is named


@pytest.mark.parametrize("adopt", [{"clusterID": "c-9"}, {"clusterName": "theirs"}])
def test_a_cluster_is_taken_over_by_its_id_or_its_name_and_the_purchase_fields_are_optional(adopt):
    decision = decide(looking_at(theirs(gpus=64), resource=an_adopter(adopt)))
    status = decision.status
    assert (status.cluster_id, status.provider_name) == ("c-9", "theirs")
    assert (status.choice.region, status.choice.gpu_type) == ("us-central-8", "H100_SXM")
    assert status.cost.hourly_usd is not None
    assert not any(touches(action) for action in decision.actions)


def test_a_name_that_several_carry_is_refused_with_their_ids():
    decision = decide(looking_at(theirs("c-1"), theirs("c-2"), resource=an_adopter({"clusterName": "theirs"})))
    assert reason(decision, "Stalled") == "AdoptionAmbiguous"
    assert "'c-1', 'c-2'" in message(decision)
    assert decision.status.cluster_id is None


def test_a_namesake_that_is_being_deleted_does_not_count():
    going = theirs("c-1", status="Deleting")
    decision = decide(looking_at(going, theirs("c-2"), resource=an_adopter({"clusterName": "theirs"})))
    assert decision.status.cluster_id == "c-2"


def test_an_id_that_the_lists_lack_is_asked_for_before_it_is_called_missing():
    assert only(decide(looking_at()), LookAtProvider).cluster_id == "c-9"
    decision = decide(looking_at(view={"not_found": {"c-9": MONOTONIC}}))
    assert reason(decision, "Stalled") == "NothingToAdopt"
    assert "with the id 'c-9'" in message(decision)


def test_what_could_not_be_asked_for_is_asked_again_and_not_called_missing():
    look = LookAtProvider(MONOTONIC - 60, cluster_id="c-9")
    failed = FailureRecord(1, MONOTONIC, Failure(ErrorClass.UNAVAILABLE, "The provider does not answer."))
    decision = decide(looking_at(failures={look.identity: failed}))
    assert reason(decision, "Reconciling") == "ProviderUnreachable"
    assert only(decision, LookAtProvider).cluster_id == "c-9"


def test_what_is_not_there_is_waited_for_and_says_what_to_do_and_nothing_is_bought():
    decision = decide(looking_at(theirs(name="else"), resource=an_adopter({"clusterName": "theirs"})))
    assert reason(decision, "Stalled") == "NothingToAdopt"
    assert "nothing is bought in its place" in message(decision)
    assert "`spec.projectID`" in message(decision)
    assert decision.actions == ()
    assert decision.look_again_seconds is not None


def test_a_cluster_of_another_project_is_named_with_both_projects():
    decision = decide(looking_at(theirs(project_id="p-2"), credential=Credential("key-1", "p-1")))
    assert reason(decision, "Stalled") == "AdoptionMismatch"
    assert "`spec.projectID` wants 'p-1', the provider has 'p-2'" in message(decision)


# what must agree


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"region": "us-west-1"}, "`spec.region` wants 'us-west-1', the provider has 'us-central-8'"),
        ({"gpuType": "H200_SXM"}, "`spec.gpuType` wants 'H200_SXM', the provider has 'H100_SXM'"),
        ({"nodes": 2}, "`spec.nodes` wants '2', the provider has '1'"),
        ({"projectID": "p-7"}, "`spec.projectID` wants 'p-7', the provider has 'p-1'"),
        (
            {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 8}},
            "`spec.clusterType` wants 'SLURM', the provider has 'KUBERNETES'",
        ),
        (
            {"billing": {"type": "Reserved", "durationDays": 3}},
            "`spec.billing.type` wants 'RESERVED', the provider has 'ON_DEMAND'",
        ),
        (
            {"oidc": {"issuerURL": "https://id", "clientID": "c"}},
            "`spec.oidc.issuerURL` wants 'https://id', the provider has 'https://theirs'",
        ),
    ],
)
def test_a_field_that_is_given_and_different_is_named_with_what_is_wanted_and_found(spec, said):
    login = Login(issuer_url="https://theirs", username_prefix="theirs:")
    decision = decide(looking_at(theirs(login=login), resource=an_adopter(**spec)))
    assert reason(decision, "Stalled") == "AdoptionMismatch"
    assert "usernamePrefix" not in message(decision)  # it was not given
    assert said in message(decision)
    assert decision.status.cluster_id is None
    assert decision.actions == ()


def test_the_default_of_billing_says_nothing_about_what_is_adopted():
    reserved = theirs(billing_type="RESERVED", reserved_gpus=8)
    decision = decide(looking_at(reserved))
    assert decision.status.cluster_id == "c-9"
    assert reason(decision, "Drifted") == "AsWanted"


def test_an_add_on_that_is_not_there_yet_stands_against_nothing():
    decision = decide(looking_at(theirs(), resource=an_adopter(addOns=[{"name": "x", "enabled": True}])))
    assert decision.status.cluster_id == "c-9"


@pytest.mark.parametrize(
    ("volume", "attached", "why"),
    [
        (None, (), "WaitingForVolume"),
        (NamedVolume("data", (), 1), (), "WaitingForVolume"),
        (NamedVolume("data", (), 1, volume_id="v-1"), (), "AdoptionMismatch"),
        (NamedVolume("data", (), 1, volume_id="v-1"), (AttachedVolume("v-1", "v", 1, "bound"),), "Provisioning"),
    ],
)
def test_the_volume_that_the_spec_names_must_be_the_one_that_the_cluster_has(volume, attached, why):
    resource = an_adopter(volumeRef={"name": "data"})
    decision = decide(looking_at(theirs(status="New", volumes=attached), resource=resource, volume=volume))
    assert reason(decision) == why


# whose it is


def test_of_competing_claims_the_oldest_owns_and_the_others_touch_nothing():
    decision = decide(looking_at(theirs(), other_claims=(OLDER,)))
    assert reason(decision, "Stalled") == "AlreadyOwned"
    assert "'ops/first', which is older" in message(decision)
    assert decision.status.cluster_id is None
    assert decision.status.cost is None
    assert decision.actions == ()


def test_a_younger_claim_is_no_hindrance():
    assert decide(looking_at(theirs(), other_claims=(YOUNGER,))).status.cluster_id == "c-9"


def test_ownership_moves_when_the_owner_goes():
    waiting = looking_at(theirs(), other_claims=(OLDER,))
    resource = waiting.resource.model_copy(update={"status": decide(waiting).status})
    assert decide(looking_at(theirs(), resource=resource)).status.cluster_id == "c-9"


def test_of_two_that_are_as_old_the_lesser_uid_owns():
    created = a_cluster_resource().metadata.creation_timestamp
    assert reason(decide(looking_at(theirs(), other_claims=(Claim("a", "b", "0", created),)))) == "AlreadyOwned"
    assert decide(looking_at(theirs(), other_claims=(Claim("a", "b", "z", created),))).status.cluster_id == "c-9"


def test_who_bought_a_cluster_owns_it_before_any_older_adopter():
    bought = replace(a_running_cluster(), other_claims=(OLDER,))
    assert reason(decide(bought)) == "InOrder"
    buyer = replace(YOUNGER, bought=True)
    decision = decide(looking_at(theirs(), other_claims=(buyer,)))
    assert reason(decision, "Stalled") == "AlreadyOwned"
    assert "which bought it" in message(decision)


def test_an_owner_that_an_older_claim_displaces_gives_up_kubeconfig_and_id_before_anything_else():
    owned = a_running_cluster(
        resource=an_adopter(status=adopted_status(firstReadyTime="2026-01-01T11:30:00Z")),
        view=a_view(theirs()),
        other_claims=(OLDER,),
        kubeconfig_secret=Known(StoredSecret(frozenset({UID}), KUBECONFIG, cluster_id="c-9"), MONOTONIC),
    )
    assert only(decide(owned), DeleteObject).kind == "Secret"
    decision = decide(replace(owned, kubeconfig_secret=Known(None, MONOTONIC)))
    assert reason(decision, "KubeconfigAvailable") in {"AlreadyOwned", "NotBought"}
    assert not is_true(decision.status.conditions, "KubeconfigAvailable")
    assert decision.status.cluster_id is None
    assert decision.status.nodes is None
    assert not decision.status.cost.hourly_usd
    assert decision.actions == ()


def test_who_does_not_own_it_can_be_deleted_at_once_without_a_request_to_the_provider():
    for resource in (an_adopter(), an_adopter(status=adopted_status())):
        metadata = resource.metadata.model_copy(update={"deletion_timestamp": NOW})
        leaving = looking_at(
            theirs(), resource=resource.model_copy(update={"metadata": metadata}), other_claims=(OLDER,)
        )
        assert only(decide(replace(leaving, around=circumstances(MONOTONIC + 500))), SetMetadata).finalizers == ()


def test_what_was_never_taken_over_is_let_go_of_at_once_even_without_a_credential():
    resource = a_cluster_resource(deleting=True, adopt={"clusterName": "theirs"})
    assert only(decide(seen(resource, credential=Credential("key-2"))), SetMetadata).finalizers == ()


# names that some Tunesmith gave


def a_mark(installation="prod01", name="other", uid="u"):
    return str(provider_name(installation_id=installation, kind="GPUCluster", namespace="ml", name=name, uid=uid))


@pytest.mark.parametrize(
    ("mark", "spec", "taken"),
    [
        (a_mark(), {}, False),
        (a_mark(), {"managementPolicy": "Observe"}, False),
        (a_mark(), {"credentialsRef": {"name": "key"}}, True),
        (a_mark("stage9"), {"credentialsRef": {"name": "key"}}, False),
        (a_mark("stage9"), {"credentialsRef": {"name": "key"}, "managementPolicy": "Observe"}, True),
        (a_mark("stage9"), {"managementPolicy": "Observe"}, False),
        (a_mark(name="train", uid="before"), {}, True),
        (a_mark("stage9", name="train", uid="before"), {}, False),
        (str(NAME), {}, True),
    ],
)
def test_what_was_bought_for_another_resource_or_installation_is_taken_over_by_the_rules_of_predecessors(
    mark, spec, taken
):
    decision = decide(looking_at(theirs(name=mark), resource=an_adopter(**spec), credential_secret_held=True))
    assert decision.status.cluster_id == ("c-9" if taken else None)
    assert taken or reason(decision, "Stalled") == "AdoptionRefused"


def test_a_previous_installation_of_the_chart_is_our_own():
    looking = looking_at(theirs(name=a_mark("stage9", "train", "before")))
    installation = replace(looking.around.installation, previous_ids=("stage9",))
    decision = decide(replace(looking, around=replace(looking.around, installation=installation)))
    assert decision.status.cluster_id == "c-9"


# afterwards


def an_adopted_cluster(view=None, status=None, **spec):
    resource = an_adopter(status=status or adopted_status(), **spec)
    secret = Known(StoredSecret(frozenset({UID}), KUBECONFIG, cluster_id="c-9"), MONOTONIC)
    return a_running_cluster(resource=resource, view=view or a_view(theirs()), kubeconfig_secret=secret)


@pytest.mark.parametrize(
    ("spec", "type_", "why", "said"),
    [
        ({}, "Warning", "Adopted", "DELETING THIS RESOURCE DELETES THE CLUSTER"),
        ({"deletionPolicy": "Retain"}, "Normal", "Adopted", "leaves it at the provider"),
        ({"managementPolicy": "Observe"}, "Normal", "Watched", "leaves it as it is"),
    ],
)
def test_what_deletion_does_is_said_in_an_event_and_a_condition_when_it_is_taken_over(spec, type_, why, said):
    decision = decide(looking_at(theirs(), resource=an_adopter(**spec)))
    (event,) = decision.events
    assert (event.type, event.reason) == (type_, why)
    assert said in event.message
    assert said in message(decision, "Provisioned")


def test_it_is_said_again_when_the_answer_changes_and_only_then():
    taken = decide(looking_at(theirs(), resource=an_adopter(managementPolicy="Observe"))).status
    quiet = an_adopted_cluster(managementPolicy="Observe")
    watched = quiet.resource.model_copy(update={"status": taken})
    assert [
        e.reason for e in decide(replace(quiet, resource=watched)).events if e.reason in {"Adopted", "Watched"}
    ] == []
    managed = an_adopted_cluster()
    managed = replace(managed, resource=managed.resource.model_copy(update={"status": taken}))
    assert "Adopted" in {event.reason for event in decide(managed).events}


def test_without_nodes_in_the_spec_no_size_is_invented():
    decision = decide(an_adopted_cluster())
    assert reason(decision) == "InOrder"
    assert decision.status.nodes.desired is None
    assert decision.status.gpus.desired is None
    assert decision.status.nodes.ready == 1


def test_an_adopted_cluster_of_another_size_is_left_as_it_is_while_the_spec_gives_none():
    larger = an_adopted_cluster(view=a_view(theirs(gpus=64)))
    assert not any(touches(action) for action in decide(larger).actions)


def test_nodes_that_are_given_later_scale_it():
    status = adopted_status(firstReadyTime="2026-01-01T11:30:00Z")
    grown = an_adopted_cluster(status=status, nodes=2)
    assert reason(decide(grown)) == "Scaling"


def test_deleting_an_adopter_deletes_the_cluster_unless_the_policy_says_otherwise():
    leaving = an_adopted_cluster()
    metadata = leaving.resource.metadata.model_copy(update={"deletion_timestamp": NOW})
    gone = replace(leaving, resource=leaving.resource.model_copy(update={"metadata": metadata}))
    assert only(decide(gone), DeleteCluster).cluster_id == "c-9"
    kept = an_adopted_cluster(deletionPolicy="Retain")
    kept = replace(kept, resource=kept.resource.model_copy(update={"metadata": metadata}))
    assert decide(kept).actions[-1].finalizers == ()
    assert not any(touches(action) for action in decide(kept).actions)


def test_an_adopted_cluster_that_vanished_is_told_and_never_bought_again():
    missing = replace(
        an_adopted_cluster(view=a_view(begun=1031.0, not_found={"c-9": 1030.5})),
        memory=PurchaseMemory(first_seen=940.0).with_look("c-9", begun=1000.0, present=False),
        around=circumstances(1031.0),
    )
    decision = decide(missing)
    assert reason(decision, "Stalled") == "Gone"
    assert "recreatePolicy" not in message(decision)


def test_an_adopted_cluster_that_was_released_is_not_promised_again():
    released = {"release": {"reason": "Idle", "time": "2026-01-01T11:00:00Z"}}
    asked = {"tunesmith.dev/reacquire-requested-at": "2026-01-01T11:30:00Z"}
    decision = decide(seen(a_cluster_resource(adopt={"clusterID": "c-9"}, status=released, annotations=asked)))
    assert reason(decision) == "Released"
    assert "not bought again" in message(decision)
