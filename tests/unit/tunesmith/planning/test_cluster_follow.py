"""From bought to usable: stages and their deadlines, acceptance tests, what the provider stops, and the Events."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    MONOTONIC,
    NOW,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    reason,
)

from tunesmith.planning.circumstances import Known
from tunesmith.planning.deadlines import DEFAULT_SECONDS, STAGE_OF_STATUS, Stage
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.provider import PhaseTransition
from tunesmith.resources import not_implemented
from tunesmith.resources.conditions import find_condition, is_true

ALL_TESTS = ["DCGM", "GPUBurn", "NCCLSingleNode", "NCCLMultiNode", "Storage"]


def phases(*steps):
    """Transitions, each so many seconds before now."""
    return tuple(PhaseTransition(f"CLUSTER_PHASE_{phase}", NOW - timedelta(seconds=ago)) for phase, ago in steps)


def building(status, ago, *, monotonic=MONOTONIC, installation=INSTALLATION, before=None, **more):
    """A cluster that the provider has had in this state for so long."""
    at = NOW + timedelta(seconds=monotonic - MONOTONIC) - timedelta(seconds=ago)
    cluster = a_provider_cluster(status=status, kubeconfig="", phases=(PhaseTransition("ANY", at),))
    seen = a_running_cluster(view=a_view(cluster, begun=monotonic), kubeconfig_secret=Known(None, 1.0), **more)
    if before is not None:
        seen = replace(seen, resource=seen.resource.model_copy(update={"status": before}))
    return replace(seen, around=circumstances(monotonic, installation=installation))


def following(seen, decision, *, seconds=0):
    """The same facts, later, with what was decided written down."""
    resource = seen.resource.model_copy(update={"status": decision.status})
    return replace(seen, resource=resource, around=circumstances(seen.around.monotonic + seconds))


def standing(decision):
    """The word for kstatus, and the reason."""
    conditions = decision.status.conditions
    word = next((kind for kind in ("Ready", "Reconciling", "Stalled") if is_true(conditions, kind)), None)
    return word, reason(decision)


# deadlines


@pytest.mark.parametrize(("status", "stage"), [*STAGE_OF_STATUS.items(), ("PolishingGPUs", Stage.OTHER)])
def test_every_state_of_the_provider_has_a_deadline_that_turns_waiting_into_a_reason(status, stage):
    limit = DEFAULT_SECONDS[stage]
    patient, overdue = decide(building(status, limit - 5)), decide(building(status, limit + 1))
    assert standing(patient) == ("Reconciling", "Provisioning")
    assert patient.look_again_seconds <= 5
    retriable = stage is Stage.QUEUED
    assert standing(overdue) == (("Reconciling", "OutOfStock") if retriable else ("Stalled", "ProvisioningOverdue"))
    assert reason(overdue, "Provisioned") == "ProvisioningOverdue"  # never the word of a refused order
    message = find_condition(overdue.status.conditions, "Ready").message
    assert f"'{status}'" in message
    assert f"{limit} s" in message


def test_the_installation_sets_the_deadlines():
    quick = replace(INSTALLATION, phase_deadline_seconds={"subnet": 10})
    assert standing(decide(building("WaitingForSubnet", 11, installation=quick)))[1] == "ProvisioningOverdue"
    assert standing(decide(building("InstallingDrivers", 11, installation=quick)))[1] == "Provisioning"


def test_an_overdue_stage_is_told_once_and_moves_no_status_after_that():
    seen = building("WaitingForSubnet", 5000)
    first = decide(seen)
    assert [event.reason for event in first.events] == ["ProvisioningOverdue"]
    again = decide(following(seen, first, seconds=3))
    assert (again.status, again.events) == (first.status, ())


def test_a_restart_of_the_operator_does_not_start_a_deadline_anew():
    """Nothing but the provider's times and the status is looked at: a process that knows neither says the same."""
    before = decide(building("WaitingForSubnet", 100)).status
    again = decide(building("WaitingForSubnet", 1000, monotonic=MONOTONIC + 900, before=before))
    assert standing(again) == ("Stalled", "ProvisioningOverdue")


def test_without_the_providers_times_the_condition_says_since_when():
    cluster = a_provider_cluster(status="WaitingForSubnet", kubeconfig="")
    seen = a_running_cluster(view=a_view(cluster), kubeconfig_secret=Known(None, 1.0))
    first = decide(seen)
    assert standing(first) == ("Reconciling", "Provisioning")
    later = following(seen, first, seconds=DEFAULT_SECONDS[Stage.SUBNET] + 1)
    later = replace(later, provider=a_view(cluster, begun=later.around.monotonic))
    assert standing(decide(later)) == ("Stalled", "ProvisioningOverdue")


def test_an_overdue_cluster_goes_on_when_the_provider_does():
    stuck = decide(building("WaitingForSubnet", 5000)).status
    assert standing(decide(building("InstallingDrivers", 1, before=stuck))) == ("Reconciling", "Provisioning")


def test_the_providers_word_and_its_time_are_shown():
    message = find_condition(decide(building("PolishingGPUs", 60)).status.conditions, "Provisioned").message
    assert "'PolishingGPUs' since 2026-01-01T11:59:00Z" in message


# stopped, degraded, and back


def bought(status, *, ready_before=True, before=None, **more):
    """A cluster that was Ready once and is in this state at the provider now."""
    facts = bought_status(**({"firstReadyTime": "2026-01-01T11:00:00Z"} if ready_before else {}))
    resource = more.pop("resource", None) or a_cluster_resource(status=facts, **more.pop("spec", {}))
    if before is not None:
        resource = resource.model_copy(update={"status": before})
    cluster = a_provider_cluster(status=status, phases=more.pop("phases", ()))
    return a_running_cluster(resource=resource, view=a_view(cluster), **more)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("OnDemandComputePaused", ("Stalled", "NoCredit")),
        ("Paused", ("Stalled", "StoppedByProvider")),
        ("Degraded", ("Reconciling", "Degraded")),
    ],
)
def test_a_cluster_that_stops_or_degrades_says_why_once_and_is_back_when_the_provider_says_so(status, expected):
    fine = decide(bought("Ready")).status
    trouble = decide(bought(status, before=fine))
    assert standing(trouble) == expected
    assert [event.reason for event in trouble.events] == [expected[1]]
    assert decide(bought(status, before=trouble.status)).events == ()
    back = decide(bought("Ready", before=trouble.status))
    assert standing(back) == ("Ready", "InOrder")
    assert [(event.type, event.reason) for event in back.events] == [("Normal", "InOrder")]


def test_a_cluster_that_stays_degraded_is_somebodys_to_act_on():
    trouble = decide(bought("Degraded"))
    assert trouble.look_again_seconds is not None
    later = following(bought("Degraded"), trouble, seconds=DEFAULT_SECONDS[Stage.NODES] + 1)
    overdue = decide(later)
    assert standing(overdue) == ("Stalled", "Degraded")
    assert "'c-1'" in find_condition(overdue.status.conditions, "Stalled").message
    assert [event.reason for event in overdue.events] == ["Degraded"]


def test_a_state_that_was_never_heard_of_does_not_unmake_a_cluster_that_was_ready():
    assert standing(decide(bought("PolishingGPUs"))) == ("Ready", "InOrder")


# acceptance tests


RAN = (("RUNNING_ACCEPTANCE_TESTS", 90),)
ASKED = {"acceptanceTests": {"dcgmLevel": "Short"}}


@pytest.mark.parametrize(
    ("spec", "steps", "status", "tested", "summary"),
    [
        (ASKED, (*RAN, ("READY", 10)), "Ready", ("True", "TestsPassed"), "InOrder"),
        (ASKED, (), "Ready", ("True", "TestsPassed"), "InOrder"),
        (ASKED, (("INSTALLING_DRIVERS", 90), ("READY", 10)), "Ready", ("Unknown", "TestsNotShown"), "TestsNotShown"),
        ({"acceptanceTests": {"skip": ALL_TESTS}}, (("READY", 10),), "Ready", ("Unknown", "TestsSkipped"), "InOrder"),
        ({}, (("READY", 10),), "Ready", ("Unknown", "TestsNotAskedFor"), "InOrder"),
        ({}, (*RAN, ("READY", 10)), "Ready", ("True", "TestsPassed"), "InOrder"),
        ({}, (*RAN, ("ACCEPTANCE_TESTS_FAILED", 20), ("READY", 10)), "Ready", ("False", None), "InOrder"),
        (ASKED, (*RAN, ("ACCEPTANCE_TESTS_FAILED", 20), ("READY", 10)), "Ready", ("False", None), None),
        (ASKED, (("RUNNING_NCCL_TESTS", 30), ("NCCL_TESTS_FAILED", 20)), "Degraded", ("False", None), None),
        ({}, (*RAN, ("NCCL_TESTS_FAILED", 20)), "RunningAcceptanceTests", ("False", None), None),
        ({}, RAN, "RunningAcceptanceTests", ("Unknown", "NotTestedYet"), "Provisioning"),
        (ASKED, (("ACCEPTANCE_TESTS_FAILED", 95), *RAN, ("READY", 10)), "Ready", ("True", "TestsPassed"), "InOrder"),
        (ASKED, (("ACCEPTANCE_TESTS_FAILED", 95), *RAN), "RunningAcceptanceTests", ("Unknown", None), "Provisioning"),
    ],
)
def test_acceptance_tests_passed_failed_skipped_and_not_asked_for(monkeypatch, spec, steps, status, tested, summary):
    monkeypatch.setattr(not_implemented, "FIELDS", {})
    cluster = a_provider_cluster(status=status, phases=phases(*steps))
    seen = a_running_cluster(view=a_view(cluster), resource=a_cluster_resource(status=bought_status(), **spec))
    decision = decide(seen)
    condition = find_condition(decision.status.conditions, "AcceptanceTested")
    failed = tested == ("False", None)
    assert condition.status == tested[0]
    assert condition.reason == (tested[1] or ("AcceptanceTestsFailed" if failed else "NotTestedYet"))
    assert standing(decision)[1] == (summary or "AcceptanceTestsFailed")
    if summary is None:
        assert standing(decision)[0] == "Stalled"
    if failed:
        assert ("NCCL" in condition.message) == any("NCCL" in phase for phase, _ in steps)
        assert [event.reason for event in decision.events].count("AcceptanceTestsFailed") == 1


def test_tests_that_were_asked_for_and_do_not_show_keep_a_cluster_from_its_first_ready():
    shown = a_provider_cluster(phases=phases(("INSTALLING_DRIVERS", 90), ("READY", 10)))
    seen = a_running_cluster(view=a_view(shown), resource=a_cluster_resource(status=bought_status(), **ASKED))
    first = decide(seen)
    assert (standing(first), first.events) == (("Reconciling", "TestsNotShown"), ())
    assert first.status.first_ready_time is None  # so no job begins
    late = following(seen, first, seconds=DEFAULT_SECONDS[Stage.TEST_RESULTS] + 1)
    overdue = decide(late)
    assert standing(overdue) == ("Stalled", "TestsNotShown")
    assert [event.reason for event in overdue.events] == ["TestsNotShown"]
    message = find_condition(overdue.status.conditions, "Stalled").message
    assert "'c-1'" in message
    assert "remove `spec.acceptanceTests`" in message
    untested = replace(late, resource=a_cluster_resource(status=bought_status()))
    assert standing(decide(untested)) == ("Ready", "InOrder")


def test_a_cluster_that_was_ready_stays_so_when_the_provider_forgets_its_tests():
    forgotten = bought("Ready", phases=phases(("READY", 10)), spec=ASKED)
    assert standing(decide(forgotten)) == ("Ready", "InOrder")


# usable


def test_nodes_that_are_ready_with_fewer_gpus_than_bought_are_a_reason_of_their_own():
    lame = Known((NodeFact("node-0", gpus=8), NodeFact("node-1", gpus=6)), MONOTONIC)
    seen = a_running_cluster(gpus=16, spec={"nodes": 2}, nodes=lame)
    first = decide(seen)
    assert standing(first) == ("Reconciling", "GPUsMissing")
    assert reason(first, "NodesHealthy") == "GPUsMissing"
    assert "14 of 16 GPUs" in find_condition(first.status.conditions, "Ready").message
    later = following(seen, first, seconds=DEFAULT_SECONDS[Stage.GPUS] + 1)
    overdue = decide(replace(later, provider=replace(later.provider)))
    assert standing(overdue) == ("Stalled", "GPUsMissing")
    assert [event.reason for event in overdue.events] == ["GPUsMissing"]
    assert decide(following(later, overdue, seconds=1)).events == ()
    whole = replace(later, nodes=nodes(2), resource=later.resource.model_copy(update={"status": overdue.status}))
    assert standing(decide(whole)) == ("Ready", "InOrder")


def test_nodes_that_never_come_are_overdue_the_first_ones_and_later_ones():
    seen = a_running_cluster(nodes=nodes(1, ready=False))
    first = decide(seen)
    assert standing(first) == ("Reconciling", "NodesNotReady")
    later = following(seen, first, seconds=DEFAULT_SECONDS[Stage.NODES] + 1)
    assert standing(decide(later)) == ("Stalled", "ProvisioningOverdue")
    was_ready = first.status.model_copy(update={"first_ready_time": NOW})
    later = replace(later, resource=later.resource.model_copy(update={"status": was_ready}))
    overdue = decide(later)
    assert standing(overdue) == ("Stalled", "NodesOverdue")
    assert "'c-1'" in find_condition(overdue.status.conditions, "Stalled").message
    assert [event.reason for event in overdue.events] == ["NodesOverdue"]
    assert standing(decide(replace(following(later, overdue), nodes=nodes(1)))) == ("Ready", "InOrder")


def test_preemptible_nodes_that_were_taken_are_awaited_for_ever():
    taken = a_provider_cluster(gpus=8, desired_preemptible_gpus=8)
    spec = {"nodes": 2, "billing": {"type": "OnDemand", "preemptibleNodes": 1}, "projectID": "p-1"}
    seen = a_running_cluster(spec=spec, view=a_view(taken), nodes=nodes(1))
    later = following(seen, decide(seen), seconds=DEFAULT_SECONDS[Stage.NODES] + 1)
    assert standing(decide(later)) == ("Reconciling", "NodesNotReady")
    broken = replace(later, nodes=nodes(1, ready=False))
    assert standing(decide(broken)) == ("Stalled", "ProvisioningOverdue")
