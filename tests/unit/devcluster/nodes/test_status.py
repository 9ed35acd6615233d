"""A pod's status follows from its containers."""

import pytest

from tunesmith_devcluster.nodes.status import ContainerView, PodFacts, Running, Terminated, Verdict, Waiting, pod_status

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:00:09Z"


def ended(code: int = 0) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", NOW, NOW)


def a_container(state=None, role="main", **facts) -> ContainerView:
    return ContainerView("c", "image", role, state or Running(NOW), **facts)


def status(*containers, over=False, verdict=None, now=NOW, before=None):
    facts = PodFacts(containers, NOW, now, "127.64.1.2", "127.0.0.1", sandbox_ready=True, over=over, verdict=verdict)
    return pod_status(facts, before or {})


@pytest.mark.parametrize(
    ("containers", "over", "phase"),
    [
        ([a_container(Waiting("PodInitializing"))], False, "Pending"),
        ([a_container(Waiting("ErrImagePull"))], False, "Pending"),
        ([a_container()], False, "Running"),
        ([a_container(Waiting("CrashLoopBackOff"), last=ended(1))], False, "Running"),
        ([a_container(role="init"), a_container(Waiting("PodInitializing"))], False, "Pending"),
        ([a_container(ended(), role="init"), a_container()], False, "Running"),
        ([a_container(ended())], True, "Succeeded"),
        ([a_container(ended()), a_container(ended(1))], True, "Failed"),
        ([a_container(Waiting("PodInitializing"))], True, "Failed"),
    ],
)
def test_the_phase_is_what_the_containers_say(containers, over, phase):
    assert status(*containers, over=over)["phase"] == phase


def test_a_verdict_comes_before_what_the_containers_say():
    told = status(a_container(ended()), over=True, verdict=Verdict("Failed", "DeadlineExceeded", "too long"))
    assert (told["phase"], told["reason"], told["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_a_pod_is_ready_when_all_its_containers_are():
    ready, unready = a_container(ready=True), a_container()
    conditions = {one["type"]: one["status"] for one in status(ready)["conditions"]}
    assert conditions["Ready"] == "True"
    conditions = {one["type"]: one["status"] for one in status(ready, unready)["conditions"]}
    assert conditions["Ready"] == "False"


def test_conditions_keep_their_times_and_those_of_others_are_kept():
    foreign = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": NOW}
    before = status(a_container()) | {}
    before["conditions"].append(foreign)
    after = {one["type"]: one for one in status(a_container(ready=True), now=LATER, before=before)["conditions"]}
    assert after["Ready"]["lastTransitionTime"] == LATER
    assert after["Initialized"]["lastTransitionTime"] == NOW
    assert after["DisruptionTarget"] == foreign
