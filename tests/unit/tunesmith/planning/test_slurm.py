"""A Slurm cluster: bought, followed and sized like others; what is different about it is said."""

from tests.unit.tunesmith.planning.cluster_builders import (
    a_provider_cluster,
    a_running_cluster,
    a_view,
    nodes,
    only,
    reason,
)
from tests.unit.tunesmith.planning.job_builders import a_cluster, waiting_in_line

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_observation import InsideFacts
from tunesmith.planning.fine_tune_job import decide as decide_job
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.orders import ChangeCluster
from tunesmith.planning.provider import AttachedVolume
from tunesmith.resources.conditions import find_condition, is_true

SLURM = {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}}
BARE = Known(InsideFacts(), 1000.0)


def running(gpus=8, spec=None, **more):
    cluster = a_provider_cluster(cluster_type="SLURM", gpus=gpus, volumes=(AttachedVolume("v-1", "home", 1, "bound"),))
    return a_running_cluster(view=a_view(cluster), spec={**SLURM, **(spec or {})}, inside=BARE, **more)


def test_it_is_ready_like_others_and_says_what_is_different():
    decision = decide(running())
    assert is_true(decision.status.conditions, "Ready")
    message = find_condition(decision.status.conditions, "Ready").message
    assert "slurm-login" in message
    assert "FineTuneJobs need another" in message


def test_neither_namespace_nor_claim_is_made_in_it():
    assert decide(running()).actions == ()


def test_its_kubeconfig_is_stored_like_that_of_others():
    manifest = only(decide(running(kubeconfig_secret=Known(None, 1.0))), ApplyObject).manifest
    assert manifest["metadata"]["name"] == "train-kubeconfig"


def test_it_grows_like_others():
    assert only(decide(running(spec={"nodes": 2}, nodes=nodes(1))), ChangeCluster).changes.gpus == 16


def test_a_job_that_names_one_is_refused_with_the_reason():
    slurm = a_cluster()
    spec = slurm.spec.model_validate({**slurm.spec.model_dump(by_alias=True, exclude_unset=True), **SLURM})
    decision = decide_job(waiting_in_line(cluster=slurm.model_copy(update={"spec": spec})))
    ready = find_condition(decision.status.conditions, "ClusterReady")
    assert (ready.reason, reason(decision, "Stalled"), decision.actions) == ("SlurmCluster", "SlurmCluster", ())
    assert "`clusterType` 'Kubernetes'" in ready.message
