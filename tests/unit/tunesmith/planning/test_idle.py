"""When a cluster is idle: what is known to be unused, the clock in the status, the warning, and giving it back."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    MONOTONIC,
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    circumstances,
    nodes,
    reason,
)

from tunesmith.planning.circumstances import Known, NotYet, Unknown
from tunesmith.planning.cluster_observation import JobUse
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.orders import DeleteCluster
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.timestamps import format_time

NOBODY = Known(frozenset(), MONOTONIC)
READY = {"firstReadyTime": "2026-01-01T11:30:00Z"}


def unused(*, after=0, status=None, installation=INSTALLATION, annotations=None, **more):
    """A Ready cluster that nothing uses, `after` seconds past noon."""
    spec, cluster = more.pop("spec", {}), more.pop("cluster", a_provider_cluster())
    resource = a_cluster_resource(status=bought_status(**{**READY, **(status or {})}), annotations=annotations, **spec)
    facts = {"wanting_jobs": NOBODY, "waiting_jobs": NOBODY, "gpu_pods": NOBODY, **more}
    monotonic = MONOTONIC + after
    seen = a_running_cluster(resource=resource, view=a_view(cluster, begun=monotonic), monotonic=monotonic, **facts)
    return replace(seen, around=circumstances(monotonic, installation=installation))


def later(seen, decision, after, **facts):
    """The same cluster with the status that was decided, `after` seconds past noon."""
    monotonic = MONOTONIC + after
    resource = seen.resource.model_copy(update={"status": decision.status})
    view = replace(seen.provider, **{name: Known(getattr(seen.provider, name).value, monotonic) for name in LISTS})
    around = circumstances(monotonic, installation=seen.around.installation)
    return replace(seen, resource=resource, provider=view, around=around, **facts)


LISTS = ("clusters", "volumes", "regions")


def noon(seconds=0):
    return f"2026-01-01T{12 + seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}Z"


def test_the_clock_starts_when_nothing_is_known_to_use_the_cluster_and_lives_in_the_status():
    decision = decide(unused())
    assert (reason(decision), reason(decision, "Idle")) == ("InOrder", "Idle")
    assert format_time(decision.status.idle_since) == noon()
    again = decide(later(unused(), decision, 600))
    assert again.status == decision.status  # the clock itself does not move


@pytest.mark.parametrize(
    "use",
    [
        {"jobs": (JobUse("tune", frozenset({"node-0"})),)},
        {"wanting_jobs": Known(frozenset({"tune"}), 1.0)},
        {"gpu_pods": Known(frozenset({"notebooks/alice"}), 1.0)},
        {"annotations": {"tunesmith.dev/keep-alive-until": noon(3600)}},
    ],
    ids=["admitted job", "job in any stage", "pod with GPUs", "keep-alive"],
)
def test_what_uses_the_cluster_stops_the_clock(use):
    decision = decide(unused(status={"idleSince": "2026-01-01T11:40:00Z"}, **use))
    assert decision.status.idle_since is None
    assert reason(decision, "Idle") == "ClusterInUse"


@pytest.mark.parametrize("unseen", ["gpu_pods", "wanting_jobs", "nodes"])
def test_missing_data_is_never_idleness(unseen):
    since = {"idleSince": "2026-01-01T11:40:00Z"}
    spec = {"idle": {"deleteAfterSeconds": 60}}
    decision = decide(unused(status=since, spec=spec, **{unseen: Unknown("nobody answers")}))
    assert decision.status.release is None
    assert find_condition(decision.status.conditions, "Idle").status == "Unknown"
    assert format_time(decision.status.idle_since) == "2026-01-01T11:40:00Z"  # neither runs nor starts anew


def test_the_time_that_nobody_saw_is_left_out_of_the_clock():
    seen = unused()
    idle = decide(seen)
    blind = decide(later(seen, idle, 600, gpu_pods=Unknown("nobody answers")))
    sighted = decide(later(seen, blind, 1500))
    assert format_time(sighted.status.idle_since) == noon(900)
    assert decide(later(seen, sighted, 1500)).status == sighted.status


def test_a_process_that_has_only_just_begun_to_look_tells_nothing_new():
    seen = unused()
    idle = decide(seen)
    assert decide(later(seen, idle, 600, gpu_pods=NotYet("not listed"))).status == idle.status


def test_it_warns_once_after_the_installations_default_and_says_what_to_do():
    seen = unused()
    idle = decide(seen)
    assert idle.look_again_seconds <= 1800
    assert reason(decide(later(seen, idle, 1799)), "Idle") == "Idle"
    warned = decide(later(seen, idle, 1800))
    assert reason(warned, "Idle") == "IdleLong"
    assert [note.reason for note in warned.events] == ["IdleLong"]
    assert "spec.idle.deleteAfterSeconds" in warned.events[0].message
    assert decide(later(seen, warned, 7200)).events == ()


def test_the_spec_wins_over_the_installations_times():
    seen = unused(spec={"idle": {"warnAfterSeconds": 60}})
    assert reason(decide(later(seen, decide(seen), 61)), "Idle") == "IdleLong"


def test_an_idle_cluster_is_released_after_the_time_of_its_spec():
    seen = unused(spec={"idle": {"deleteAfterSeconds": 3600}})
    idle = decide(seen)
    assert decide(later(seen, idle, 3599)).status.release is None
    decision = decide(later(seen, idle, 3600))
    assert (decision.status.release.reason, format_time(decision.status.release.time)) == ("Idle", noon(3600))
    assert reason(decision) == "Releasing"
    assert not any(isinstance(action, DeleteCluster) for action in decision.actions)  # written first


def test_the_installation_may_give_back_what_says_nothing_itself():
    eager = replace(INSTALLATION, idle_delete_after_seconds=600)
    seen = unused(installation=eager)
    assert decide(later(seen, decide(seen), 600)).status.release.reason == "Idle"


@pytest.mark.parametrize("cluster", [{"billing_type": "RESERVED"}, {"reserved_gpus": 8}], ids=["reserved", "partly"])
def test_prepaid_clusters_are_never_released(cluster):
    eager = replace(INSTALLATION, idle_delete_after_seconds=600)
    seen = unused(installation=eager, cluster=a_provider_cluster(**cluster))
    assert decide(later(seen, decide(seen), 6000)).status.release is None


def test_a_protected_cluster_is_kept_by_its_annotation():
    seen = unused(
        spec={"idle": {"deleteAfterSeconds": 60}}, annotations={"tunesmith.dev/deletion-protection": "enabled"}
    )
    assert decide(later(seen, decide(seen), 6000)).status.release is None


def test_a_keep_alive_that_ends_starts_the_clock_and_is_looked_at_in_time():
    seen = unused(annotations={"tunesmith.dev/keep-alive-until": noon(30)})
    kept = decide(seen)
    assert kept.look_again_seconds == 30
    assert format_time(decide(later(seen, kept, 30)).status.idle_since) == noon(30)


def test_a_keep_alive_that_is_no_time_keeps_the_cluster_and_says_so():
    seen = unused(
        annotations={"tunesmith.dev/keep-alive-until": "tomorrow"},
        status={"idleSince": "2026-01-01T10:00:00Z"},
        spec={"idle": {"deleteAfterSeconds": 60}},
    )
    decision = decide(seen)
    assert decision.status.release is None
    assert reason(decision, "Idle") == "KeepAliveUnreadable"


def test_what_runs_under_slurm_is_not_seen_so_it_never_counts_as_idle():
    seen = unused(cluster=a_provider_cluster(cluster_type="SLURM"), spec={"idle": {"deleteAfterSeconds": 60}})
    decision = decide(later(seen, decide(seen), 6000))
    assert reason(decision, "Idle") == "UseUnknown"
    assert decision.status.release is None


def test_a_cluster_that_never_becomes_ready_bills_as_well_and_has_a_clock():
    seen = unused(status={"firstReadyTime": None}, nodes=nodes(0), spec={"idle": {"deleteAfterSeconds": 3600}})
    assert decide(later(seen, decide(seen), 3600)).status.release.reason == "Idle"


def test_a_cluster_that_is_being_built_or_is_stopped_has_no_clock():
    building = unused(status={"firstReadyTime": None}, cluster=a_provider_cluster(status="InstallingDrivers"))
    stopped = unused(cluster=a_provider_cluster(status="OnDemandComputePaused"))
    for seen in (building, stopped):
        decision = decide(seen)
        assert decision.status.idle_since is None
        assert reason(decision, "Idle") == "NotMeasured"
