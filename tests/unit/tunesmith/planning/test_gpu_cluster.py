"""What a GPUCluster decides, told as the manual tells it.

Long because the life of a cluster is long: one test for each of its questions.
"""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    KUBECONFIG,
    MONOTONIC,
    NAME,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    seen,
)

from tunesmith.planning.actions import ApplyObject, SetFinalizer, SetMetadata
from tunesmith.planning.circumstances import FailureRecord, Known, NotYet, Refused, Unknown
from tunesmith.planning.cluster_observation import InsideFacts, JobUse, NamedVolume, NoCredential, StoredSecret
from tunesmith.planning.cluster_setup import NAMESPACE_LABELS
from tunesmith.planning.decision import ErrorClass, Failure, Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.naming import provider_name
from tunesmith.planning.orders import BuyCluster, DeleteCluster, ResizeCluster
from tunesmith.planning.ownership import FINALIZER, NAME_ANNOTATION, Claim
from tunesmith.planning.provider import AttachedVolume, Credential, ProviderView, ProviderVolume
from tunesmith.planning.purchase import HoldIntent, LookAtProvider, PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true

INTENT = {"name": str(NAME), "nonce": "n1", "startedTime": "2026-01-01T12:00:00Z", "region": "us-central-8"}
OWN_MEMORY = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)


def reason(decision, kind="Ready"):
    found = find_condition(decision.status.conditions, kind)
    return None if found is None else found.reason


def only(decision, kind):
    (action,) = decision.actions
    assert isinstance(action, kind)
    return action


# before anything is bought


def test_nothing_is_touched_while_paused():
    resource = a_cluster_resource(finalizer=False, annotations={"tunesmith.dev/paused": "true"})
    decision = decide(seen(resource))
    assert decision.actions == ()
    assert decision.status == resource.status


def test_no_finalizer_before_a_first_clean_list():
    decision = decide(seen(a_cluster_resource(finalizer=False, named=False), ProviderView()))
    only(decision, LookAtProvider)
    assert decision.status.conditions == ()


def test_the_finalizer_and_the_name_are_one_write():
    decision = decide(seen(a_cluster_resource(finalizer=False, named=False)))
    assert only(decision, SetMetadata) == SetMetadata((FINALIZER,), ((NAME_ANNOTATION, str(NAME)),))
    assert decision.status.conditions == ()


def test_the_intent_is_written_with_all_conditions_and_nothing_is_bought_yet():
    decision = decide(seen())
    assert only(decision, HoldIntent).nonce == "fresh"
    assert decision.status.create_intent.nonce == "fresh"
    assert decision.status.create_intent.name == str(NAME)
    assert len(decision.status.conditions) == 10


def test_the_order_follows_a_list_begun_after_the_intent():
    resource = a_cluster_resource(status={"createIntent": INTENT})
    assert only(decide(seen(resource, a_view(begun=999.0), memory=OWN_MEMORY)), LookAtProvider).not_before == MONOTONIC
    order = only(decide(seen(resource, a_view(begun=1001.0), memory=OWN_MEMORY, monotonic=1001.0)), BuyCluster).order
    assert (order.name, order.gpus, order.driver_version_id) == (str(NAME), 8, "nvidia-595-22")


def test_a_cluster_of_our_own_name_is_ours_even_without_status():
    decision = decide(seen(view=a_view(a_provider_cluster(status="WaitingForSubnet"))))
    assert decision.status.cluster_id == "c-1"
    assert decision.status.create_intent is None
    assert decision.actions == ()


def test_of_two_clusters_of_our_name_the_older_is_kept_and_the_younger_reported():
    from datetime import UTC, datetime

    older = a_provider_cluster("c-9", created=datetime(2026, 1, 1, 11, 0, tzinfo=UTC))
    younger = a_provider_cluster("c-2", created=datetime(2026, 1, 1, 11, 5, tzinfo=UTC))
    decision = decide(seen(view=a_view(younger, older)))
    assert decision.status.cluster_id == "c-9"
    assert reason(decision, "Drifted") == "DuplicateFound"
    assert "c-2" in decision.events[-1].message


def test_an_ambiguous_create_is_looked_up_before_anything_else_is_bought():
    memory = OWN_MEMORY.with_post_begun("n1").with_post_answered("n1", Failure(ErrorClass.AMBIGUOUS, "?"), 1001.0)
    resource = a_cluster_resource(status={"createIntent": INTENT})
    decision = decide(seen(resource, memory=memory, monotonic=1010.0))
    assert reason(decision) == "LookingBeforeBuying"
    assert decision.actions == ()
    found = decide(seen(resource, a_view(a_provider_cluster(), begun=1010.0), memory=memory, monotonic=1010.0))
    assert found.status.cluster_id == "c-1"


@pytest.mark.parametrize(
    ("error", "word", "stalls"),
    [
        (ErrorClass.OUT_OF_STOCK, "OutOfStock", False),
        (ErrorClass.RATE_LIMITED, "RateLimited", False),
        (ErrorClass.NO_CREDIT, "NoCredit", True),
        (ErrorClass.UNAUTHENTICATED, "CredentialsRefused", True),
        (ErrorClass.FORBIDDEN, "CredentialsRefused", True),
        (ErrorClass.BAD_REQUEST, "ProviderRefused", True),
    ],
)
def test_a_definite_refusal_closes_the_intent_and_says_why(error, word, stalls):
    memory = OWN_MEMORY.with_post_begun("n1").with_post_answered("n1", Failure(error, "The provider said no."), 1001.0)
    decision = decide(seen(a_cluster_resource(status={"createIntent": INTENT}), memory=memory, monotonic=1002.0))
    assert decision.status.create_intent is None
    assert reason(decision) == word
    assert is_true(decision.status.conditions, "Stalled") is stalls
    assert len(decision.events) == 1
    again = decide(
        seen(
            a_cluster_resource(status=decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)),
            memory=memory,
            monotonic=1003.0,
        )
    )
    assert again.status == decision.status
    assert again.events == ()
    assert again.actions == ()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"region": "mars-1"}, "RegionUnknown"),
        ({"gpuType": "B200_SXM"}, "GPUTypeUnavailable"),
        ({"driver": {"versionID": "nvidia-1"}}, "DriverUnknown"),
        ({"driver": {"cudaVersion": "1.0", "driverVersion": "2"}}, "DriverUnknown"),
    ],
)
def test_what_no_region_offers_is_refused_before_it_is_ordered(spec, expected):
    decision = decide(seen(a_cluster_resource(**spec)))
    assert reason(decision, "Stalled") == expected
    assert is_true(decision.status.conditions, "Stalled")
    assert decision.actions == ()


def test_a_wrong_api_key_stalls_and_says_what_to_do():
    look = LookAtProvider(940.0)
    record = FailureRecord(1, MONOTONIC, Failure(ErrorClass.UNAUTHENTICATED, "The provider does not know the API key."))
    resource = a_cluster_resource(finalizer=False)
    decision = decide(seen(resource, ProviderView(), failures={look.identity: record}))
    assert reason(decision, "Stalled") == "CredentialsRefused"
    assert "API key" in find_condition(decision.status.conditions, "Stalled").message


def test_without_a_key_nothing_is_asked():
    decision = decide(seen(credential=NoCredential("CredentialsMissing", "There is no Secret 'key'.")))
    assert reason(decision, "Stalled") == "CredentialsMissing"
    assert decision.actions == ()


def test_the_credentials_secret_is_held_before_the_intent():
    resource = a_cluster_resource(credentialsRef={"name": "key"})
    held = only(decide(seen(resource)), SetFinalizer)
    assert (held.kind, held.name, held.present) == ("Secret", "key", True)
    assert isinstance(decide(seen(resource, credential_secret_held=True)).actions[0], HoldIntent)


# predecessors, restored objects, competing claims

PREDECESSOR = str(provider_name(installation_id="prod01", kind="GPUCluster", namespace="ml", name="train", uid="other"))
FOREIGN = str(provider_name(installation_id="staging", kind="GPUCluster", namespace="ml", name="train", uid="other"))


def test_a_predecessor_is_asked_about_before_a_second_cluster_is_bought():
    decision = decide(seen(view=a_view(a_provider_cluster("c-0", PREDECESSOR))))
    assert reason(decision, "Stalled") == "PredecessorFound"
    assert decision.actions == ()


def test_same_identity_takes_a_predecessor_over():
    resource = a_cluster_resource(adoptionPolicy="SameIdentity")
    assert decide(seen(resource, a_view(a_provider_cluster("c-0", PREDECESSOR)))).status.cluster_id == "c-0"


def test_same_identity_does_not_reach_into_another_installation():
    resource = a_cluster_resource(adoptionPolicy="SameIdentity")
    observation = seen(resource, a_view(a_provider_cluster("c-0", FOREIGN)))
    assert reason(decide(observation), "Stalled") == "PredecessorFound"
    moved = replace(INSTALLATION, previous_ids=("staging",))
    assert decide(replace(observation, around=circumstances(installation=moved))).status.cluster_id == "c-0"


def test_buy_new_leaves_a_predecessor_alone():
    resource = a_cluster_resource(adoptionPolicy="BuyNew")
    decision = decide(seen(resource, a_view(a_provider_cluster("c-0", PREDECESSOR))))
    only(decision, HoldIntent)


def test_a_restored_object_waits_for_the_users_word():
    resource = a_cluster_resource(annotations={NAME_ANNOTATION: PREDECESSOR})
    decision = decide(seen(resource))
    assert reason(decision, "Stalled") == "Restored"
    assert decision.actions == ()


def test_a_restored_object_that_buys_new_forgets_what_the_backup_said():
    resource = a_cluster_resource(
        annotations={NAME_ANNOTATION: PREDECESSOR}, adoptionPolicy="BuyNew", status=bought_status(clusterID="c-0")
    )
    assert decide(seen(resource)).status.cluster_id is None


def test_a_name_copied_from_another_resource_is_not_believed():
    copied = str(provider_name(installation_id="prod01", kind="GPUCluster", namespace="ml", name="else", uid="x"))
    decision = decide(seen(a_cluster_resource(annotations={NAME_ANNOTATION: copied})))
    assert only(decision, SetMetadata).annotations == ((NAME_ANNOTATION, str(NAME)),)


def test_of_competing_claims_the_oldest_owns():
    from datetime import UTC, datetime

    older = Claim("ml", "first", "u", datetime(2025, 1, 1, tzinfo=UTC))
    decision = decide(replace(a_running_cluster(), other_claims=(older,)))
    assert reason(decision, "Stalled") == "AlreadyOwned"
    assert decision.actions == ()


# volumes


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


def test_a_volume_that_another_cluster_holds_is_waited_for():
    held = a_provider_cluster("c-7", "other", volumes=(AttachedVolume("v-1", "ts-vol", 2, "bound"),))
    volume = NamedVolume("data", ("us-central-8",), 2, volume_id="v-1", order_name="ts-vol")
    assert reason(decide(volume_cluster(volume, view=a_view(held, begun=1001.0)))) == "VolumeInUse"


# bought


def test_provisioning_is_told_in_words_that_move_only_with_the_phase():
    view = a_view(a_provider_cluster(status="InstallingDrivers", kubeconfig=""))
    decision = decide(a_running_cluster(view=view))
    assert reason(decision) == "Provisioning"
    assert is_true(decision.status.conditions, "Reconciling")
    again = replace(a_running_cluster(view=view, monotonic=1003.0))
    again = replace(again, resource=again.resource.model_copy(update={"status": decision.status}))
    assert decide(again).status == decision.status


def test_an_unknown_provider_status_means_in_progress():
    decision = decide(a_running_cluster(view=a_view(a_provider_cluster(status="PolishingGPUs"))))
    assert reason(decision) == "Provisioning"


def test_the_kubeconfig_goes_into_a_secret_of_the_cluster_api_form():
    manifest = only(decide(a_running_cluster(kubeconfig_secret=Known(None, 1.0))), ApplyObject).manifest
    assert (manifest["metadata"]["name"], manifest["type"]) == ("train-kubeconfig", "cluster.x-k8s.io/secret")
    assert list(manifest["data"]) == ["value"]
    assert manifest["metadata"]["ownerReferences"][0]["uid"] == UID


def test_a_secret_that_is_not_ours_is_never_overwritten():
    foreign = Known(StoredSecret(frozenset(), "something"), 1.0)
    decision = decide(a_running_cluster(kubeconfig_secret=foreign))
    assert reason(decision, "Stalled") == "SecretNotOurs"
    assert decision.actions == ()


def test_the_jobs_namespace_is_made_inside_under_restricted_pod_security():
    manifest = only(decide(a_running_cluster(inside=Known(InsideFacts(), 1.0))), ApplyObject).manifest
    assert manifest["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("static", [True, False])
def test_the_claim_binds_the_volume_by_name_first_and_by_class_as_the_fallback(static):
    attached = AttachedVolume("v-1", "ts-vol", 2, "bound")
    facts = InsideFacts(
        NAMESPACE_LABELS, {}, {"ts-vol": "static-class"} if static else {}, frozenset({"shared-storage-class"})
    )
    observation = a_running_cluster(
        view=a_view(a_provider_cluster(volumes=(attached,))),
        spec={"volumeRef": {"name": "data"}},
        inside=Known(facts, 1.0),
        volume=NamedVolume("data", (), 2, volume_id="v-1"),
    )
    manifest = only(decide(observation), ApplyObject).manifest
    assert manifest["metadata"]["name"] == "data"
    assert manifest["spec"].get("volumeName") == ("ts-vol" if static else None)
    assert manifest["spec"]["storageClassName"] == ("static-class" if static else "shared-storage-class")


def test_ready_when_every_bought_gpu_can_be_used_and_then_nothing_moves():
    decision = decide(a_running_cluster())
    assert is_true(decision.status.conditions, "Ready")
    assert decision.status.nodes.ready == 1
    assert [event.reason for event in decision.events] == ["InOrder"]
    later = a_running_cluster(monotonic=1030.0)
    later = replace(later, resource=later.resource.model_copy(update={"status": decision.status}))
    again = decide(later)
    assert (again.status, again.actions, again.events) == (decision.status, (), ())


def test_a_node_that_is_not_ready_is_told():
    decision = decide(a_running_cluster(nodes=nodes(1, ready=False)))
    assert reason(decision, "NodesHealthy") == "NodesNotReady"


def test_a_cluster_that_cannot_be_reached_has_unknown_nodes_not_none():
    decision = decide(a_running_cluster(nodes=Unknown("no answer within 10 s")))
    condition = find_condition(decision.status.conditions, "NodesHealthy")
    assert (condition.status, reason(decision)) == ("Unknown", "ClusterUnreachable")


def told(decision):
    """Every condition's status and reason."""
    return {each.type: (each.status, each.reason) for each in decision.status.conditions}


def test_before_anything_is_bought_every_condition_says_so():
    facts = told(decide(seen()))
    assert facts["Provisioned"] == ("False", "Buying")
    assert {facts[kind] for kind in ("NodesHealthy", "AcceptanceTested", "Drifted", "Idle")} == {
        ("Unknown", "NotBought")
    }


def test_a_cluster_that_was_only_just_built_is_being_connected_to_and_not_unreachable():
    decision = decide(a_running_cluster(nodes=NotYet("it was not asked yet")))
    facts = told(decision)
    assert (facts["Ready"], facts["NodesHealthy"]) == (("False", "Connecting"), ("Unknown", "Connecting"))
    assert (facts["Provisioned"], facts["KubeconfigAvailable"]) == (("True", "Bought"), ("True", "KubeconfigWritten"))
    assert decision.status.provider_status == "Ready"


def test_an_operator_that_has_just_started_tells_nothing_new_of_a_cluster_in_order():
    status = decide(a_running_cluster()).status
    resource = a_cluster_resource().model_copy(update={"status": status})
    assert decide(a_running_cluster(resource=resource, nodes=NotYet("not asked"), monotonic=1001.0)).status == status


def test_while_the_provider_builds_nothing_is_claimed_of_nodes_or_kubeconfig():
    facts = told(decide(a_running_cluster(view=a_view(a_provider_cluster(status="WaitingForSubnet", kubeconfig="")))))
    assert facts["Provisioned"] == ("False", "Provisioning")
    assert facts["NodesHealthy"] == ("Unknown", "Provisioning")


def test_a_cluster_that_is_being_given_back_is_not_told_to_be_built_and_healthy():
    before = decide(a_running_cluster()).status
    resource = a_cluster_resource(deleting=True).model_copy(update={"status": before})
    facts = told(decide(a_running_cluster(resource=resource)))
    assert (facts["Provisioned"], facts["NodesHealthy"]) == (("False", "Deleting"), ("Unknown", "Deleting"))
    once = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    absent = seen(resource, a_view(not_found={"c-1": 1001.0}, begun=1001.0), memory=once, monotonic=1001.0)
    status = decide(absent).status
    assert (status.provider_status, status.nodes, str(status.cost.hourly_usd)) == (None, None, "0.00")


def test_a_kubeconfig_that_is_not_to_be_trusted_stalls_and_says_what_to_do():
    why = "The kubeconfig of GPUCluster 'train' is not used: it runs a command."
    decision = decide(a_running_cluster(nodes=Refused(why)))
    assert reason(decision, "Stalled") == "KubeconfigRefused"
    assert told(decision)["KubeconfigAvailable"] == ("False", "KubeconfigRefused")


def test_a_kubeconfig_that_the_provider_shows_no_more_is_still_the_one_that_was_given():
    decision = decide(a_running_cluster(view=a_view(a_provider_cluster(kubeconfig=""))))
    assert is_true(decision.status.conditions, "Ready")


def test_counts_stay_as_last_seen_while_the_cluster_does_not_answer():
    before = decide(a_running_cluster()).status
    resource = a_cluster_resource().model_copy(update={"status": before})
    after = decide(a_running_cluster(resource=resource, nodes=Unknown("it does not answer"))).status
    assert (after.nodes.ready, after.gpus.ready) == (1, 8)


# looking


def asked(value="now", **more):
    return a_cluster_resource(annotations={"tunesmith.dev/reconcile-requested-at": value}, **more)


def test_a_requested_pass_looks_at_the_provider_and_is_echoed_when_it_has():
    first = decide(a_running_cluster(resource=asked(status=bought_status())))
    look = only(first, LookAtProvider)
    assert first.status.last_handled_reconcile_time is None
    observation = a_running_cluster(resource=asked(status=bought_status()))
    looked = replace(observation, around=replace(observation.around, outcomes=(Outcome(look),)))
    decision = decide(looked)
    assert (decision.status.last_handled_reconcile_time, decision.actions) == ("now", ())
    answered = replace(observation, resource=asked().model_copy(update={"status": decision.status}))
    assert decide(answered).actions == ()


def test_what_is_given_back_is_looked_for_as_often_as_absence_is_believed():
    quick = replace(INSTALLATION, absence_interval_seconds=1)
    resource = a_cluster_resource(deleting=True, status=bought_status())
    observation = a_running_cluster(resource=resource, view=a_view(a_provider_cluster(status="Deleting")))
    observation = replace(observation, around=circumstances(installation=quick))
    assert decide(observation).look_again_seconds <= 1.1
    usual = replace(observation, around=circumstances())
    assert 9 <= decide(usual).look_again_seconds <= 11


def test_a_cluster_in_order_is_looked_at_as_often_as_its_drift_interval_says():
    decision = decide(a_running_cluster(spec={"drift": {"intervalSeconds": 300}}))
    assert 270 <= decision.look_again_seconds <= 330


def test_deletion_protection_keeps_what_was_bought_until_the_annotation_goes():
    resource = a_cluster_resource(
        deleting=True, status=bought_status(), annotations={"tunesmith.dev/deletion-protection": "enabled"}
    )
    decision = decide(a_running_cluster(resource=resource))
    assert (reason(decision, "Stalled"), decision.actions) == ("DeletionProtected", ())


def test_cost_accrues_at_transitions_and_hourly_at_most():
    status = bought_status(cost={"hourlyUSD": "31.92", "computeUSD": "10.00", "asOfTime": "2026-01-01T11:30:00Z"})
    assert str(decide(a_running_cluster(status=status)).status.cost.compute_usd) == "10.00"
    older = bought_status(cost={"hourlyUSD": "31.92", "computeUSD": "10.00", "asOfTime": "2026-01-01T11:00:00Z"})
    assert str(decide(a_running_cluster(status=older)).status.cost.compute_usd) == "41.92"


def test_an_old_list_is_renewed():
    decision = decide(a_running_cluster(view=a_view(a_provider_cluster(), begun=900.0)))
    assert isinstance(decision.actions[-1], LookAtProvider)


# size


def test_more_nodes_are_asked_for_by_their_target():
    action = only(decide(a_running_cluster(spec={"nodes": 3})), ResizeCluster)
    assert (action.cluster_id, action.gpus) == ("c-1", 24)


def test_idle_nodes_are_cordoned_before_fewer_are_asked_for():
    decision = decide(a_running_cluster(gpus=16, nodes=nodes(2), jobs=(JobUse("j", frozenset({"node-0"})),)))
    manifest = only(decision, ApplyObject).manifest
    assert (manifest["metadata"]["name"], manifest["spec"]) == ("node-1", {"unschedulable": True})
    cordoned = tuple(replace(node, cordoned=node.name == "node-1") for node in nodes(2).value)
    held = a_running_cluster(gpus=16, nodes=Known(cordoned, 1.0), jobs=(JobUse("j", frozenset({"node-0"})),))
    assert only(decide(held), ResizeCluster).gpus == 8


def test_never_below_what_admitted_jobs_hold():
    jobs = (JobUse("j", frozenset({"node-0", "node-1"})),)
    decision = decide(a_running_cluster(gpus=16, nodes=nodes(2), jobs=jobs))
    assert reason(decision) == "ScaleDownWaits"
    assert decision.actions == ()


def test_a_size_that_somebody_else_changed_is_drift_and_is_restored():
    status = bought_status(nodes={"desired": 1, "ready": 1}, firstReadyTime="2026-01-01T11:50:00Z")
    cordoned = tuple(replace(node, cordoned=True) for node in nodes(2).value)
    decision = decide(a_running_cluster(gpus=16, nodes=Known(cordoned, 1.0), status=status))
    assert reason(decision, "Drifted") == "SizeChangedOutside"
    only(decision, ResizeCluster)


# gone


def missing(monotonic, memory, **view):
    return seen(
        a_cluster_resource(status=bought_status()), a_view(begun=monotonic, **view), memory=memory, monotonic=monotonic
    )


def test_a_cluster_is_lost_only_after_two_looks_apart_in_time():
    first = PurchaseMemory(first_seen=940.0)
    assert only(decide(missing(1000.0, first)), LookAtProvider).cluster_id == "c-1"
    once = first.with_look("c-1", begun=1000.0, present=False)
    assert reason(decide(missing(1001.0, once, not_found={"c-1": 1000.0}))) == "ConfirmingAbsence"
    decision = decide(missing(1031.0, once, not_found={"c-1": 1030.5}))
    assert reason(decision, "Stalled") == "Gone"
    assert decision.actions == ()


def test_a_clean_list_under_another_projects_key_is_not_gone():
    resource = a_cluster_resource(status=bought_status())
    decision = decide(seen(resource, credential=Credential("key-2", None)))
    assert reason(decision, "Stalled") == "CredentialMismatch"
    assert decision.actions == ()


def test_a_new_key_that_shows_another_object_of_the_project_can_tell():
    other = a_provider_cluster("c-5", "other")
    decision = decide(seen(a_cluster_resource(status=bought_status()), a_view(other), credential=Credential("key-2")))
    only(decision, LookAtProvider)


# deleting


def test_nothing_ever_intended_one_clean_list_lets_it_go():
    decision = decide(seen(a_cluster_resource(deleting=True)))
    assert only(decision, SetMetadata).finalizers == ()
    unseen = decide(seen(a_cluster_resource(deleting=True), a_view(begun=930.0)))
    only(unseen, LookAtProvider)


def test_a_bought_cluster_is_given_back_and_awaited():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    assert only(decide(seen(resource, a_view(a_provider_cluster()))), DeleteCluster).cluster_id == "c-1"
    deleting = decide(seen(resource, a_view(a_provider_cluster(status="Deleting"))))
    assert (deleting.actions, reason(deleting)) == ((), "Deleting")


def test_it_goes_only_after_its_cluster_was_absent_twice():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    memory = PurchaseMemory(first_seen=940.0).with_look("c-1", begun=1000.0, present=False)
    once = decide(seen(resource, a_view(not_found={"c-1": 1000.0}, begun=1001.0), memory=memory, monotonic=1001.0))
    assert (once.actions, reason(once)) == ((), "ConfirmingAbsence")
    view = a_view(not_found={"c-1": 1031.0}, begun=1031.0)
    only(decide(seen(resource, view, memory=memory, monotonic=1031.0)), SetMetadata)


def test_jobs_that_stay_keep_the_cluster():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    decision = decide(seen(resource, a_view(a_provider_cluster()), jobs=(JobUse("tune"),)))
    assert reason(decision) == "HeldByJobs"
    assert "'tune'" in find_condition(decision.status.conditions, "Ready").message
    assert decision.actions == ()


def test_retain_lets_go_and_tells_that_it_bills():
    resource = a_cluster_resource(deleting=True, status=bought_status(), deletionPolicy="Retain")
    decision = decide(seen(resource, a_view(a_provider_cluster())))
    only(decision, SetMetadata)
    assert decision.events[0].reason == "Retained"


def test_an_unproven_absence_stalls_and_abandon_lets_go():
    resource = a_cluster_resource(deleting=True, status=bought_status())
    decision = decide(seen(resource, credential=Credential("key-2")))
    assert reason(decision, "Stalled") == "AbsenceUnproven"
    resource = a_cluster_resource(deleting=True, status=bought_status(), annotations={"tunesmith.dev/abandon": "c-1"})
    decision = decide(seen(resource, credential=Credential("key-2")))
    only(decision, SetMetadata)
    assert decision.events[0].reason == "Abandoned"


def test_an_open_intent_is_settled_before_the_resource_goes():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    resource = a_cluster_resource(deleting=True, status={"createIntent": INTENT})
    early = decide(seen(resource, memory=memory, monotonic=1200.0))
    assert (reason(early), early.actions) == ("LookingBeforeBuying", ())
    late = decide(seen(resource, a_view(begun=1301.0), memory=memory, monotonic=1301.0))
    assert reason(late) == "ConfirmingAbsence"
    twice = memory.with_look(str(NAME), begun=1301.0, present=False)
    only(decide(seen(resource, a_view(begun=1331.0), memory=twice, monotonic=1331.0)), SetMetadata)


def test_a_cluster_that_an_open_intent_bought_is_given_back():
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    resource = a_cluster_resource(deleting=True, status={"createIntent": INTENT})
    decision = decide(seen(resource, a_view(a_provider_cluster()), memory=memory))
    assert decision.status.cluster_id == "c-1"


def test_secrets_never_show_in_what_is_printed():
    assert KUBECONFIG not in repr(a_running_cluster())
