"""`managementPolicy: Observe`: everything is told, nothing is touched, and no job runs there."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    nodes,
    only,
    reason,
)

from tunesmith.planning.actions import ApplyObject, SetMetadata
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.cluster_observation import InsideFacts, JobUse, StoredSecret
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.job_cluster import closed_to_jobs
from tunesmith.planning.name_book import KeepName, Kept
from tunesmith.planning.observing import touches
from tunesmith.resources.conditions import find_condition, is_true
from tunesmith.resources.gpu_cluster import CONDITIONS

UNNAMED = {"region": None, "gpuType": None, "nodes": None}
OURS = Known(StoredSecret(frozenset({UID}), KUBECONFIG, cluster_id="c-9"), MONOTONIC)
READY = {"firstReadyTime": "2026-01-01T11:30:00Z"}


def a_watched_cluster(cluster=None, *, status=None, policy="Observe", deleting=False, annotations=None, **more):
    """A cluster that the resource only watches."""
    spec = {**UNNAMED, "adopt": {"clusterID": "c-9"}, "managementPolicy": policy, **more.pop("spec", {})}
    written = bought_status(**{"clusterID": "c-9", "providerName": "theirs", **(status or {})})
    resource = a_cluster_resource(status=written, deleting=deleting, annotations=annotations, **spec)
    view = a_view(cluster or a_provider_cluster("c-9", "theirs"))
    return a_running_cluster(
        resource=resource, view=view, kubeconfig_secret=more.pop("kubeconfig_secret", OURS), **more
    )


def test_conditions_cost_and_nodes_are_told_as_of_any_other_cluster():
    decision = decide(a_watched_cluster(inside=Known(InsideFacts(), MONOTONIC)))
    assert reason(decision) == "InOrder"
    assert {condition.type for condition in decision.status.conditions} == set(CONDITIONS)
    assert decision.status.nodes.ready == 1
    assert decision.status.cost.hourly_usd is not None
    assert not any(touches(action) for action in decision.actions)


def test_no_namespace_and_no_claim_is_made_inside():
    inside = Known(InsideFacts(namespace_labels=None), MONOTONIC)
    assert not decide(a_watched_cluster(inside=inside)).actions
    assert isinstance(only(decide(a_watched_cluster(inside=inside, policy="Manage")), ApplyObject), ApplyObject)


def test_its_kubeconfig_is_kept_here_so_that_its_nodes_can_be_seen():
    action = only(decide(a_watched_cluster(kubeconfig_secret=Known(None, MONOTONIC))), ApplyObject)
    assert (action.where, action.manifest["kind"]) == (None, "Secret")


def test_another_size_is_told_as_drift_and_left():
    larger = a_watched_cluster(a_provider_cluster("c-9", "theirs", gpus=16), spec={"nodes": 1}, status=READY)
    decision = decide(larger)
    assert is_true(decision.status.conditions, "Drifted")
    assert "left so" in find_condition(decision.status.conditions, "Drifted").message
    assert not any(touches(action) for action in decision.actions)


@pytest.mark.parametrize(
    "spec",
    [
        {"idle": {"deleteAfterSeconds": 600}},
        {"expireAfterSeconds": 600},
        {"repair": {"mode": "Reboot"}},
        {"addOns": [{"name": "x", "enabled": True}]},
    ],
)
def test_nothing_that_would_end_or_change_it_is_done(spec):
    status = {**READY, "idleSince": "2026-01-01T08:00:00Z"}
    observation = a_watched_cluster(spec=spec, status=status, nodes=nodes(1, ready=False))
    assert not any(touches(action) for action in decide(observation).actions)
    assert decide(observation).status.release is None


def test_deletion_lets_go_at_once_and_leaves_the_cluster():
    decision = decide(a_watched_cluster(deleting=True))
    assert isinstance(decision.actions[-1], SetMetadata)
    assert decision.actions[-1].finalizers == ()
    assert not any(touches(action) for action in decision.actions)
    assert decision.events[0].reason == "Retained"


def test_what_this_installation_bought_and_then_only_watched_is_kept_from_its_sweep():
    own = {"status": {"providerName": str(NAME)}}
    watched = a_watched_cluster(a_provider_cluster("c-9", str(NAME)), deleting=True, **own)
    assert names_kept(decide(watched)) == [KeepName(str(NAME), Kept.RETAINED)]
    assert names_kept(decide(a_watched_cluster(deleting=True))) == [], "no name that we gave"


def names_kept(decision):
    return [action for action in decision.actions if isinstance(action, KeepName)]


def test_deletion_waits_only_for_jobs_that_were_admitted_while_it_was_managed():
    decision = decide(a_watched_cluster(deleting=True, jobs=(JobUse("run", frozenset({"node-0"})),)))
    assert reason(decision) == "HeldByJobs"


def test_no_job_runs_on_a_watched_cluster_and_the_reason_is_said():
    watched = a_watched_cluster()
    assert "only watched" in closed_to_jobs(watched.resource)
    assert closed_to_jobs(a_watched_cluster(policy="Manage").resource) is None


def test_from_watching_to_managing_and_back():
    inside = Known(InsideFacts(namespace_labels=None), MONOTONIC)
    watched = a_watched_cluster(inside=inside)
    managed = a_watched_cluster(inside=inside, policy="Manage")
    assert any(touches(action) for action in decide(managed).actions)
    assert not any(touches(action) for action in decide(watched).actions)


def test_a_release_that_was_begun_while_it_was_managed_is_set_aside():
    release = {"release": {"reason": "Idle", "time": "2026-01-01T11:00:00Z"}}
    decision = decide(a_watched_cluster(status=release))
    assert decision.status.release is None
    assert reason(decision) == "ReleaseWithdrawn"


watched = st.builds(
    lambda cluster, status, spec, secret, inside, at, jobs, monotonic, deleting: replace(
        a_watched_cluster(
            cluster,
            status=status,
            spec=spec,
            deleting=deleting,
            kubeconfig_secret=secret,
            inside=inside,
            nodes=at,
            jobs=jobs,
        ),
        around=circumstances(monotonic),
    ),
    st.builds(
        lambda status, gpus: a_provider_cluster("c-9", "theirs", status=status, gpus=gpus),
        st.sampled_from(["Ready", "Degraded", "Paused", "Deleting", "New"]),
        st.sampled_from([8, 16, 64]),
    ),
    st.sampled_from(
        [
            {},
            READY,
            {**READY, "idleSince": "2026-01-01T08:00:00Z"},
            {**READY, "release": {"reason": "Expired", "time": "2026-01-01T11:00:00Z"}},
            {"createIntent": {"name": "n", "nonce": "n1"}},
        ]
    ),
    st.sampled_from(
        [
            {},
            {"nodes": 1},
            {"nodes": 4, "scaleDownPolicy": "DrainJobs"},
            {"expireAfterSeconds": 60, "idle": {"deleteAfterSeconds": 60}},
            {"repair": {"mode": "RebootThenReplace"}},
            {"addOns": [{"name": "x", "enabled": True}]},
            {"projectID": "p-1", "billing": {"preemptibleNodes": 2}, "nodes": 4},
        ]
    ),
    st.sampled_from([Unknown("."), Known(None, 0.0), OURS]),
    st.sampled_from([Unknown("."), Known(InsideFacts(), 0.0)]),
    st.sampled_from([Unknown("."), nodes(1), nodes(2, ready=False)]),
    st.sampled_from([(), (JobUse("j", frozenset({"node-0"})),), (JobUse("j", deleting_since=NOW),)]),
    st.floats(MONOTONIC, 9000),
    st.booleans(),
)


@settings(max_examples=400, deadline=None)
@given(watched)
def test_whatever_is_seen_nothing_is_ever_written_to_the_provider_or_into_the_cluster(observation):
    assert not any(touches(action) for action in decide(observation).actions)
