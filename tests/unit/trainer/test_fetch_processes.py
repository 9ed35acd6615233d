"""Fetching by real processes: killed at any byte, two at once, asked to stop, and what they say of their secrets."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.trainer.fetch_builders import a_hub_dataset, an_object, web_file

from tunesmith_trainer.testing import tiny_preparation
from tunesmith_trainer.testing_sources import Fault, Repository, ServedFiles, ServedHub
from tunesmith_trainer.testing_store import ServedStore

ROOT = Path(__file__).parents[3]
ROWS = random.Random(7).randbytes(12_000_000)
SHA256 = hashlib.sha256(ROWS).hexdigest()
DRIVER = """
import sys
from pathlib import Path
from tests.unit.trainer.fetch_builders import fetched, web_file
parts = fetched(Path(sys.argv[1]), training=web_file(sys.argv[2], sys.argv[3]))
print(parts.datasets["training"].path)
"""


@pytest.fixture
def web():
    with ServedFiles({"/rows": ROWS}) as served:
        served.faults.of = [Fault("rows", "slow")]
        yield served


def a_fetch(root, web):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(root), f"{web.url}/rows", SHA256],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def partial_size(root):
    found = [path.stat().st_size for path in root.rglob("*.partial") if path.is_file()]
    return found[0] if found else 0


def kill_after(child, root, size):
    while child.poll() is None and partial_size(root) < size:
        time.sleep(0.002)
    child.kill()
    child.communicate()


def killed_and_resumed(root, web, kills, seed):
    chance = random.Random(seed)
    for size in sorted(chance.randrange(1, len(ROWS) - 1_500_000) for _ in range(kills)):
        kill_after(a_fetch(root, web), root, size)
    last = a_fetch(root, web)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert hashlib.sha256(Path(out.strip()).read_bytes()).hexdigest() == SHA256
    return [request.headers.get("range") for request in web.asked]


def test_killed_at_random_bytes_it_goes_on_from_there(tmp_path, web):
    asked = killed_and_resumed(tmp_path, web, kills=2, seed=1)
    assert asked[0] is None
    assert any(asked[1:])


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_many_random_bytes_it_goes_on_from_there(tmp_path, web, seed):
    killed_and_resumed(tmp_path, web, kills=5, seed=seed)


def test_two_at_once_fetch_once(tmp_path, web):
    both = [a_fetch(tmp_path, web) for _ in range(2)]
    outs = {child.communicate(timeout=120)[0] for child in both}
    assert [child.returncode for child in both] == [0, 0]
    assert len(outs) == 1
    assert len(web.asked) == 1


@contextmanager
def the_command(tmp_path, command, *, secrets=None, **changes):
    root = tmp_path / "storage"
    root.mkdir(exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps(tiny_preparation(root, **changes)))
    ending = tmp_path / "termination"
    child = subprocess.Popen(
        [sys.executable, "-m", "tunesmith_trainer", command, str(tmp_path / "config.json")],
        env={**os.environ, "TUNESMITH_TERMINATION_LOG": str(ending), **(secrets or {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield child, ending
    finally:
        child.kill()
        child.wait()


def fetching(training):
    return {"data": {"training": None}, "fetch": {"datasets": {"training": training}}}


def test_asked_to_stop_the_command_ends_as_preempted_and_the_next_goes_on(tmp_path, web):
    source = fetching(web_file(f"{web.url}/rows", SHA256))
    with the_command(tmp_path, "fetch", **source) as (child, ending):
        while partial_size(tmp_path) < 1_000_000:
            time.sleep(0.002)
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 75
        assert json.loads(ending.read_text())["errorClass"] == "Preempted"
        assert '"stage":"Fetching"' in out
    with the_command(tmp_path, "fetch", **source) as (child, ending):
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        line = json.loads([line for line in out.splitlines() if "bytesTotal" in line][-1])
        assert (line["tunesmith"], line["stage"]) == ("progress/v1", "Fetching")
    assert web.asked[-1].headers["range"].startswith("bytes=")
    assert "training: " in json.loads(ending.read_text())["message"]


@pytest.mark.parametrize("source", ["hub", "store", "web"])
def test_no_secret_is_said_whatever_goes_wrong(tmp_path, source):
    token, key, signature = "hf_" + "very-secret" * 2, "also-very-secret", "signed-very-secret"
    secrets = {
        "TUNESMITH_TRAINING_TOKEN": token,
        "TUNESMITH_TRAINING_ACCESS_KEY_ID": "id",
        "TUNESMITH_TRAINING_SECRET_ACCESS_KEY": key,
    }
    hub = ServedHub({"datasets/o/d": Repository({"train.jsonl": b"{}"}, token="another")})
    with hub, ServedStore("id", "another") as store, ServedFiles({}) as web:
        wanted = {
            "hub": a_hub_dataset("o/d", hub.url),
            "store": an_object(store.url, "rows"),
            "web": web_file(f"{web.url}/rows?X-Amz-Signature={signature}"),
        }[source]
        with the_command(tmp_path, "fetch", secrets=secrets, **fetching(wanted)) as (child, ending):
            out, err = child.communicate(timeout=60)
    assert child.returncode == (10 if source == "web" else 13)
    said = out + err + ending.read_text()
    assert "rows" in said or "o/d" in said
    assert not [secret for secret in (token, key, signature) if secret in said]
