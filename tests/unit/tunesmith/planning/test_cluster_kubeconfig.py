"""The kubeconfig Secret: whose it is, when it is written and asked for anew, what is refused, what is unreachable."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    KUBECONFIG,
    MONOTONIC,
    NOW,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    reason,
)

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import Known, NotYet, OtherCluster, Rejected, Unknown
from tunesmith.planning.cluster_kubeconfig_facts import belongs_to, hash_of
from tunesmith.planning.cluster_observation import KubeconfigFacts, StoredSecret
from tunesmith.planning.deadlines import DEFAULT_SECONDS, Stage
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtCluster
from tunesmith.resources.conditions import find_condition, is_true

NEWER = f"{KUBECONFIG}newer: true\n"
HOSTILE = KubeconfigFacts("`user` holds fields that the operator does not use from a Secret: exec")
CUT = KubeconfigFacts("it is not YAML", whole=False)


def stored(value=KUBECONFIG, cluster_id="c-1", uid="", replaced="", renew_at=None, owner=UID):
    return Known(StoredSecret(frozenset({owner}), value, cluster_id, uid, replaced, renew_at), MONOTONIC)


def offering(kubeconfig, *, fetched=None, monotonic=MONOTONIC, **more):
    """A running cluster whose provider shows this kubeconfig."""
    view = a_view(a_provider_cluster(kubeconfig=kubeconfig), begun=monotonic)
    view = replace(view, fetched={} if fetched is None else {"c-1": fetched})
    return replace(a_running_cluster(view=view, **more), around=circumstances(monotonic))


def applied(decision):
    """The Secret that is written, as its value and its annotations by their last word."""
    (manifest,) = [action.manifest for action in decision.actions if isinstance(action, ApplyObject)]
    marks = {key.split("/")[1]: value for key, value in manifest["metadata"]["annotations"].items()}
    return base64.b64decode(manifest["data"]["value"]).decode(), marks


def asks(decision):
    return any(isinstance(action, LookAtCluster) for action in decision.actions)


def later(seen, decision, seconds):
    resource = seen.resource.model_copy(update={"status": decision.status})
    return replace(seen, resource=resource, around=circumstances(seen.around.monotonic + seconds))


# whose it is


def test_the_secret_says_which_cluster_it_belongs_to():
    value, marks = applied(decide(offering(KUBECONFIG, kubeconfig_secret=Known(None, 1.0))))
    assert (value, marks) == (KUBECONFIG, {"cluster-id": "c-1"})


def test_the_identity_of_the_cluster_that_answered_is_recorded_once():
    seen = offering(KUBECONFIG, kubeconfig_secret=stored(), kube_system_uid="ks-1")
    value, marks = applied(decide(seen))
    assert (value, marks) == (KUBECONFIG, {"cluster-id": "c-1", "kube-system-uid": "ks-1"})
    settled = decide(replace(seen, kubeconfig_secret=stored(uid="ks-1")))
    assert is_true(settled.status.conditions, "Ready")
    assert settled.actions == ()


@pytest.mark.parametrize("offered", [NEWER, KUBECONFIG])
def test_the_kubeconfig_of_an_earlier_cluster_of_this_resource_is_replaced_and_its_identity_forgotten(offered):
    seen = offering(offered, kubeconfig_secret=stored(cluster_id="c-0", uid="ks-0"), nodes=NotYet("not looked"))
    assert applied(decide(seen)) == (offered, {"cluster-id": "c-1"})


def test_the_kubeconfig_of_an_earlier_cluster_does_not_stand_in_for_one_that_is_missing():
    decision = decide(offering("", kubeconfig_secret=stored(cluster_id="c-0"), nodes=NotYet("not looked")))
    assert reason(decision) == "KubeconfigMissing"
    assert find_condition(decision.status.conditions, "KubeconfigAvailable").status == "False"


@pytest.mark.parametrize(
    ("secret", "bought", "ours"),
    [
        (stored(), "c-1", True),
        (stored(cluster_id="c-0"), "c-1", False),
        (stored(cluster_id=""), "c-1", False),
        (stored(owner="an-object-of-the-same-name-that-was-deleted"), "c-1", False),
        (stored(value=""), "c-1", False),
        (stored(), None, False),
        (Known(None, 1.0), "c-1", False),
    ],
)
def test_only_the_present_clusters_own_kubeconfig_is_used(secret, bought, ours):
    resource = a_cluster_resource(status=bought_status(clusterID=bought))
    assert belongs_to(resource, secret.value) is ours


# rotation


def test_another_kubeconfig_of_the_provider_replaces_the_one_that_is_stored():
    seen = offering(NEWER, kubeconfig_secret=stored(uid="ks-1"))
    marks = {"cluster-id": "c-1", "kube-system-uid": "ks-1", "replaced-kubeconfig": hash_of(KUBECONFIG)}
    assert applied(decide(seen)) == (NEWER, marks)


def test_a_list_that_still_shows_the_one_that_was_replaced_does_not_bring_it_back():
    seen = offering(KUBECONFIG, kubeconfig_secret=stored(NEWER, replaced=hash_of(KUBECONFIG)))
    assert decide(seen).actions == ()


def test_on_401_the_cluster_is_asked_for_by_its_id_and_again_after_a_while():
    no = Rejected("The cluster's API server does not accept the kubeconfig.")
    seen = offering(KUBECONFIG, nodes=no)
    first = decide(seen)
    assert (reason(first), reason(first, "KubeconfigAvailable")) == ("KubeconfigRejected", "KubeconfigRejected")
    assert asks(first)
    assert not asks(decide(offering(KUBECONFIG, nodes=no, fetched=MONOTONIC - 5)))
    assert asks(decide(offering(KUBECONFIG, nodes=no, fetched=MONOTONIC - 40)))
    assert applied(decide(offering(NEWER, nodes=no)))[0] == NEWER
    overdue = decide(later(seen, first, DEFAULT_SECONDS[Stage.REACHABLE] + 1))
    assert reason(overdue, "Stalled") == "KubeconfigRejected"
    assert is_true(overdue.status.conditions, "Stalled")


@pytest.mark.parametrize(("share", "expected"), [(0.79, False), (0.8, True), (1.5, True)])
def test_a_newer_one_is_asked_for_from_80_percent_of_its_life_on(share, expected):
    begins, life = NOW - timedelta(days=80), timedelta(days=100)
    moment = begins + life * share
    secret = stored(renew_at=begins + life * 0.8)
    seen = offering(KUBECONFIG, kubeconfig_secret=secret)
    seen = replace(seen, around=replace(seen.around, now=moment))
    decision = decide(seen)
    assert asks(decision) is expected
    asked = replace(seen, provider=replace(seen.provider, fetched={"c-1": MONOTONIC - 60}))
    assert not asks(decide(asked))
    assert is_true(decide(asked).status.conditions, "Ready")


# late, empty, cut off, hostile


def test_while_there_is_none_it_is_asked_for_and_after_the_deadline_that_is_a_fault():
    seen = offering("", kubeconfig_secret=Known(None, 1.0))
    first = decide(seen)
    assert (reason(first), asks(first), is_true(first.status.conditions, "Reconciling")) == (
        "KubeconfigMissing",
        True,
        True,
    )
    overdue = later(seen, first, DEFAULT_SECONDS[Stage.KUBECONFIG] + 1)
    told = decide(overdue)
    assert is_true(told.status.conditions, "Stalled")
    assert [event.reason for event in told.events] == ["KubeconfigMissing"]
    came = replace(overdue, provider=a_view(a_provider_cluster(), begun=overdue.around.monotonic))
    assert applied(decide(came))[0] == KUBECONFIG


def test_nothing_is_asked_for_while_the_provider_still_builds():
    view = a_view(a_provider_cluster(status="InstallingDrivers", kubeconfig=""))
    assert not asks(decide(a_running_cluster(view=view, kubeconfig_secret=Known(None, 1.0))))


def test_one_that_is_cut_off_is_not_written_and_is_asked_for_again():
    decision = decide(offering("apiVers", kubeconfig_secret=Known(None, 1.0), offered=CUT))
    assert (reason(decision), asks(decision)) == ("KubeconfigMissing", True)
    assert "not whole" in find_condition(decision.status.conditions, "KubeconfigAvailable").message
    assert not any(isinstance(action, ApplyObject) for action in decision.actions)


def test_one_that_is_cut_off_does_not_replace_one_that_works():
    decision = decide(offering("apiVers", kubeconfig_secret=stored(), offered=CUT))
    assert is_true(decision.status.conditions, "Ready")
    assert decision.actions == ()


def test_a_hostile_one_is_never_written_and_the_reason_is_told():
    decision = decide(offering("exec", kubeconfig_secret=Known(None, 1.0), offered=HOSTILE, nodes=NotYet(".")))
    assert (reason(decision, "Stalled"), decision.actions) == ("KubeconfigRefused", ())
    assert "exec" in find_condition(decision.status.conditions, "KubeconfigAvailable").message
    assert [event.reason for event in decision.events] == ["KubeconfigRefused"]


def test_a_hostile_one_does_not_replace_one_that_works_and_is_told():
    decision = decide(offering("exec", kubeconfig_secret=stored(), offered=HOSTILE))
    condition = find_condition(decision.status.conditions, "KubeconfigAvailable")
    assert (condition.status, condition.reason) == ("True", "KubeconfigRefused")
    assert is_true(decision.status.conditions, "Ready")
    assert "KubeconfigRefused" in [event.reason for event in decision.events]


def test_one_that_leads_to_another_cluster_is_told_and_nothing_is_done_there():
    other = OtherCluster("It leads to another Kubernetes.")
    decision = decide(offering(KUBECONFIG, kubeconfig_secret=stored(uid="ks-1"), nodes=other))
    assert (reason(decision, "Stalled"), decision.actions) == ("AnotherCluster", ())
    assert reason(decision, "KubeconfigAvailable") == "AnotherCluster"
    assert find_condition(decision.status.conditions, "NodesHealthy").status == "Unknown"


# unreachable


def test_a_cluster_that_does_not_answer_is_awaited_and_then_unreachable_and_back_when_it_answers():
    fine = decide(a_running_cluster())
    resource = a_cluster_resource().model_copy(update={"status": fine.status})
    dead = a_running_cluster(resource=resource, nodes=Unknown("the cluster's API server does not answer"))
    first = decide(dead)
    assert (reason(first), is_true(first.status.conditions, "Reconciling")) == ("ClusterUnreachable", True)
    assert first.look_again_seconds <= DEFAULT_SECONDS[Stage.REACHABLE]
    overdue = later(dead, first, DEFAULT_SECONDS[Stage.REACHABLE] + 1)
    told = decide(overdue)
    assert (reason(told), is_true(told.status.conditions, "Stalled")) == ("Unreachable", True)
    assert [event.reason for event in told.events] == ["Unreachable"]
    restarted = later(overdue, told, 5)
    assert decide(replace(restarted, nodes=NotYet("a new process has not looked yet"))).status == told.status
    assert decide(restarted).status == told.status
    back = decide(replace(restarted, nodes=nodes(1)))
    assert (reason(back), [event.reason for event in back.events]) == ("InOrder", ["InOrder"])


def test_a_failed_read_inside_a_cluster_whose_nodes_are_seen_is_not_an_unreachable_cluster():
    decision = decide(a_running_cluster(inside=Unknown("it gave no answer within 15 s")))
    assert reason(decision) == "ClusterUnreachable"
    later_on = later(a_running_cluster(inside=Unknown("it gave no answer")), decision, 100_000)
    assert is_true(decide(later_on).status.conditions, "Reconciling")
