"""What the demo checks and says by itself: the published files, what to try next, and an end in good order."""

import hashlib
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunesmith_demo.cli import ended_in_good_order, what_to_try
from tunesmith_demo.picture import Picture, PodLine, Progress
from tunesmith_demo.promises import BrokenPromiseError, Witness
from tunesmith_demo.story import ADAPTER, check_ranks, published


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


@pytest.mark.parametrize("result", [{"worldSize": 1}, {}])
def test_an_adapter_that_one_rank_made_breaks_the_promise(result):
    check_ranks({"worldSize": 2})
    with pytest.raises(BrokenPromiseError, match="2 ranks should have trained together"):
        check_ranks(result)


def two_pods(nodes=("gpu-0", "gpu-1"), phase="Running", attempt="a1"):
    names = (f"demo-demo-74ba794f-{attempt}-{index}-ps45v" for index in (0, 1))
    return tuple(PodLine(name, node, phase) for name, node in zip(names, nodes, strict=True))


def a_look(*, step=1, tokens_per_second="812", pods=None, dollars="0.02", dollars_per_hour="64.06"):
    progress = Progress(step=step, total=9, tokens_per_second=tokens_per_second)
    pods = two_pods() if pods is None else pods
    return Picture(progress=progress, pods=pods, dollars=dollars, dollars_per_hour=dollars_per_hour)


def test_a_training_of_which_everything_was_seen_at_some_time_keeps_its_promises():
    witness = Witness()
    for look in (Picture(), a_look(step=1), a_look(step=2, pods=()), a_look(step=2, tokens_per_second=None)):
        witness.look(look)
    witness.testify(steps=2)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"pods": ()}, "on 2 nodes at once; they ran on none"),
        ({"pods": two_pods(nodes=("gpu-0", "gpu-0"))}, "on 2 nodes at once; they ran on gpu-0"),
        ({"pods": two_pods(phase="Pending")}, "they ran on none"),
        ({"pods": two_pods(attempt="p1")}, "they ran on none"),
        ({"step": 0}, "only steps .. were"),
        ({"tokens_per_second": None}, "tokens"),
        ({"tokens_per_second": "0"}, "tokens"),
        ({"dollars_per_hour": "0.00"}, "what an hour costs"),
        ({"dollars": "0.00"}, "spent so far"),
    ],
)
def test_what_was_never_seen_of_a_training_breaks_the_promise(missing, words):
    witness = Witness()
    witness.look(a_look(**missing))
    with pytest.raises(BrokenPromiseError, match=words):
        witness.testify(steps=1)


def test_pods_that_ran_one_after_the_other_break_the_promise():
    witness = Witness()
    for pod in two_pods():
        witness.look(a_look(pods=(pod,)))
    with pytest.raises(BrokenPromiseError, match="at once"):
        witness.testify(steps=1)


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
