"""One real cluster for all integration tests of a run: a control plane and two process nodes."""

from collections.abc import Iterator

import pytest

from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.nodes.spec import NodeSpec


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster with nodes `gpu-1` and `gpu-2` of 8 GPUs each. Leave them Ready; take your own namespace."""
    specs = [NodeSpec("gpu-1"), NodeSpec("gpu-2")]
    shared = Cluster.create(tmp_path_factory.mktemp("shared-cluster"), name="tests", nodes=specs, say=print)
    yield shared
    shared.stop()
