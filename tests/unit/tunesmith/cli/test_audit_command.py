"""`tunesmith audit`: what was done at the provider, told to whoever has to answer for it."""

import json

import pytest
from click.testing import CliRunner

from tunesmith.cli.main import main


def line(write, event, time, **parts):
    return json.dumps({"kind": "request", "write": write, "event": event, "time": time, **parts})


def of(name):
    return {"resource": {"kind": "GPUCluster", "namespace": "ml", "name": name, "uid": f"uid-{name}"}}


LOG = "\n".join(
    [
        '{"level": "INFO", "message": "Serving."}',
        line("w1", "begun", "2026-05-01T12:00:00Z", verb="create", object="cluster", name="ts-a", **of("train")),
        line("w1", "ended", "2026-05-01T12:00:01Z", verb="create", object="cluster", id="c-1", outcome="ok")[:-1]
        + ', "usdPerHour": "23.92", "intent": "nonce-1", "resource": {"namespace": "ml", "name": "train"}}',
        line("w2", "begun", "2026-05-02T12:00:00Z", verb="delete", object="cluster", id="c-2", **of("other")),
    ]
)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_text(LOG)
    return str(path)


def told(*arguments, **parts):
    done = CliRunner().invoke(main, ["audit", *arguments], **parts)
    assert done.exit_code == 0, done.output
    return done.output


def ids(*arguments):
    return [write["id"] for write in json.loads(told(*arguments, "-o", "json"))]


def test_the_table_shows_who_did_what_and_how_it_ended(log):
    text = " ".join(told(log, env={"COLUMNS": "200"}).split())
    for part in ("ml/train", "create cluster", "c-1", "nonce-1", "ok", "23.92", "NotKnown"):
        assert part in text


def test_writes_are_chosen_by_resource_and_time(log):
    assert ids(log) == ["c-1", "c-2"]
    assert ids(log, "--resource", "ml/train") == ["c-1"]
    assert ids(log, "--since", "2026-05-02") == ["c-2"]
    assert ids(log, "--until", "2026-05-02T00:00:00Z") == ["c-1"]
    assert ids(log, "--since", "1m") == []
    assert ids(log, "--open") == ["c-2"]


def test_the_whole_output_of_the_operator_may_be_fed_in():
    assert [write["outcome"] for write in json.loads(told("-", "-o", "json", input=LOG))] == ["ok", "NotKnown"]


def test_the_prefixes_of_a_container_log_are_no_hindrance():
    log = "\n".join(f"2026-05-01T12:00:00.000000000Z stdout F {line}" for line in LOG.splitlines())
    assert [write["outcome"] for write in json.loads(told("-", "-o", "json", input=log))] == ["ok", "NotKnown"]


def test_the_path_of_the_installation_is_the_default(log):
    assert json.loads(told("-o", "json", env={"TUNESMITH_AUDIT_PATH": log}))


def test_a_time_that_is_none_is_refused_with_an_example(log):
    done = CliRunner().invoke(main, ["audit", log, "--since", "yesterday"])
    assert done.exit_code == 2
    assert "90m" in done.output
