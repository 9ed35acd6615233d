"""Going on: from a checkpoint of the same job to the last bit, and from what an earlier job came to."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.trainer.architectures import make
from tests.unit.trainer.looping import (
    DPO,
    FULL,
    LN_DPO,
    LORA,
    SIMPO,
    a_configuration,
    a_loop,
    some_pairs,
    train,
)
from tests.unit.trainer.test_stored_numbers import in_fp8, in_mxfp4

from tunesmith_trainer.continuing import ensure_fits
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fingerprint import fingerprint
from tunesmith_trainer.testing import tiny_model

SFT = {"type": "SFT"}
DROPOUT = {**LORA, "dropout": 0.2}


@pytest.mark.parametrize(
    ("method", "tuning"),
    [
        pytest.param(SFT, DROPOUT, marks=pytest.mark.prove),
        (SFT, FULL),
        (DPO, DROPOUT),
        pytest.param(DPO, FULL, marks=pytest.mark.prove),
        pytest.param(SIMPO, DROPOUT, marks=pytest.mark.prove),
        pytest.param(LN_DPO, FULL, marks=pytest.mark.prove),
    ],
    ids=["SFT LoRA", "SFT full", "DPO LoRA", "DPO full", "SimPO LoRA", "LN-DPO full"],
)
def test_a_loop_that_was_stopped_goes_on_bit_by_bit(model_path, tmp_path, method, tuning):
    configuration = a_configuration(
        model_path, tmp_path, method=method, tuning=tuning, precision="AMP", learningRate=0.002, warmupRatio=0.2
    )
    whole = train(configuration, tmp_path / "whole", steps=6)
    begun = train(configuration, tmp_path / "parts", steps=6, stop_at=3)
    gone_on = train(
        configuration, tmp_path / "parts", steps=6, resumed_from=tmp_path / "parts/checkpoints/checkpoint-3"
    )
    assert begun.losses + gone_on.losses == whole.losses
    assert all(torch.equal(weight, gone_on.weights()[name]) for name, weight in whole.weights().items())


PROVEN = {"MixtralForCausalLM": None, "DeepseekV3ForCausalLM": None}
QUANTISED = {"LlamaForCausalLM": in_fp8, "GptOssForCausalLM": in_mxfp4}


@pytest.mark.parametrize(
    ("architecture", "quantise"),
    [
        ("Qwen3MoeForCausalLM", None),
        *(pytest.param(*pair, marks=pytest.mark.prove) for pair in (PROVEN | QUANTISED).items()),
    ],
)
def test_a_whole_model_goes_on_bit_by_bit_whatever_its_files_call_its_weights(
    model_path, tmp_path, architecture, quantise
):
    model = make(architecture, tmp_path / "model", model_path)
    if quantise is not None:
        quantise(model)
    configuration = a_configuration(model, tmp_path, tuning=FULL, learningRate=0.005)
    whole = train(configuration, tmp_path / "whole", steps=3)
    train(configuration, tmp_path / "parts", steps=3, stop_at=2)
    gone_on = train(
        configuration, tmp_path / "parts", steps=3, resumed_from=tmp_path / "parts/checkpoints/checkpoint-2"
    )
    assert gone_on.losses == whole.losses[2:]
    assert all(torch.equal(weight, gone_on.weights()[name]) for name, weight in whole.weights().items())


@pytest.fixture(scope="module")
def earlier(model_path, tmp_path_factory):
    """A checkpoint of preference training with an adapter, as the library saves it."""
    place = tmp_path_factory.mktemp("earlier")
    trained = train(a_configuration(model_path, place, method=DPO, learningRate=0.02), place, steps=4, stop_at=3)
    return place / "checkpoints" / "checkpoint-3", trained


def copy_of(checkpoint, tmp_path, **changes):
    """A copy under a name of its own, with its adapter's description changed."""
    path = Path(shutil.copytree(checkpoint, tmp_path / "adapter"))
    described = json.loads((path / "adapter_config.json").read_text()) | changes
    (path / "adapter_config.json").write_text(json.dumps(described))
    return path


def test_an_adapter_is_continued_and_its_frozen_copy_is_the_reference(model_path, tmp_path, earlier):
    path = copy_of(earlier[0], tmp_path)
    configuration = a_configuration(model_path, tmp_path, method=DPO, continue_from=path, learningRate=0.01)
    ensure_fits(configuration)
    pairs = some_pairs(4)
    trained = train(configuration, tmp_path, steps=4, rows=pairs, held_out=pairs)
    assert trained.listener.evaluations[0] == pytest.approx(0.693147, abs=1e-5)  # policy and reference are one
    assert trained.listener.evaluations[-1] < 0.69
    began = load_file(path / "adapter_model.safetensors")
    parameters = dict(trained.loop.model.named_parameters())
    for name, tensor in began.items():
        copied = parameters[name.replace(".weight", ".ref.weight")]
        assert torch.equal(copied, tensor)
        assert not copied.requires_grad
    moved = [
        name for name in began if not torch.equal(parameters[name.replace(".weight", ".default.weight")], began[name])
    ]
    assert moved


def test_after_a_resume_the_reference_is_still_what_the_job_began_with(model_path, tmp_path, earlier):
    path = copy_of(earlier[0], tmp_path)
    configuration = a_configuration(model_path, tmp_path, method=DPO, continue_from=path, learningRate=0.01)
    whole = train(configuration, tmp_path / "whole", steps=5)
    begun = train(configuration, tmp_path / "parts", steps=5, stop_at=2)
    checkpoint = tmp_path / "parts/checkpoints/checkpoint-2"
    assert not (checkpoint / "ref").exists()
    gone_on = train(configuration, tmp_path / "parts", steps=5, resumed_from=checkpoint)
    assert begun.losses + gone_on.losses == whole.losses


def test_a_fresh_adapter_needs_no_copy_for_its_reference(model_path, tmp_path):
    made = a_loop(a_configuration(model_path, tmp_path, method=DPO), tmp_path)
    assert list(made.loop.model.peft_config) == ["default"]


@pytest.mark.prove
def test_a_whole_model_is_continued(model_path, tmp_path):
    first = train(a_configuration(model_path, tmp_path, tuning=FULL, learningRate=0.01), tmp_path, steps=3, stop_at=3)
    path = Path(shutil.copytree(tmp_path / "checkpoints/checkpoint-3", tmp_path / "result"))
    configuration = a_configuration(model_path, tmp_path, tuning=FULL, method=DPO, continue_from=path)
    ensure_fits(configuration)
    made = a_loop(configuration, tmp_path / "second")
    for model in (made.loop.model, made.loop.ref_model):
        ours = dict(model.named_parameters())
        assert all(torch.equal(weight, ours[name]) for name, weight in first.weights().items())


@pytest.mark.parametrize(
    ("changes", "tuning", "why"),
    [
        ({}, {**LORA, "rank": 8}, "has r 4, the job's has 8"),
        ({}, {**LORA, "alpha": 16}, "has lora_alpha 8, the job's has 16"),
        ({"use_dora": True}, LORA, "use_dora"),
        ({}, FULL, "it is an adapter"),
    ],
)
def test_an_adapter_that_was_made_otherwise_is_refused(model_path, tmp_path, earlier, changes, tuning, why):
    path = copy_of(earlier[0], tmp_path, **changes)
    with pytest.raises(TrainerError, match=why) as refused:
        ensure_fits(a_configuration(model_path, tmp_path, tuning=tuning, continue_from=path))
    assert refused.value.error_class is ErrorClass.MODEL


def test_an_adapter_of_another_base_is_refused(tmp_path, earlier):
    other = tiny_model(tmp_path / "other", initializer_range=0.05)
    path = copy_of(earlier[0], tmp_path)
    with pytest.raises(TrainerError, match="trained on another base model"):
        ensure_fits(a_configuration(other, tmp_path, continue_from=path))


def test_an_adapter_of_other_shapes_is_refused_by_the_first_that_differs(model_path, tmp_path, earlier):
    path = copy_of(earlier[0], tmp_path, base_model_name_or_path="org/unknown")
    tensors = load_file(path / "adapter_model.safetensors")
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, path / "adapter_model.safetensors")
    with pytest.raises(TrainerError, match="is missing there and"):
        a_loop(a_configuration(model_path, tmp_path, continue_from=path), tmp_path)


def test_a_checkpoint_that_was_not_finished_is_refused(model_path, tmp_path, earlier):
    with pytest.raises(TrainerError, match="was not finished"):
        ensure_fits(a_configuration(model_path, tmp_path, continue_from=earlier[0]))


def test_a_path_without_anything_is_refused(model_path, tmp_path):
    with pytest.raises(TrainerError, match="no directory on the job's storage"):
        ensure_fits(a_configuration(model_path, tmp_path, continue_from=tmp_path / "nothing"))


def test_sister_models_have_other_fingerprints_and_copies_the_same(model_path, tmp_path):
    copy = Path(shutil.copytree(model_path, tmp_path / "copy"))
    sister = tiny_model(tmp_path / "sister", initializer_range=0.03)
    assert fingerprint(copy) == fingerprint(model_path) != fingerprint(sister)
