"""A GPUCluster that is bought: what its status says in each phase, what is looked at and when."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    only,
    reason,
    seen,
)

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import Known, NotYet, Refused, Unknown
from tunesmith.planning.cluster_observation import InsideFacts, NamedVolume, StoredSecret
from tunesmith.planning.cluster_setup import NAMESPACE_LABELS
from tunesmith.planning.decision import Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.neighbours import job_uses
from tunesmith.planning.provider import AttachedVolume
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.purchase import Cost

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


def test_gpus_are_counted_as_held_by_what_jobs_were_granted_and_not_by_whole_nodes():
    def a_job(name, *granted):
        admission = {"pods": [{"node": node, "gpus": gpus} for node, gpus in granted]}
        return {"metadata": {"name": name}, "status": {"clusterName": "train", "admission": admission}}

    jobs = job_uses([a_job("a", ("node-0", 4)), a_job("b", ("node-0", 4), ("node-1", 4))], "train")
    observation = a_running_cluster(gpus=16, ready_nodes=2, spec={"nodes": 2}, jobs=jobs)
    assert decide(observation).status.gpus.allocated == 12


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
    assert decide(observation).look_again_seconds <= 1
    usual = replace(observation, around=circumstances())
    assert 8 <= decide(usual).look_again_seconds <= 10


def test_a_cluster_in_order_is_looked_at_as_often_as_its_drift_interval_says():
    decision = decide(a_running_cluster(spec={"drift": {"intervalSeconds": 300}}))
    assert 240 <= decision.look_again_seconds <= 300


def test_deletion_protection_keeps_what_was_bought_until_the_annotation_goes():
    resource = a_cluster_resource(
        deleting=True, status=bought_status(), annotations={"tunesmith.dev/deletion-protection": "enabled"}
    )
    decision = decide(a_running_cluster(resource=resource))
    assert (reason(decision, "Stalled"), decision.actions) == ("DeletionProtected", ())


def test_cost_accrues_at_transitions_and_hourly_at_most():
    ready = datetime(2026, 1, 1, 9, tzinfo=UTC)
    view = a_view(a_provider_cluster(created=ready, first_ready=ready))
    written = decide(a_running_cluster(view=view)).status
    cost = {"hourlyUSD": "31.92", "computeUSD": "10.00", "asOfTime": "2026-01-01T11:00:00Z"}
    recent = written.model_copy(update={"cost": Cost.model_validate({**cost, "asOfTime": "2026-01-01T11:30:00Z"})})
    assert str(decide(a_running_cluster(status=recent, view=view)).status.cost.compute_usd) == "10.00"
    older = written.model_copy(update={"cost": Cost.model_validate({**cost, "asOfTime": "2026-01-01T10:59:00Z"})})
    assert str(decide(a_running_cluster(status=older, view=view)).status.cost.compute_usd) == "41.92"


def test_an_old_list_is_renewed():
    decision = decide(a_running_cluster(view=a_view(a_provider_cluster(), begun=900.0)))
    assert isinstance(decision.actions[-1], LookAtProvider)
