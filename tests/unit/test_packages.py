"""The packages of the tree agree on one version."""

import tunesmith
import tunesmith_demo
import tunesmith_devcluster
import tunesmith_simulator
import tunesmith_trainer


def test_all_packages_carry_the_same_version():
    others = (tunesmith_demo, tunesmith_devcluster, tunesmith_simulator, tunesmith_trainer)
    assert {package.__version__ for package in others} == {tunesmith.__version__}
