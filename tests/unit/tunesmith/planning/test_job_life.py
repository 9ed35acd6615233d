"""Properties of a job's whole life, over worlds that Hypothesis bends: nodes die, pods end anyhow, answers vary."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
    NODES,
    UID,
    WELL,
    a_bought_cluster,
    a_cluster,
    a_job,
    after,
    an_observation,
    ended,
    the_batch_job,
    the_pods,
    what_was_prepared,
    with_errand,
    with_workload,
)

from tunesmith.planning.accepted import is_prepared
from tunesmith.planning.actions import ApplyObject, DeleteObject, ReleasePod
from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.errand import errand_under_way
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.pool import GoesBack, InLine, NeverFits
from tunesmith.resources.conditions import find_condition, is_true

USER_ERRORS = {10, 11, 12, 13, 14}
ENDS = ((0, "Success"), (0,), (1,), (10, "UserErrorData"), (20, "OutOfMemory"), (30, "NoGPUs"), (31,), (75,), (137,))
SICK = (NODES[0], NodeFact("n1", ready=False, gpus=8), NODES[2])

steps = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from([None, GRANT, GRANT, InLine(2, "x"), NeverFits("x"), GoesBack("x")])),
    st.tuples(st.just("pods"), st.sampled_from(["none", "gated", "running"])),
    st.tuples(
        st.just("errand"), st.sampled_from([(), (0, "Success"), (0,), (1,), (10, "UserErrorData"), (31,), (75,)])
    ),
    st.tuples(st.just("gone"), st.none()),
    st.tuples(st.just("end"), st.tuples(st.sampled_from(ENDS), st.sampled_from(ENDS))),
    st.tuples(st.just("nodes"), st.sampled_from([NODES, SICK])),
    st.tuples(st.just("unseen"), st.none()),
    st.tuples(
        st.just("cluster"),
        st.sampled_from([None, a_cluster(), a_cluster(ready=False), a_bought_cluster(provisioned="Gone")]),
    ),
    st.tuples(st.just("files"), st.sampled_from([None, "{}"])),
)


class World:
    """A job and whatever befalls it, with the promises that hold after every decision."""

    def __init__(self) -> None:
        spec = {"recovery": {"maxRestarts": 2, "maxInfrastructureRestarts": 3}}
        self.seen = an_observation(a_job(spec))
        self.user_error_in: int | None = None

    def step(self, what: str, value) -> None:
        admitted = self.seen.status.admission is not None
        if what == "answer":
            self.seen = after(self.seen, self.nothing(), answer=Known(value, 0))
        elif what == "cluster":
            self.seen = after(self.seen, self.nothing(), cluster=value)
        elif what == "files":
            self.seen = after(self.seen, self.nothing(), files={"training": value})
        elif what == "unseen":
            self.seen = after(self.seen, self.nothing(), workload=Unknown("no answer"))
        elif what == "nodes":
            self.seen = with_workload(self.seen, nodes=value)
        elif what == "pods" and admitted:
            pods = {"none": (), "gated": the_pods(self.seen, gated=True, node=None, phase="Pending")}
            self.seen = with_workload(
                self.seen, jobs=[the_batch_job(self.seen)], pods=pods.get(value, the_pods(self.seen))
            )
        elif what == "end" and admitted:
            self.end(value)
        elif what == "errand" and errand_under_way(self.seen.status) is not None and not self.over:
            self.errand(value)
        elif what == "gone":
            self.seen = with_workload(self.seen)
        self.decide()

    def errand(self, end) -> None:
        """The pod without GPUs runs, or has ended so; when all is well a search finds nothing."""
        part = errand_under_way(self.seen.status)
        self.user_error_in = self.seen.attempt if part.startswith("prepare") and 10 in end else self.user_error_in
        prepared = {"prepared": what_was_prepared(self.seen)} if part.startswith("prepare") else {}
        self.seen = with_errand(self.seen, *end, part=part, said=prepared)

    def end(self, ends) -> None:
        said = WELL if ends[0] == (0, "Success") else {"message": "said"}
        pods = [
            ended(pod, *end, **(said if len(end) > 1 else {}))
            for pod, end in zip(the_pods(self.seen), ends, strict=True)
        ]
        self.seen = with_workload(self.seen, jobs=[the_batch_job(self.seen)], pods=pods)
        if USER_ERRORS & {end[0] for end in ends} and ends[0] != (0, "Success") and not self.over:
            self.user_error_in = self.seen.attempt

    @property
    def over(self) -> bool:
        conditions = self.seen.status.conditions
        return is_true(conditions, "Succeeded") or is_true(conditions, "Failed")

    def nothing(self):
        return type(decide(self.seen))(status=self.seen.status)

    def decide(self) -> None:
        """Decide until it comes to rest, and look at every decision on the way."""
        for _ in range(8):
            before = self.seen.status
            decision = decide(self.seen)
            self.check(before, decision)
            following = after(self.seen, decision)
            if following.job == self.seen.job:
                return
            self.seen = following
        raise AssertionError("does not come to rest")

    def check(self, before, decision) -> None:
        made = [action for action in decision.actions if isinstance(action, ApplyObject | ReleasePod)]
        without_gpus = errand_under_way(before)
        assert without_gpus is None or before.admission is None, "an errand while GPUs are held"
        if without_gpus is not None:
            names = {action.manifest["metadata"]["name"] for action in made if isinstance(action, ApplyObject)}
            purpose, _, number = without_gpus.partition("-")
            assert all(name.endswith(f"-{purpose[0]}{number}") for name in names), "two errands at once"
        elif made:
            assert is_prepared(before), "GPUs before the data is ready"
            assert before.admission is not None, "made before the admission stood in the status"
            assert decision.status.admission == before.admission
        attempts = before.attempt or 0, decision.status.attempt or 0
        assert attempts[1] in {attempts[0], attempts[0] + 1}
        conditions = decision.status.conditions
        assert not (is_true(conditions, "Reconciling") and is_true(conditions, "Stalled"))
        if is_true(conditions, "Ready"):
            assert is_true(conditions, "Succeeded")
        for kind in ("Succeeded", "Failed"):
            if is_true(before.conditions, kind):
                assert is_true(conditions, kind), "an end is for ever"
        if self.user_error_in is not None and find_condition(conditions, "Failed") is not None:
            assert attempts[1] == self.user_error_in, "a user error was tried again"
        for action in decision.actions:
            if isinstance(action, DeleteObject) and action.kind == "Job" and not self.over:
                assert action.uid != f"job-{attempts[1]}" or before.admission is None
        type(decision.status).model_validate(decision.status.model_dump(mode="json", by_alias=True, exclude_none=True))


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=14))
def test_whatever_happens_to_a_job_its_promises_hold(happenings):
    world = World()
    world.decide()
    for what, value in happenings:
        world.step(what, value)


def test_a_job_whose_world_is_kind_succeeds():
    world = World()
    world.decide()
    for what, value in (
        ("errand", ()),
        ("errand", (0, "Success")),
        ("gone", None),
        ("answer", GRANT),
        ("answer", None),
        ("pods", "gated"),
        ("pods", "running"),
        ("end", ((0, "Success"), (0,))),
    ):
        world.step(what, value)
    assert is_true(world.seen.status.conditions, "Succeeded")
    assert world.seen.status.output.path.endswith(f"{UID}-a1")
