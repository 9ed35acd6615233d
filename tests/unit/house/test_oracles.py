"""What the end-to-end tests hold against a whole session is seen where it stands."""

from types import SimpleNamespace

import pytest
from tests.e2e.audit import OPERATOR, AuditLog
from tests.e2e.oracles import KEY, OTHER_KEY, broken


def a_resource(**conditions):
    told = [{"type": kind, "status": status} for kind, status in conditions.items()]
    metadata = {"name": "train", "generation": 1}
    return {"metadata": metadata, "status": {"observedGeneration": 1, "conditions": told}}


READY = a_resource(Ready="True", Reconciling="False", Stalled="False")


def a_world(directory, *, seen=None, log="", metrics="", code=200):
    """What a session leaves: versions by kind, the operator's log and metrics, the answer to its one request."""
    versions, written, audit = seen or {}, directory / "0.log", directory / "audit.log"
    written.write_text(log)
    audit.write_text(
        '{"stage": "ResponseComplete", "requestReceivedTimestamp": "2026-01-01T12:00:00Z", "verb": "list", '
        f'"user": {{"username": "{OPERATOR}"}}, "responseStatus": {{"code": {code}}}}}\n'
    )
    return SimpleNamespace(
        audit=AuditLog(audit),
        recorder=SimpleNamespace(versions=lambda kind: versions.get(kind, [])),
        operator_logs=lambda: [written],
        metrics=lambda: metrics,
    )


def test_a_session_in_which_all_was_well_breaks_nothing(tmp_path):
    assert broken(a_world(tmp_path, seen={"GPUCluster": [READY]}, log="bought", metrics="up 1")) == []


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({"code": 403}, "forbidden: 12:00:00"),
        ({"seen": {"FineTuneJob": [a_resource(Ready="True", Stalled="True")]}}, "FineTuneJob train: Failed, meant"),
        ({"log": f"asked with {KEY}"}, "an API key stands in the log"),
        ({"metrics": f'key="{OTHER_KEY}"'}, "an API key stands in /metrics"),
        ({"seen": {"Event": [{"message": KEY}]}}, "an API key stands in Event"),
        ({"seen": {"GPURegion": [{"status": {"x": OTHER_KEY}}]}}, "an API key stands in GPURegion"),
    ],
)
def test_what_may_never_be_seen_is_seen(tmp_path, left, words):
    (told,) = broken(a_world(tmp_path, **left))
    assert words in told
