"""What moves and in which precision, read from the optimizer and the log of real loops."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tests.unit.trainer.looping import DPO, FULL, LORA, QLORA, a_configuration, some_examples, train

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import TrainerError
from tunesmith_trainer.model import trained_parameters
from tunesmith_trainer.testing import merged, tiny_configuration

SFT = {"type": "SFT"}
# One method in `make test`, the other as a proof: the code is shared, the loops are not.
METHODS = pytest.mark.parametrize("method", [SFT, pytest.param(DPO, marks=pytest.mark.prove)], ids=["SFT", "DPO"])
METHODS_PREFERENCE_FIRST = pytest.mark.parametrize(
    "method", [pytest.param(SFT, marks=pytest.mark.prove), DPO], ids=["SFT", "DPO"]
)
ONE_PASS = {"microBatch": 4, "gradientAccumulation": 1, "globalBatch": 4}


def dtypes(model, *, moving):
    """The floating precisions of what moves, or of what does not."""
    return {p.dtype for p in model.parameters() if p.requires_grad is moving and p.is_floating_point()}


@METHODS_PREFERENCE_FIRST
@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["LoRA", "Full"])
@pytest.mark.parametrize(
    ("precision", "moving", "frozen"),
    [
        ("AMP", torch.float32, torch.bfloat16),
        pytest.param("BF16", torch.bfloat16, torch.bfloat16, marks=pytest.mark.prove),
        pytest.param("FP32", torch.float32, torch.float32, marks=pytest.mark.prove),
    ],
)
def test_every_precision_holds_what_moves_and_what_does_not_as_it_says(
    model_path, tmp_path, method, tuning, precision, moving, frozen
):
    configuration = a_configuration(
        model_path, tmp_path, method=method, tuning=tuning, precision=precision, **ONE_PASS, learningRate=0.001
    )
    trained = train(configuration, tmp_path, steps=1)
    model = trained.loop.model
    assert dtypes(model, moving=True) == {moving}
    assert dtypes(model, moving=False) == ({frozen} if tuning is LORA else set())
    states = [s for s in trained.loop.optimizer.state.values() if "exp_avg" in s]
    assert {state["exp_avg"].dtype for state in states} == {moving}
    reference = getattr(trained.loop, "ref_model", None)
    assert (reference is not None) == (tuning is FULL and method is DPO)
    if reference is not None:
        assert {p.dtype for p in reference.parameters()} == {frozen}
    assert math.isfinite(trained.losses[0])


@METHODS_PREFERENCE_FIRST
def test_a_four_bit_base_trains_with_adapters_in_the_precision_asked_for(model_path, tmp_path, method):
    configuration = a_configuration(
        model_path, tmp_path, method=method, tuning=QLORA, precision="AMP", learningRate=0.01, **ONE_PASS
    )
    trained = train(configuration, tmp_path, steps=4)
    model = trained.loop.model
    four_bit = [p for p in model.parameters() if p.dtype is torch.uint8]
    assert len(four_bit) == 14
    assert sum(p.numel() for p in four_bit) * 2 == 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
    assert dtypes(model, moving=True) == {torch.float32}
    assert dtypes(model, moving=False) == {torch.bfloat16}
    assert any(bool(w.any()) for name, w in trained.weights().items() if "lora_B" in name)
    assert configuration.tuning.title == "QLoRA"


@METHODS_PREFERENCE_FIRST
def test_rates_follow_the_schedule_and_its_warm_up(model_path, tmp_path, method):
    configuration = a_configuration(
        model_path, tmp_path, method=method, learningRate=0.01, warmupRatio=0.25,
        scheduler={"type": "Cosine", "cycles": 1.0, "minRatio": 0.1}, **ONE_PASS,
    )  # fmt: skip
    trained = train(configuration, tmp_path, steps=8)
    wave = [0.1 + 0.9 * 0.5 * (1 + math.cos(2 * math.pi * step / 6)) for step in range(6)]
    assert trained.listener.rates == pytest.approx([0, 0.005, *(0.01 * height for height in wave)])
    assert [logs["learning_rate"] for logs in trained.listener.logs] == pytest.approx(trained.listener.rates)


@METHODS
def test_weights_decay_but_biases_and_norms_do_not(model_path, tmp_path, method):
    configuration = a_configuration(model_path, tmp_path, method=method, tuning=FULL, weightDecay=0.3, **ONE_PASS)
    trained = train(configuration, tmp_path, steps=1)
    named = {parameter: name for name, parameter in trained.loop.model.named_parameters()}
    decayed, spared = ([], [])
    for group in trained.loop.optimizer.param_groups:
        (decayed if group["weight_decay"] == 0.3 else spared).extend(named[p] for p in group["params"])
    assert spared
    assert all("norm" in name for name in spared)
    assert decayed
    assert not any("norm" in name for name in decayed)


@METHODS_PREFERENCE_FIRST
@pytest.mark.parametrize(("most", "cut"), [(0, False), (1e-4, True)], ids=["off", "on"])
def test_gradients_are_cut_at_the_norm_and_zero_is_off(model_path, tmp_path, method, most, cut):
    configuration = a_configuration(model_path, tmp_path, method=method, maxGradNorm=most, **ONE_PASS)
    trained = train(configuration, tmp_path, steps=1)
    norms = trained.listener.gradient_norms
    assert (norms[0] <= 1.01e-4) is cut
    assert trained.listener.logs[0]["grad_norm"] > 1.01e-4  # what is told is the norm before the cut


@pytest.mark.prove  # the bit-equal resumes would not hold without it
@pytest.mark.parametrize("method", [SFT, DPO], ids=["SFT", "DPO"])
def test_the_seed_decides_everything_random(model_path, tmp_path, method):
    tuning = {**LORA, "dropout": 0.1}
    one, same, other = (
        train(a_configuration(model_path, tmp_path, method=method, tuning=tuning, seed=seed), tmp_path, steps=3)
        for seed in (7, 7, 8)
    )
    assert one.losses == same.losses
    assert all(torch.equal(weight, same.weights()[name]) for name, weight in one.weights().items())
    assert one.losses != other.losses


def test_dropout_is_the_adapters_alone_in_preference_training(model_path, tmp_path):
    configuration = a_configuration(model_path, tmp_path, method=DPO, tuning={**LORA, "dropout": 0.25}, **ONE_PASS)
    trained = train(configuration, tmp_path, steps=1)
    rates = {name: m.p for name, m in trained.loop.model.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert {rate for name, rate in rates.items() if "lora_dropout.default" in name} == {0.25}
    assert {rate for name, rate in rates.items() if "lora_dropout.default" not in name} <= {0.0}


def test_numbers_that_move_are_counted(model_path, tmp_path):
    trained = train(a_configuration(model_path, tmp_path, **ONE_PASS), tmp_path, steps=1, rows=some_examples(4))
    assert trained_parameters(trained.loop.model) == 2 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"method": {"type": "DPO", "dpo": {"simpoGamma": 1}}}, "simpoGamma needs referenceFree"),
        (
            {"method": {"type": "DPO", "dpo": {"simpoGamma": 1, "rpoAlpha": 1, "referenceFree": True,
                                               "normalizeLogratiosByLength": True}}},
            "two methods",
        ),
        ({"method": {"type": "DPO", "dpo": {"beta": 0}}}, "greater than 0"),
        ({"method": {"type": "DPO", "dpo": {"rpoAlpha": -1}}}, "greater than or equal to 0"),
        ({"method": {"type": "SFT", "dpo": {}}}, "Extra inputs"),
        ({"method": DPO, "data": {"trainOnInputs": "Always"}}, "trainOnInputs is for SFT"),
        ({"method": DPO, "training": {"packing": True}}, "packing is for SFT"),
        ({"tuning": {"type": "Full"}, "output": {"mergeModel": True}}, "needs an adapter"),
        ({"tuning": QLORA, "world": {"pods": 2, "sharding": "FSDP2"}, "training": {"globalBatch": 8}}, "be sharded"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(changes, why):
    document = tiny_configuration(Path("/storage")) | {
        key: changes[key] for key in changes.keys() & {"method", "tuning"}
    }
    document = merged(document, {key: value for key, value in changes.items() if key not in ("method", "tuning")})
    with pytest.raises(ValidationError, match=why):
        Configuration.model_validate(document)


def test_an_image_without_the_package_for_four_bits_says_so(model_path, tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith_trainer.model.find_spec", lambda _: None)
    with pytest.raises(TrainerError, match="extra 'qlora'"):
        train(a_configuration(model_path, tmp_path, tuning=QLORA), tmp_path, steps=1)
