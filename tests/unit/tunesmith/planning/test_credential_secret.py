"""Which credential Secret is kept from deletion, also when the reference changes; and a key that is refused."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    MONOTONIC,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    reason,
    seen,
)
from tests.unit.tunesmith.planning.volume_builders import BOUGHT, a_volume, at_provider
from tests.unit.tunesmith.planning.volume_builders import seen as seen_volume

from tunesmith.planning.actions import SetFinalizer, SetMetadata
from tunesmith.planning.circumstances import FailureRecord
from tunesmith.planning.credential_secret import released
from tunesmith.planning.decision import ErrorClass, Failure, Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.neighbours import needed_secrets
from tunesmith.planning.orders import DeleteVolume
from tunesmith.planning.provider import Credential
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.shared_volume import decide as decide_volume

OLD = released("ml", "old")


def moved(to="new", *, held=True, **more):
    """A running cluster whose `spec.credentialsRef` said 'old' before."""
    spec = {"credentialsRef": {"name": to}} if to else {}
    resource = a_cluster_resource(status=bought_status(credentialsSecretName="old"), **spec)
    return a_running_cluster(resource=resource, credential_secret_held=held, **more)


def test_the_secret_that_is_held_is_written_down():
    resource = a_cluster_resource(status=bought_status(), credentialsRef={"name": "new"})
    decision = decide(a_running_cluster(resource=resource, credential_secret_held=True))
    assert decision.status.credentials_secret_name == "new"


def test_a_new_reference_is_held_and_the_old_secret_released_once_the_new_key_shows_what_was_bought():
    decision = decide(moved())
    assert decision.actions[0] == OLD
    assert decision.status.credentials_secret_name == "old", "not before it is done"
    after = replace(moved(), around=replace(circumstances(), outcomes=(Outcome(OLD),)))
    assert decide(after).status.credentials_secret_name == "new"


def test_the_old_secret_is_released_when_the_installations_key_takes_over():
    decision = decide(moved(to=None, held=False))
    assert decision.actions[0] == OLD
    after = replace(moved(to=None, held=False), around=replace(circumstances(), outcomes=(Outcome(OLD),)))
    assert decide(after).status.credentials_secret_name is None


def test_the_old_secret_stays_while_the_new_key_does_not_show_what_was_bought():
    blind = moved(view=a_view())
    decision = decide(replace(blind, provider=a_view(), credential=Credential("key-2")))
    assert OLD not in decision.actions
    assert decision.status.credentials_secret_name == "old"


def test_a_secret_that_another_resource_needs_is_not_released():
    decision = decide(moved(secrets_of_others=frozenset({"old"})))
    assert OLD not in decision.actions
    assert decision.status.credentials_secret_name == "new"


def test_a_secret_is_needed_by_who_names_it_and_by_who_still_holds_it():
    raws = [
        {"metadata": {"uid": "a"}, "spec": {"credentialsRef": {"name": "named"}}},
        {"metadata": {"uid": "b"}, "spec": {}, "status": {"credentialsSecretName": "held"}},
    ]
    assert needed_secrets(raws) == {"named", "held"}


def test_of_some_that_go_at_once_the_last_releases_the_secret_that_they_share():
    resource = a_cluster_resource(deleting=True, credentialsRef={"name": "new"})
    first = seen(resource, credential_secret_held=True, secrets_of_leaving=frozenset({"new"}))
    waiting = decide(first)
    assert (waiting.actions, waiting.look_again_seconds) == ((), 1.0)
    staying = decide(replace(first, secrets_of_others=frozenset({"new"}), credential_shared=True))
    assert [type(each) for each in staying.actions] == [SetMetadata]
    last = decide(replace(first, secrets_of_leaving=frozenset()))
    assert [type(each) for each in last.actions] == [SetFinalizer, SetMetadata]


def test_a_resource_that_goes_releases_both():
    resource = a_cluster_resource(
        deleting=True,
        deletionPolicy="Retain",
        status=bought_status(credentialsSecretName="old"),
        credentialsRef={"name": "new"},
    )
    decision = decide(seen(resource, a_view(a_provider_cluster()), credential_secret_held=True))
    assert {OLD, released("ml", "new")} <= set(decision.actions)


def test_a_volume_follows_its_reference_as_well():
    resource = a_volume(status={**BOUGHT, "credentialsSecretName": "old"}, credentialsRef={"name": "new"})
    decision = decide_volume(seen_volume(resource, a_view(volumes=(at_provider(),)), credential_secret_held=True))
    assert decision.actions == (OLD,)


def refusing(error):
    failed = FailureRecord(1, MONOTONIC, Failure(error, "The provider refuses the key."))
    return {LookAtProvider(0.0).identity: failed}


@pytest.mark.parametrize("error", [ErrorClass.UNAUTHENTICATED, ErrorClass.FORBIDDEN])
def test_a_key_that_is_refused_is_told_on_living_resources_too_and_looked_with_again(error):
    running = a_running_cluster()
    decision = decide(replace(running, around=circumstances(failures=refusing(error))))
    assert (reason(decision, "Stalled"), decision.status.cluster_id) == ("CredentialsRefused", "c-1")
    assert [type(each) for each in decision.actions] == [LookAtProvider]
    assert reason(decision, "NodesHealthy") == "NodesReady", "what the cluster itself shows is told on"
    volume = a_volume(status=BOUGHT)
    decision = decide_volume(seen_volume(volume, a_view(volumes=(at_provider(),)), failures=refusing(error)))
    assert reason(decision, "Stalled") == "CredentialsRefused"


def test_a_provider_that_does_not_answer_is_no_refusal():
    running = a_running_cluster()
    decision = decide(replace(running, around=circumstances(failures=refusing(ErrorClass.UNAVAILABLE))))
    assert reason(decision) == "InOrder"


def test_another_key_of_the_same_project_can_tell_that_a_volume_is_gone():
    resource = a_volume(deleting=True, deletionPolicy="Delete", status={**BOUGHT, "projectID": "p-1"})
    once = PurchaseMemory(first_seen=940.0).with_look("v-1", begun=1000.0, present=False)
    more = {"memory": once, "monotonic": 1031.0, "credential": Credential("key-2")}
    gone = {"not_found": {"v-1": 1031.0}, "begun": 1031.0}
    other = decide_volume(seen_volume(resource, a_view(**gone), **more))
    assert reason(other, "Stalled") == "AbsenceUnproven"
    same = decide_volume(seen_volume(resource, a_view(a_provider_cluster(), **gone), **more))
    assert [type(each).__name__ for each in same.actions] == ["RecordUsage", "SetMetadata"]
    assert DeleteVolume("v-1") not in same.actions
