"""What holds for every unit test: no API key is ever in a log line or a traceback."""

import logging

import pytest
from tests.unit.canary import KEY

KEYS = (KEY, "simulated-key-")  # the second begins every key of the simulator's accounts


class Listener(logging.Handler):
    """Hears every log line as it would be printed by anybody, with its traceback and without any redaction."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.leaks = []

    def emit(self, record):
        shown = self.format(record) + repr({key: record.__dict__[key] for key in record.__dict__ if key != "args"})
        if any(key in shown for key in KEYS):
            self.leaks.append(f"{record.name}:{record.lineno}")


@pytest.fixture(scope="session")
def _listener():
    """One for the whole run. The HTTP clients' own lines are off in the operator too."""
    listener = Listener()
    logging.getLogger().addHandler(listener)
    yield listener
    logging.getLogger().removeHandler(listener)


@pytest.fixture(autouse=True)
def _no_key_in_any_log(_listener):
    """Blames the test in which it was heard."""
    yield
    leaks, _listener.leaks = _listener.leaks, []
    assert not leaks, f"the API key was logged by {leaks}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Nor is it in the traceback of a test that fails."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and KEY in str(report.longrepr):
        report.longrepr = "the traceback of this test shows the API key"
