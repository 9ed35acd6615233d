"""A SharedVolume that fills up: what is measured, what is shown, and when it grows."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_view
from tests.unit.tunesmith.planning.volume_builders import (
    BOUGHT,
    a_volume,
    at_provider,
    filled,
    message,
    only,
    reason,
    seen,
)

from tunesmith.planning.circumstances import FailureRecord, Unknown
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import ResizeVolume
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.shared_volume import decide
from tunesmith.planning.volume_usage import TIB, VolumeUsage, mounting_nodes, shown_bytes, size_by_use, usage_of_claim
from tunesmith.resources.conditions import is_true

GROWTH = {"whenUsedPercent": 80, "maxTiB": 3}


def a_full_volume(percent=85, size=2, *, growth=GROWTH, **more):
    resource = a_volume(status={**BOUGHT, "sizeTiB": size}, growth=growth)
    view = more.pop("view", None) or a_view(volumes=(at_provider(size=size),))
    return seen(resource, view, usage=more.pop("usage", filled(percent, size)), **more)


def test_it_grows_by_a_tib_when_as_much_is_used_as_the_user_said():
    decision = decide(a_full_volume(80))
    assert only(decision, ResizeVolume) == ResizeVolume("v-1", 3)
    assert reason(decision, "Resizing") == "Resizing"
    assert "80 %" in message(decision, "Resizing")


@pytest.mark.parametrize("usage", [filled(79), Unknown("no pod mounts it")])
def test_below_that_and_while_it_is_not_known_it_stays_as_it_is(usage):
    decision = decide(a_full_volume(usage=usage))
    assert (decision.actions, reason(decision)) == ((), "InOrder")


def test_it_never_grows_above_the_limit_and_says_so_once():
    decision = decide(a_full_volume(99, size=3))
    assert (decision.actions, reason(decision, "Resizing")) == ((), "GrowthAtLimit")
    assert [note.reason for note in decision.events] == ["GrowthAtLimit"]
    told = a_full_volume(99, size=3).resource.model_copy(update={"status": decision.status})
    again = decide(seen(told, a_view(volumes=(at_provider(size=3),)), usage=filled(99, 3)))
    assert (again.events, again.status) == ((), decision.status)


def test_a_growth_is_asked_once_until_the_list_had_time_to_show_it():
    asked = PurchaseMemory(first_seen=940.0).with_write(1005.0)
    only(decide(a_full_volume(memory=asked, monotonic=1006.0)), LookAtProvider)
    waiting = decide(a_full_volume(memory=asked, monotonic=1010.0, view=a_view(volumes=(at_provider(),), begun=1009.0)))
    assert (waiting.actions, reason(waiting, "Resizing")) == ((), "Resizing")


def test_a_growth_that_the_provider_refuses_leaves_the_volume_usable_and_says_why():
    refused = Failure(ErrorClass.NO_CREDIT, "The account has no credit.")
    failures = {ResizeVolume("v-1", 3).identity: FailureRecord(1, MONOTONIC, refused)}
    decision = decide(a_full_volume(failures=failures))
    assert (is_true(decision.status.conditions, "Ready"), reason(decision, "Resizing")) == (True, "ChangeRefused")
    assert "no credit" in message(decision, "Resizing")


def test_what_is_used_is_shown_and_moves_by_a_percent_of_the_size():
    first = decide(a_full_volume(50)).status
    assert first.used_bytes == TIB
    little = VolumeUsage(TIB + TIB // 100, 2 * TIB)
    assert shown_bytes(first.used_bytes, little, 2) == TIB
    assert shown_bytes(first.used_bytes, VolumeUsage(TIB + TIB // 40, 2 * TIB), 2) == TIB + TIB // 40


def test_what_was_measured_last_stands_while_nobody_measures():
    resource = a_volume(status={**BOUGHT, "usedBytes": 5})
    decision = decide(seen(resource, a_view(volumes=(at_provider(),)), usage=Unknown("no pod mounts it")))
    assert decision.status.used_bytes == 5


@given(st.integers(1, 1024), st.integers(1, 99), st.integers(1, 1024), st.integers(0, 2 * 1024 * TIB))
def test_growth_is_one_tib_at_a_time_within_the_limit_and_never_a_shrinking(size, percent, most, used):
    spec = a_volume(sizeTiB=1, growth={"whenUsedPercent": percent, "maxTiB": most}).spec
    wish = size_by_use(spec, VolumeUsage(used, size * TIB), size)
    assert size <= wish <= max(size, min(size + 1, most))
    assert (wish > size) == (size < most and Decimal(used) * 100 >= Decimal(percent) * size * TIB)


CLAIM = {"namespace": "tunesmith-jobs", "name": "data"}


def a_summary(**volume):
    return {"pods": [{"podRef": {"name": "p"}}, {"volume": [{"name": "scratch", "usedBytes": 9}, volume]}]}


def test_a_kubelets_summary_tells_the_usage_of_a_claim_that_some_pod_mounts():
    summary = a_summary(name="storage", pvcRef=CLAIM, usedBytes=7, capacityBytes=10)
    assert usage_of_claim(summary, "tunesmith-jobs", "data") == VolumeUsage(7, 10)
    assert usage_of_claim(summary, "tunesmith-jobs", "other") is None
    assert usage_of_claim(a_summary(name="storage", pvcRef=CLAIM), "tunesmith-jobs", "data") is None
    assert usage_of_claim({}, "tunesmith-jobs", "data") is None


def test_the_figures_of_a_larger_file_system_are_not_the_volumes_own():
    assert VolumeUsage(1, 2 * TIB).is_of(2)
    assert not VolumeUsage(1, 900 * TIB).is_of(2)
    assert not VolumeUsage(1, 0).is_of(2)


def a_pod(node, *, claim="data", namespace="tunesmith-jobs", phase="Running"):
    volumes = [{"name": "storage", "persistentVolumeClaim": {"claimName": claim}}, {"name": "x", "emptyDir": {}}]
    return {
        "metadata": {"namespace": namespace},
        "spec": {"nodeName": node, "volumes": volumes},
        "status": {"phase": phase},
    }


def test_only_nodes_with_a_running_pod_that_mounts_the_claim_are_asked():
    pods = (
        a_pod("n-2"),
        a_pod("n-1"),
        a_pod("n-1"),
        a_pod("n-3", claim="other"),
        a_pod("n-4", namespace="default"),
        a_pod("n-5", phase="Succeeded"),
    )
    assert mounting_nodes(pods, "tunesmith-jobs", "data") == ("n-1", "n-2")
