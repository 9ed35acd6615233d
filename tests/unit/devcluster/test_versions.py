"""Which versions of which programs are taken."""

import pytest

from tunesmith_devcluster import versions
from tunesmith_devcluster.versions import Version


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Kubernetes v1.37.2", Version(1, 37, 2)),
        ("etcd Version: 3.7.3\nGit SHA: Not provided", Version(3, 7, 3)),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)", Version(0, 8, 0)),
        ("v4.3.1+g1234567", Version(4, 3, 1)),
        ("go1.26", Version(1, 26)),
        ("Kubernetes v1.37.0-alpha.1", Version(1, 37, 0)),
        ("command not found", None),
    ],
)
def test_a_version_is_read_out_of_what_a_program_says(said: str, version: Version | None):
    assert versions.parse(said) == version


def test_versions_compare_by_their_numbers():
    assert Version(1, 9) < Version(1, 33)
    assert Version(1, 33, 1) >= versions.OLDEST_KUBERNETES


@pytest.mark.parametrize(("kubectl", "suits"), [((1, 35), False), ((1, 36), True), ((1, 38), True), ((1, 39), False)])
def test_kubectl_may_be_one_minor_version_away_from_the_server(kubectl: tuple[int, int], suits: bool):
    assert versions.suits_server(Version(*kubectl), Version(1, 37, 2)) is suits


def test_a_program_that_cannot_be_run_has_no_version(tmp_path):
    assert versions.of_program(tmp_path / "nothing") is None
