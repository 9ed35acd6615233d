"""Who claims an object of the provider, as read from the neighbours; and what jobs and volumes make of it."""

import pytest
from tests.unit.tunesmith.planning.cluster_builders import INSTALLATION, a_cluster_resource
from tests.unit.tunesmith.planning.job_builders import a_cluster, waiting_in_line

from tunesmith.planning.adoption_target import Held
from tunesmith.planning.fine_tune_job import decide as decide_job
from tunesmith.planning.naming import provider_name
from tunesmith.planning.neighbours import naming_clusters, other_claims
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.purchase import ManagementPolicy

ME = a_cluster_resource(adopt={"clusterID": "c-9"}, region=None, gpuType=None, nodes=None)
MARK = str(provider_name(installation_id="prod01", kind="GPUCluster", namespace="ops", name="first", uid="u-1"))


def a_neighbour(name="first", uid="u-1", status=None, **spec):
    metadata = {"namespace": "ops", "name": name, "uid": uid, "creationTimestamp": "2025-01-01T00:00:00Z"}
    return {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "metadata": metadata,
        "spec": {"adopt": {"clusterID": "c-9"}, **spec},
        "status": status or {},
    }


@pytest.mark.parametrize(
    ("neighbour", "name", "claim"),
    [
        (a_neighbour(), "theirs", None),
        (a_neighbour(status={"clusterID": "c-9"}), "theirs", False),
        (a_neighbour(status={"clusterID": "c-1"}), "theirs", None),
        (a_neighbour(status={"clusterID": "c-9"}), MARK, True),
        (a_neighbour(), MARK, True),
        (a_neighbour(uid="rebuilt"), MARK, None),
        (a_neighbour(uid=ME.metadata.uid, status={"clusterID": "c-9"}), "theirs", None),
    ],
)
def test_a_claim_is_what_is_recorded_or_bought_and_never_a_mere_wish(neighbour, name, claim):
    found = other_claims([neighbour], ME, Held("c-9", name), INSTALLATION)
    assert [each.bought for each in found] == ([] if claim is None else [claim])


def test_a_cluster_that_adopts_is_never_elected_to_make_a_volume():
    raw = a_neighbour(volumeRef={"name": "data"})
    (cluster,) = naming_clusters([raw], "data")
    assert not cluster.may_be_elected


def test_a_job_that_names_a_watched_cluster_is_told_so():
    cluster = a_cluster()
    watched = cluster.spec.model_copy(update={"management_policy": ManagementPolicy.OBSERVE})
    decision = decide_job(waiting_in_line(cluster=cluster.model_copy(update={"spec": watched})))
    ready = find_condition(decision.status.conditions, "ClusterReady")
    assert (ready.reason, decision.actions) == ("ClusterWatched", ())
    assert "'Manage'" in ready.message
