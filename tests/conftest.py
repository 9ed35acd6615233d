"""Which tests share a process when two run at once: those that share a control plane, so that each starts one only."""

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says nothing where machines are shared.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=(hypothesis.HealthCheck.too_slow,))
hypothesis.settings.load_profile("house")

SHARING = ("tests/e2e/", "tests/integration/", "tests/chart/")  # folders whose tests share what takes seconds to start


class ByWhatIsShared(LoadScopeScheduling):
    """Gives a folder that shares something to one process as a whole, the largest first, and other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in SHARING if nodeid.startswith(folder)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByWhatIsShared:
    return ByWhatIsShared(config, log)
