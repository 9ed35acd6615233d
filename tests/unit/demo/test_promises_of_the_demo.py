"""What the demo checks and says by itself: the published files, what to try next, and an end in good order."""

import hashlib
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunesmith_demo.cli import ended_in_good_order, what_to_try
from tunesmith_demo.promises import BrokenPromiseError
from tunesmith_demo.story import ADAPTER, published


def a_result(volume: Path, files=((ADAPTER, b"weights"),)):
    """A published directory on the volume; what the job's status says of it."""
    place = volume / "adapters" / "uid-a1"
    place.mkdir(parents=True)
    said = {}
    for name, content in files:
        (place / name).write_bytes(content)
        said[name] = {"sha256": hashlib.sha256(content).hexdigest(), "sizeBytes": len(content)}
    text = json.dumps({"files": said, "evaluationLoss": {"before": 2, "after": 1}})
    (place / "result.json").write_text(text)
    return {"path": "adapters/uid-a1", "sha256": hashlib.sha256(text.encode()).hexdigest()}


def test_what_was_published_is_read_and_compared_with_what_the_job_tells(tmp_path):
    assert published(tmp_path, a_result(tmp_path))["evaluationLoss"] == {"before": 2, "after": 1}


@pytest.mark.parametrize(
    ("output", "words"),
    [({"sha256": "0" * 64}, "whose hash the job tells"), ({"path": "adapters/nowhere"}, "whose hash the job tells")],
)
def test_a_result_that_the_job_does_not_speak_of_breaks_the_promise(tmp_path, output, words):
    told = {**a_result(tmp_path), **output}
    with pytest.raises(BrokenPromiseError, match=words):
        published(tmp_path, told)


def test_an_adapter_that_is_not_what_was_published_breaks_the_promise(tmp_path):
    told = a_result(tmp_path)
    (tmp_path / told["path"] / ADAPTER).write_bytes(b"other")
    with pytest.raises(BrokenPromiseError, match=ADAPTER):
        published(tmp_path, told)


def test_a_result_without_an_adapter_breaks_the_promise(tmp_path):
    with pytest.raises(BrokenPromiseError, match="no adapter"):
        published(tmp_path, a_result(tmp_path, [("README.md", b"-")]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_demo_as_an_error_would_and_a_second_one_does_not_disturb_the_end(number):
    before = signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup
    ended = []
    try:
        with pytest.raises(SystemExit) as raised, ended_in_good_order():
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)
                ended.append("all of it")
        assert (raised.value.code, ended) == (128 + number, ["all of it"])
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_under_nohup_the_terminal_may_close():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_in_good_order():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def a_stage(kubectl: Path):
    return SimpleNamespace(
        cluster=SimpleNamespace(kubeconfig="/run/admin"),
        tools=SimpleNamespace(kubectl=kubectl),
        directory=Path("/run/demo"),
        provider_url="http://127.0.0.1:1",
    )


@pytest.mark.parametrize("on_path", [True, False])
def test_what_to_try_works_on_a_machine_without_kubectl(tmp_path, monkeypatch, on_path):
    kubectl = tmp_path / "kubectl"
    kubectl.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if on_path else "/nowhere")
    said = what_to_try(a_stage(kubectl), {"demo": "bought.kubeconfig"})
    assert (f"export PATH={tmp_path}:$PATH" in said) is not on_path
    assert "kubectl get gpuc,ftj,shvol -n demo -o wide" in said
    assert said.rstrip().endswith("tunesmith-demo down --directory /run/demo")
