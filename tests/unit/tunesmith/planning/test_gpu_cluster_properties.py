"""What no table can say of a GPUCluster's decisions: it holds for every mixture of facts."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import (
    KUBECONFIG,
    MONOTONIC,
    NAME,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    seen,
)

from tunesmith.planning.bought import NoCredential
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.cluster_observation import InsideFacts, JobUse, StoredSecret
from tunesmith.planning.cluster_setup import NAMESPACE_LABELS
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.giving_back import is_going
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.naming import provider_name
from tunesmith.planning.orders import BuyCluster, DeleteCluster
from tunesmith.planning.provider import Credential, ProviderView
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.resources.conditions import is_true

OTHER = str(provider_name(installation_id="old", kind="GPUCluster", namespace="ml", name="train", uid="before"))
INTENT = {"createIntent": {"name": str(NAME), "nonce": "n1", "startedTime": "2026-01-01T12:00:00Z"}}

RELEASES = [
    {"release": {"reason": why, "time": "2026-01-01T12:00:00Z"}} for why in ("Idle", "Expired", "Schedule", "Budget")
]
SCHEDULES = [{"start": "0 8 * * *", "stop": "0 20 * * *"}, {"start": "0 20 * * *", "stop": "0 8 * * *"}]

resources = st.builds(
    a_cluster_resource,
    finalizer=st.booleans(),
    named=st.booleans(),
    deleting=st.booleans(),
    status=st.builds(
        lambda status, release: {**status, **release},
        st.sampled_from([{}, INTENT, bought_status(), bought_status(firstReadyTime="2026-01-01T11:30:00Z")]),
        st.sampled_from([{}, {}, *RELEASES]),
    ),
    nodes=st.integers(1, 3),
    adoptionPolicy=st.sampled_from(["Ask", "SameIdentity", "BuyNew"]),
    deletionPolicy=st.sampled_from(["Delete", "Retain"]),
    recreatePolicy=st.sampled_from(["Never", "WhenGone"]),
    idle=st.sampled_from([None, {"deleteAfterSeconds": 1, "reacquire": "WhenJobWaits"}]),
    expireAfterSeconds=st.sampled_from([None, 60, 36000]),
    schedule=st.sampled_from([None, *SCHEDULES, {"start": "0 25 * * *", "stop": "0 8 * * *"}]),
)
clusters = st.builds(
    a_provider_cluster,
    st.sampled_from(["c-1", "c-2"]),
    st.sampled_from([str(NAME), OTHER, "somebody-elses"]),
    status=st.sampled_from(["Ready", "Degraded", "Paused", "Deleting", "WaitingForSubnet", "New"]),
    gpus=st.sampled_from([8, 16, 24]),
    kubeconfig=st.sampled_from(["", KUBECONFIG]),
)
views = st.one_of(
    st.just(ProviderView()),
    st.builds(
        lambda found, begun, missing: a_view(*found, begun=begun, not_found={"c-1": begun} if missing else {}),
        st.lists(clusters, max_size=3, unique_by=lambda cluster: cluster.id),
        st.floats(900, 2000),
        st.booleans(),
    ),
)
fresh = PurchaseMemory(first_seen=940.0)
own = fresh.with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)
posted = own.with_post_begun("n1")


def answered(answer):
    """The memory after the one POST was answered."""
    return posted.with_post_answered("n1", answer, MONOTONIC)


memories = st.one_of(
    st.sampled_from([fresh, fresh.with_intent_seen("n1", MONOTONIC), own, posted]),
    st.sampled_from(list(ErrorClass)).map(
        lambda error: posted.with_post_answered("n1", Failure(error, "."), MONOTONIC)
    ),
    st.builds(lambda: answered("c-1")),
    st.just(fresh.with_look("c-1", begun=950.0, present=False)),
)
observations = st.builds(
    lambda resource, view, memory, monotonic, secret, inside, at, jobs, credential, wanting, pods: replace(
        seen(resource, view, memory=memory, credential=credential),
        around=circumstances(monotonic),
        kubeconfig_secret=secret,
        inside=inside,
        nodes=at,
        jobs=jobs,
        wanting_jobs=wanting,
        waiting_jobs=wanting,
        gpu_pods=pods,
    ),
    resources,
    views,
    memories,
    st.floats(MONOTONIC, 2000),
    st.sampled_from([Unknown("."), Known(None, 0.0), Known(StoredSecret(frozenset({UID}), KUBECONFIG, "c-1"), 0.0)]),
    st.sampled_from([Unknown("."), Known(InsideFacts(), 0.0), Known(InsideFacts(NAMESPACE_LABELS), 0.0)]),
    st.sampled_from([Unknown("."), nodes(1), nodes(2), nodes(3, ready=False)]),
    st.sampled_from([(), (JobUse("j", frozenset({"node-0"})),)]),
    st.sampled_from([Credential("key-1"), Credential("key-2"), NoCredential("CredentialsMissing", "."), Unknown(".")]),
    *[st.sampled_from([Unknown("."), Known(frozenset(), 0.0), Known(frozenset({"ml/a"}), 0.0)])] * 2,
)


@settings(max_examples=400)
@given(observations)
def test_every_decision_keeps_the_rules(observation):
    decision = decide(observation)
    conditions, actions = decision.status.conditions, decision.actions
    assert not (is_true(conditions, "Reconciling") and is_true(conditions, "Stalled"))
    if is_true(conditions, "Ready"):
        assert not is_true(conditions, "Reconciling")
        assert not is_true(conditions, "Stalled")
    purchases = [action for action in actions if isinstance(action, BuyCluster)]
    if purchases:
        assert observation.status.release is None
        assert observation.status.cluster_id is None
        assert not observation.resource.metadata.is_being_deleted
        assert observation.memory.mark.written is not None
        assert not observation.memory.mark.posted
        assert observation.provider.begun >= observation.memory.mark.written
        assert not observation.provider.own_clusters(observation.name) or all(
            cluster.status == "Deleting" for cluster in observation.provider.own_clusters(observation.name)
        )
    for action in actions:
        if isinstance(action, DeleteCluster):
            release = observation.status.release
            assert observation.resource.metadata.is_being_deleted or release is not None
            assert action.cluster_id == observation.status.cluster_id
            staying = [job for job in observation.jobs if job.deleting_since is None]
            assert not staying or release.reason in {"Expired", "Budget"} or is_going(observation)


@settings(max_examples=300)
@given(observations)
def test_the_same_facts_with_the_new_status_say_nothing_new(observation):
    """Deciding again on what was just written comes to a fixed point in a few passes, and then is silent."""
    decision = decide(observation)
    for _ in range(3):
        written = observation.resource.model_copy(update={"status": decision.status})
        again = decide(replace(observation, resource=written))
        if decision.actions or again.actions:
            return
        if again.status == decision.status:
            assert again.events == ()
            return
        decision = again
    raise AssertionError(f"no rest: {decision.status}")
