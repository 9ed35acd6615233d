"""The annotations `paused` and `reconcile-requested-at` mean the same for all three kinds."""

from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning import test_shared_volume as volumes
from tests.unit.tunesmith.planning.cluster_builders import (
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
)
from tests.unit.tunesmith.planning.job_builders import a_job, after, an_observation, running, settled

from tunesmith.planning import fine_tune_job, gpu_cluster, shared_volume
from tunesmith.planning.circumstances import Known, NotYet

PAUSED = {"tunesmith.dev/paused": "true"}
ASKED = {"tunesmith.dev/reconcile-requested-at": "2026-01-01T12:00:00Z"}


def test_a_paused_cluster_is_left_alone_whatever_is_wrong_with_it():
    for view in (a_view(), a_view(a_provider_cluster(status="Degraded", gpus=64))):
        resource = a_cluster_resource(annotations=PAUSED, status=bought_status())
        decision = gpu_cluster.decide(
            a_running_cluster(resource=resource, view=view, kubeconfig_secret=Known(None, 1.0))
        )
        assert (decision.status, decision.actions, decision.events) == (resource.status, (), ())


def test_a_paused_cluster_is_not_even_given_back():
    resource = a_cluster_resource(annotations=PAUSED, status=bought_status(), deleting=True)
    decision = gpu_cluster.decide(a_running_cluster(resource=resource))
    assert (decision.status, decision.actions) == (resource.status, ())


def test_a_paused_volume_is_left_alone():
    resource = volumes.a_volume(annotations=PAUSED)
    decision = shared_volume.decide(volumes.seen(resource))
    assert (decision.status, decision.actions, decision.events) == (resource.status, (), ())


def test_a_paused_job_is_left_alone():
    seen = running()
    metadata = seen.job.metadata.model_copy(update={"annotations": PAUSED})
    paused = replace(seen, job=seen.job.model_copy(update={"metadata": metadata}), workload=Known(None, 0.0))
    decision = fine_tune_job.decide(paused)
    assert (decision.status, decision.actions, decision.events) == (seen.status, (), ())


def test_a_job_echoes_the_pass_that_was_asked_for_and_then_writes_nothing_more():
    seen = an_observation(a_job(annotations=ASKED))
    first = fine_tune_job.decide(seen)
    assert first.status.last_handled_reconcile_time == ASKED["tunesmith.dev/reconcile-requested-at"]
    rested = settled(after(seen, first))
    assert fine_tune_job.decide(rested).status == rested.status


@pytest.mark.parametrize("annotations", [{**ASKED, **PAUSED}, ASKED])
def test_a_job_that_was_not_looked_at_says_so_by_its_silence(annotations):
    seen = an_observation(a_job(annotations=annotations), workload=NotYet("not listed yet"))
    assert fine_tune_job.decide(seen).status.last_handled_reconcile_time is None
