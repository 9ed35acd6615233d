"""A resource whose spec cannot be read says where the mistake is, and keeps everything that was recorded."""

from datetime import UTC, datetime

import pytest

from tunesmith.controllers.refusal import refusal_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RECORDED = {"clusterID": "c-1", "conditions": [], "observedGeneration": 1}


def a_cluster(*, nodes=0, **annotations):
    """A GPUCluster of no nodes, which no schema of today lets pass."""
    spec = {"region": "r", "gpuType": "H100_SXM", "clusterType": "Kubernetes", "nodes": nodes}
    metadata = {"name": "a", "namespace": "team", "uid": "u", "generation": 2, "annotations": annotations}
    return {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "metadata": metadata,
        "spec": spec,
        "status": RECORDED,
    }


def test_the_place_of_the_mistake_is_told_and_what_was_bought_stays_on_record():
    status = refusal_of(a_cluster(), NOW)
    stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "Invalid")
    assert "nodes" in stalled["message"]
    assert (status["clusterID"], status["observedGeneration"]) == ("c-1", 2)


def test_the_same_again_is_no_news():
    told = refusal_of(a_cluster(), NOW)
    later = datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert refusal_of({**a_cluster(), "status": told}, later) == told


def test_a_resource_that_can_be_read_is_not_refused():
    assert refusal_of(a_cluster(nodes=1), NOW) is None


@pytest.mark.parametrize("paused", ["true", "false"])
def test_nothing_is_written_to_one_that_is_paused(paused):
    status = refusal_of(a_cluster(**{"tunesmith.dev/paused": paused}), NOW)
    assert (status == RECORDED) is (paused == "true")
