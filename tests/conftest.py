"""Which tests share a process when two run at once: those that share a control plane, so that each starts one only."""

import re

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says nothing where machines are shared.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=(hypothesis.HealthCheck.too_slow,))
hypothesis.settings.load_profile("house")

SHARING = re.compile(r"tests/(e2e/(test_demo\.py)?|integration/\w+/|chart/)")
"""What shares things that take seconds to start: a folder's tests, but for the demo's, which bring up all they need."""


class ByWhatIsShared(LoadScopeScheduling):
    """Gives what shares something to one process as a whole, the largest first, and other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        shared = SHARING.match(nodeid)
        return nodeid if shared is None else shared.group()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByWhatIsShared:
    return ByWhatIsShared(config, log)
