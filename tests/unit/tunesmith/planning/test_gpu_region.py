"""What a GPURegion shows, and that it says when what it shows is old."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, REGION, a_view, circumstances, reason

from tunesmith.planning.circumstances import FailureRecord
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_region import STALE_SECONDS, RegionObservation, decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_region import GPURegion


def a_region(status=None):
    body = {"metadata": {"name": "us-central-8", "uid": "r", "generation": 1}, "status": status or {}}
    return GPURegion.model_validate({"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPURegion", **body})


def seen(view=None, *, monotonic=MONOTONIC, failure=None, **more):
    failures = {} if failure is None else {LookAtProvider(0.0).identity: FailureRecord(1, monotonic, failure)}
    resource = more.pop("resource", None) or a_region()
    return RegionObservation(circumstances(monotonic, failures=failures), resource, view or a_view(), **more)


def test_it_shows_gpu_types_drivers_and_when_the_provider_was_asked():
    status = decide(seen()).status
    assert (status.gpu_types, status.offer) == (("H100_SXM", "H200_SXM"), "H100_SXM, H200_SXM")
    assert status.drivers == "12.8/570, 13.0/595"
    assert [driver.id for driver in status.driver_versions] == ["nvidia-570-22", "nvidia-595-22"]
    assert status.refreshed_time is not None


def test_nothing_new_writes_nothing():
    first = decide(seen()).status
    again = decide(seen(resource=a_region().model_copy(update={"status": first}), monotonic=MONOTONIC + 600))
    assert again.status == first


def test_what_is_old_is_looked_at_again_and_said_to_be_old_once_that_fails():
    first = decide(seen()).status
    resource = a_region().model_copy(update={"status": first})
    late = MONOTONIC + STALE_SECONDS + 1
    looking = decide(seen(resource=resource, monotonic=late))
    assert ([type(each) for each in looking.actions], looking.status) == ([LookAtProvider], first)
    down = Failure(ErrorClass.UNAVAILABLE, "The provider does not answer.")
    failed = decide(seen(resource=resource, monotonic=late, failure=down))
    assert reason(failed) == "ProviderUnreachable"
    assert "2026-01-01T12:00:00Z" in find_condition(failed.status.conditions, "Ready").message
    assert failed.status.gpu_types == first.gpu_types, "what was read last stays"


@pytest.mark.parametrize("error", [ErrorClass.UNAUTHENTICATED, ErrorClass.FORBIDDEN])
def test_a_refused_key_is_said(error):
    late = MONOTONIC + STALE_SECONDS + 1
    assert reason(decide(seen(monotonic=late, failure=Failure(error, "No."))), "Stalled") == "CredentialsRefused"


def test_without_a_key_nothing_is_asked_and_that_is_said():
    decision = decide(seen(has_credential=False))
    assert (decision.actions, reason(decision, "Stalled")) == ((), "CredentialsMissing")


def test_a_region_that_the_provider_lists_no_more_is_gone():
    view = replace(a_view(), regions=a_view(regions=(replace(REGION, name="other"),)).regions)
    assert reason(decide(seen(view)), "Stalled") == "Gone"
