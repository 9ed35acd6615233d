"""The one command that trains every method: on a tiny model here, on the real one of 135 M parameters in `prove`."""

import os
import re
import signal

import pytest
from tests.bench.trainer import methods

from tunesmith_trainer.testing import tiny_model


@pytest.fixture(autouse=True)
def process_as_before(monkeypatch):
    """The trainer's command owns its process: its variables and signal handlers are taken back."""
    before, handlers = (
        dict(os.environ),
        {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)},
    )
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def losses_told(said):
    """The first and the last loss of every method, as its own line tells them."""
    told = re.findall(r"^(\S+): (\d+\.\d+) -> (\d+\.\d+) in ", said, re.MULTILINE)
    return {name: (float(first), float(last)) for name, first, last in told}


def every_loss_fell(said):
    told = losses_told(said)
    return list(told) == list(methods.METHODS) and all(first > last for first, last in told.values())


def test_every_method_trains_a_tiny_model_from_file_to_result(tmp_path, capsys):
    model = tiny_model(tmp_path / "model", initializer_range=0.2)
    assert methods.main(["--model", str(model), "--steps", "3", "--learning-rate", "0.005"]) == 0
    assert every_loss_fell(capsys.readouterr().out)


def test_a_loss_that_does_not_fall_is_a_failure(tmp_path, capsys):
    model = tiny_model(tmp_path / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "METHODS", {"SFT": {"type": "SFT"}})
        patch.setattr(methods.Trained, "fell", property(lambda self: False))
        assert methods.main(["--model", str(model), "--steps", "2"]) == 1
    assert "The loss did not fall: SFT" in capsys.readouterr().out


@pytest.mark.prove
def test_every_method_trains_the_real_model(capsys):
    assert methods.main([]) == 0
    assert every_loss_fell(capsys.readouterr().out)
