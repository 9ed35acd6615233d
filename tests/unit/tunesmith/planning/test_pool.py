"""Pools: all pods or none, the oldest first, never more than a node has."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.planning.admission import with_positions_of_before
from tunesmith.planning.kube_facts import OWNER_UID_LABEL, NodeFact, PodFact, Taint
from tunesmith.planning.placement import GPU_TOLERATION, PodPlace, Tolerated, may_use, place
from tunesmith.planning.pool import (
    FIRST_POSITIONS_SHOWN,
    GoesBack,
    Granted,
    Holding,
    InLine,
    NeverFits,
    Request,
    assign,
    with_nodes_to_come,
)

NOON = datetime(2025, 11, 8, 12, tzinfo=UTC)


def a_node(name: str, gpus: int = 8, **changes: object) -> NodeFact:
    return NodeFact(name=name, gpus=gpus, **changes)


def a_request(uid: str, pods: int = 1, gpus: int = 8, minute: int = 0, **changes: object) -> Request:
    return Request(uid, uid, NOON + timedelta(minutes=minute), pods, gpus, **changes)


def a_holding(uid: str, *nodes: str, gpus: int = 8, minute: int = 0, **changes: object) -> Holding:
    places = tuple(PodPlace(node, gpus) for node in nodes)
    return Holding(uid, uid, NOON + timedelta(minutes=minute), places, **changes)


def test_all_pods_of_a_job_get_nodes_or_none_does():
    answers = assign([a_request("big", pods=2)], [a_holding("other", "n1", gpus=1)], [a_node("n1"), a_node("n2")], [])
    assert answers["big"] == InLine(1, "Needs 2 pod(s) of 8 GPU(s) each; 15 GPU(s) are free.")


def test_the_oldest_comes_first():
    answers = assign([a_request("young", minute=2), a_request("old", minute=1)], [], [a_node("n1")], [])
    assert answers["old"] == Granted((PodPlace("n1", 8),))
    assert answers["young"] == InLine(1, "Needs 1 pod(s) of 8 GPU(s) each; 0 GPU(s) are free.")


def test_a_large_job_in_front_keeps_its_nodes_from_small_ones_behind_it():
    held = [a_holding("running", "n1")]
    line = [a_request("large", pods=2), a_request("small", gpus=1, minute=1)]
    answers = assign(line, held, [a_node("n1"), a_node("n2")], [])
    assert isinstance(answers["large"], InLine)
    assert answers["small"] == InLine(2, "Waits behind job 'large', which came first.")


def test_what_the_job_in_front_cannot_use_is_not_kept_from_others():
    nodes = [a_node("a1", labels={"zone": "a"}), a_node("b1", labels={"zone": "b"})]
    held = [a_holding("running", "a1")]
    line = [a_request("first", node_selector={"zone": "a"}), a_request("second", minute=1, node_selector={"zone": "b"})]
    assert assign(line, held, nodes, [])["second"] == Granted((PodPlace("b1", 8),))


def test_what_can_never_fit_is_out_of_the_line():
    answers = assign([a_request("huge", pods=3), a_request("small", minute=1)], [], [a_node("n1"), a_node("n2")], [])
    assert isinstance(answers["huge"], NeverFits)
    assert "3 pod(s) of 8 GPU(s)" in answers["huge"].why
    assert isinstance(answers["small"], Granted)


def test_nodes_that_were_bought_but_have_not_registered_may_still_come():
    nodes = with_nodes_to_come([a_node("n1")], expected=2)
    assert isinstance(assign([a_request("pair", pods=2)], [], nodes, [])["pair"], InLine)


def test_a_node_that_is_not_ready_or_cordoned_takes_nobody_but_may_come_back():
    for node in (a_node("n1", ready=False), a_node("n1", cordoned=True)):
        assert isinstance(assign([a_request("job")], [], [node], [])["job"], InLine)


def test_blamed_nodes_are_left_alone_while_others_would_do():
    request = a_request("job", avoid=frozenset({"n1"}))
    assert assign([request], [], [a_node("n1"), a_node("n2")], [])["job"] == Granted((PodPlace("n2", 8),))
    busy = assign([request], [a_holding("other", "n2")], [a_node("n1"), a_node("n2")], [])
    assert isinstance(busy["job"], InLine)


def test_blamed_nodes_are_used_when_there_are_no_others():
    assert assign([a_request("job", avoid=frozenset({"n1"}))], [], [a_node("n1")], [])["job"] == Granted(
        (PodPlace("n1", 8),)
    )


def test_foreign_pods_take_what_they_use_and_a_jobs_own_pods_count_once():
    foreign = PodFact("default", "notebook", node="n1", phase="Running", gpus=4)
    own = PodFact("jobs", "own-0", node="n1", phase="Running", gpus=4, labels={OWNER_UID_LABEL: "own"})
    held = [a_holding("own", "n1", gpus=4, has_pods=True)]
    assert isinstance(assign([a_request("next", gpus=1)], held, [a_node("n1")], [foreign, own])["next"], InLine)


def test_a_finished_pod_holds_nothing():
    done = PodFact("default", "done", node="n1", phase="Succeeded", gpus=8)
    assert isinstance(assign([a_request("next")], [], [a_node("n1")], [done])["next"], Granted)


def test_the_youngest_admission_without_pods_goes_back_when_a_node_lost_gpus():
    held = [
        a_holding("with-pods", "n1", gpus=4, minute=3, has_pods=True),
        a_holding("older", "n1", gpus=2, minute=1),
        a_holding("younger", "n1", gpus=2, minute=2),
    ]
    answers = assign([], held, [a_node("n1", gpus=6)], [])
    assert set(answers) == {"younger"}
    assert isinstance(answers["younger"], GoesBack)


def test_a_grant_that_is_not_recorded_yet_is_held_whatever_happens_to_its_node():
    assert assign([], [a_holding("grantee", "n1", recorded=False)], [a_node("n1", ready=False)], []) == {}


@pytest.mark.parametrize(
    ("taints", "tolerations", "allowed"),
    [
        ((), (), True),
        ((Taint("nvidia.com/gpu", "present", "NoSchedule"),), (), True),
        ((Taint("team", "a", "NoSchedule"),), (), False),
        ((Taint("team", "a", "NoSchedule"),), (Tolerated("team", "Equal", "a"),), True),
        ((Taint("team", "a", "NoSchedule"),), (Tolerated("team", "Equal", "b"),), False),
        ((Taint("team", "a", "NoExecute"),), (Tolerated("team", "Exists", effect="NoSchedule"),), False),
        ((Taint("team", "a", "PreferNoSchedule"),), (), True),
        ((Taint("node.kubernetes.io/not-ready", "", "NoExecute"),), (), True),
    ],
)
def test_taints_repel_as_kubernetes_says(taints, tolerations, allowed):
    assert may_use(a_node("n1", taints=taints), {}, tolerations) is allowed
    assert GPU_TOLERATION.key == "nvidia.com/gpu"


def test_pods_go_to_the_fewest_nodes_and_the_tightest_fit():
    assert place(1, 4, {"empty": 8, "half": 4}) == (PodPlace("half", 4),)
    assert place(2, 4, {"empty": 8, "half": 4}) == (PodPlace("empty", 4), PodPlace("empty", 4))
    assert place(3, 4, {"empty": 8, "half": 4}) == (
        PodPlace("empty", 4),
        PodPlace("empty", 4),
        PodPlace("half", 4),
    )


NAMES = ("n1", "n2", "n3", "n4")
nodes_strategy = st.lists(
    st.builds(
        NodeFact,
        name=st.sampled_from(NAMES),
        ready=st.booleans(),
        cordoned=st.booleans(),
        gpus=st.integers(0, 8),
        labels=st.just({}),
        taints=st.just(()),
    ),
    unique_by=lambda node: node.name,
)
requests_strategy = st.lists(
    st.builds(
        a_request,
        uid=st.sampled_from([f"w{n}" for n in range(6)]),
        pods=st.integers(1, 3),
        gpus=st.integers(1, 8),
        minute=st.integers(0, 3),
        avoid=st.frozensets(st.sampled_from(NAMES)),
    ),
    unique_by=lambda request: request.uid,
)
holdings_strategy = st.lists(
    st.builds(
        lambda uid, nodes, gpus, minute, has_pods, recorded: a_holding(
            uid, *nodes, gpus=gpus, minute=minute, has_pods=has_pods, recorded=recorded
        ),
        st.sampled_from([f"h{n}" for n in range(4)]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        st.integers(1, 8),
        st.integers(0, 9),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda holding: holding.uid,
)
pods_strategy = st.lists(
    st.builds(
        PodFact,
        namespace=st.just("default"),
        name=st.uuids().map(str),
        node=st.sampled_from(NAMES),
        phase=st.sampled_from(["Running", "Succeeded"]),
        gpus=st.integers(0, 8),
        labels=st.sampled_from([{}, {OWNER_UID_LABEL: "h0"}, {OWNER_UID_LABEL: "gone"}]),
    ),
    max_size=5,
)


@given(requests_strategy, holdings_strategy, nodes_strategy, pods_strategy)
def test_no_node_ever_gives_more_than_it_has_free(requests, held, nodes, pods):
    answers = assign(requests, held, nodes, pods)
    by_name = {node.name: node for node in nodes}
    taken: dict[str, int] = defaultdict(int)
    for holding in held:
        if not isinstance(answers.get(holding.uid), GoesBack):
            for one in holding.pods:
                taken[one.node] += one.gpus
    for pod in pods:
        if not pod.finished and pod.owner_uid != "h0":
            taken[pod.node] += pod.gpus
    for request in requests:
        answer = answers[request.uid]
        if isinstance(answer, Granted):
            assert len(answer.pods) == request.pods
            for one in answer.pods:
                assert one.gpus == request.gpus_per_pod
                taken[one.node] += one.gpus
                node = by_name[one.node]
                assert node.ready
                assert not node.cordoned
    granted_nodes = {p.node for v in answers.values() if isinstance(v, Granted) for p in v.pods}
    assert all(taken[name] <= by_name[name].gpus for name in granted_nodes)


@given(requests_strategy, holdings_strategy, nodes_strategy, pods_strategy)
def test_every_waiting_job_gets_one_answer_and_order_of_arrival_in_the_list_is_nothing(requests, held, nodes, pods):
    answers = assign(requests, held, nodes, pods)
    assert {r.uid for r in requests} <= set(answers)
    assert answers == assign(requests[::-1], held[::-1], nodes[::-1], pods[::-1])


@given(requests_strategy, holdings_strategy, nodes_strategy, pods_strategy)
def test_whoever_waits_is_never_overtaken_on_nodes_it_could_use(requests, held, nodes, pods):
    """Granting again what was granted, as holdings, leaves the others waiting: nothing was left lying for them."""
    answers = assign(requests, held, nodes, pods)
    kept = [h for h in held if h.uid not in answers]
    now_held = [
        Holding(r.uid, r.name, NOON, answers[r.uid].pods, recorded=False)
        for r in requests
        if isinstance(answers[r.uid], Granted)
    ]
    rest = [r for r in requests if not isinstance(answers[r.uid], Granted)]
    again = assign(rest, [*kept, *now_held], nodes, pods)
    assert not any(isinstance(again[r.uid], Granted) for r in rest)


def test_whoever_stands_far_behind_is_told_what_does_not_move():
    crowd = [a_request(f"job-{n:02d}", minute=n) for n in range(40)]
    answers = assign(crowd, [], [a_node("n0")], [])
    behind = {a.blocked_by for a in answers.values() if isinstance(a, InLine) and a.position > FIRST_POSITIONS_SHOWN}
    assert behind == {"Waits behind more than 20 jobs that came first."}


def test_places_are_kept_as_they_were_told_but_grants_are_not_held_back():
    before = {"a": InLine(1, "x"), "b": InLine(2, "x")}
    answers = {"a": Granted(()), "b": InLine(1, "y"), "c": InLine(2, "y")}
    assert with_positions_of_before(answers, before) == {"a": Granted(()), "b": InLine(2, "x"), "c": InLine(2, "y")}
