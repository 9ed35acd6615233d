"""Which tests share a process when two run at once: those that share a control plane, so that each starts one only."""

from pathlib import Path

import hypothesis
import pytest

# How long an example takes says nothing where machines are shared.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=(hypothesis.HealthCheck.too_slow,))
hypothesis.settings.load_profile("house")

HERE = Path(__file__).parent
SHARING = ("e2e", "integration", "chart")  # folders whose tests share what takes seconds to start


def pytest_itemcollected(item: pytest.Item) -> None:
    folder = item.path.relative_to(HERE).parts[0]
    if folder in SHARING:
        item.add_marker(pytest.mark.xdist_group(folder))
