"""One control plane for all proofs; each has a provider and an operator of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.proof.stage import ManagementCluster, Provider


@pytest.fixture(scope="package")
def management(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagementCluster]:
    """The cluster that the operator works in. Leave no resources of ours behind."""
    with ManagementCluster(tmp_path_factory.mktemp("proofs") / "cluster") as running:
        yield running


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """A provider that sells, with nothing behind it, fifty times as fast as the scenario says."""
    with Provider(tmp_path / "provider", speed=50) as running:
        yield running
