"""The saved weights of a result: in the base's precision, merged on wish, and read again before they are believed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.unit.trainer.architectures import make
from tests.unit.trainer.looping import FULL, a_configuration, train
from tests.unit.trainer.test_stored_numbers import in_fp8, in_mxfp4
from transformers import AutoModelForCausalLM

from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.contract import Configuration, Result
from tunesmith_trainer.exit_codes import TrainerError
from tunesmith_trainer.model import adapted_modules, load_base, load_tokenizer, trained_parameters
from tunesmith_trainer.publishing import ADAPTER, forget_unpublished, publish
from tunesmith_trainer.testing import tiny_configuration
from tunesmith_trainer.weights import ensure_whole, numbers_of


def published(trained, checkpoint):
    """The result of a loop, published as an attempt does."""
    configuration, model = trained.configuration, trained.loop.model

    def describe(files, modules):
        said = {"rows": 1, "trained": 1, "tokens": 1}
        return Result.model_validate(
            {
                "attempt": 1, "configHash": configuration.config_hash(), "steps": 2, "totalSteps": 2, "epochs": 1,
                "firstLoss": 1, "finalLoss": 1, "tokens": 1, "training": said, "worldSize": 1, "device": "CPU",
                "tuning": configuration.tuning.title, "trainedParameters": trained_parameters(model),
                "adaptedModules": modules, "files": files, "versions": {}, "seconds": {},
                "finishedAt": "2026-01-01T00:00:00Z",
            }
        )  # fmt: skip

    return publish(
        configuration,
        Attempt(Path(configuration.storage.job_path), 1),
        checkpoint,
        model=model,
        tokenizer=load_tokenizer(Path(configuration.model.path)),
        describe=describe,
    )


def trained_and_published(model_path, place, **changes):
    configuration = a_configuration(model_path, place, **changes)
    trained = train(configuration, place, steps=2, stop_at=2)
    return trained, published(trained, place / "checkpoints" / "checkpoint-2")


def test_what_dead_attempts_were_putting_together_is_removed(tmp_path):
    configuration = Configuration.model_validate(tiny_configuration(tmp_path, attempt=3))
    for name in ("job-1-a1.tmp", "job-1-a3.tmp", "job-1-a2", "job-1-a4.tmp", "job-10-a1.tmp", "notes.tmp"):
        (tmp_path / "output" / name / "merged").mkdir(parents=True)
    forget_unpublished(configuration)
    left = {path.name for path in (tmp_path / "output").iterdir()}
    assert left == {"job-1-a2", "job-1-a4.tmp", "job-10-a1.tmp", "notes.tmp"}


@pytest.fixture(scope="module")
def adapter(model_path, tmp_path_factory):
    """A loop that has trained an adapter, and its checkpoint."""
    place = tmp_path_factory.mktemp("adapter")
    trained = train(a_configuration(model_path, place, learningRate=0.01), place, steps=2, stop_at=2)
    return trained, place / "checkpoints" / "checkpoint-2"


def answers(model):
    return model(input_ids=torch.arange(8)[None], use_cache=False).logits.detach()


def opened(path):
    return AutoModelForCausalLM.from_pretrained(str(path), dtype=torch.float32)


def test_the_result_of_full_tuning_is_the_model(model_path, tmp_path):
    trained, result = trained_and_published(
        model_path, tmp_path, tuning=FULL, learningRate=0.01, activationCheckpointing=True
    )
    assert result.result.tuning == "Full"
    assert result.result.adapted_modules == 0
    assert result.result.trained_parameters == numbers_of(trained.loop.model)
    assert torch.equal(answers(opened(result.path)), answers(trained.loop.model.eval()))
    assert not torch.allclose(answers(opened(result.path)), answers(opened(model_path)))
    assert json.loads((result.path / "config.json").read_text()) == json.loads((model_path / "config.json").read_text())


def test_a_model_is_published_in_the_precision_of_its_base(model_path, tmp_path):
    base = tmp_path / "bf16"
    opened(model_path).to(torch.bfloat16).save_pretrained(str(base))
    load_tokenizer(model_path).save_pretrained(str(base))
    _, result = trained_and_published(base, tmp_path, tuning=FULL, precision="AMP", learningRate=0.01)
    tensors = load_file(result.path / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert json.loads((result.path / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_merged_model_answers_as_base_and_adapter_do(model_path, tmp_path):
    trained, result = trained_and_published(model_path, tmp_path, learningRate=0.02, output={"mergeModel": True})
    assert adapted_modules(trained.loop.model) == 14
    assert {
        "merged/model.safetensors",
        "merged/tokenizer.json",
        "adapter_model.safetensors",
    } <= result.result.files.keys()
    merged, apart = answers(opened(result.path / "merged")), answers(trained.loop.model.eval())
    assert torch.allclose(merged, apart, atol=1e-5)
    assert not torch.allclose(merged, answers(opened(model_path)), atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "quantise"), [("LlamaForCausalLM", in_fp8), ("GptOssForCausalLM", in_mxfp4)], ids=["FP8", "MXFP4"]
)
def test_of_a_quantised_base_the_merged_model_is_plain_bf16_and_answers_alike(
    model_path, tmp_path, architecture, quantise
):
    base = make(architecture, tmp_path / "base", model_path)
    quantise(base)
    _, result = trained_and_published(base, tmp_path, precision="AMP", learningRate=0.05, output={"mergeModel": True})
    described = json.loads((result.path / "merged/config.json").read_text())
    assert (described["dtype"], "quantization_config" in described) == ("bfloat16", False)
    tensors = load_file(result.path / "merged/model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    in_full = load_base(a_configuration(base, tmp_path))
    untrained = answers(in_full)
    apart = answers(PeftModel.from_pretrained(in_full, str(result.path)))
    merged = answers(opened(result.path / "merged"))
    assert (merged - apart).abs().max() < 0.05 * (untrained - apart).abs().max()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda tensors: tensors.clear(), "has 0 tensors where 28 were trained"),
        (lambda tensors: tensors.popitem(), "has 27 tensors where 28 were trained"),
        (lambda tensors: next(iter(tensors.values())).fill_(float("inf")), "NaN or infinite"),
        (lambda tensors: [one.zero_() for name, one in tensors.items() if "lora_B" in name], "learnt nothing"),
    ],
    ids=["it is empty", "a tensor is missing", "a value is no number", "nothing moved"],
)
def test_an_adapter_that_is_not_whole_or_not_trained_is_refused(adapter, tmp_path, spoil, why):
    trained, saved = adapter
    shutil.copytree(saved, tmp_path / "checkpoint")
    tensors = load_file(saved / ADAPTER)
    spoil(tensors)
    save_file(tensors, tmp_path / "checkpoint" / ADAPTER, metadata={"format": "pt"})
    with pytest.raises(TrainerError, match=why):
        published(trained, tmp_path / "checkpoint")
    assert not Path(trained.configuration.storage.output_path).exists()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "numbers where"),
        (lambda tensors: tensors["model.norm.weight"].fill_(float("nan")), "NaN or infinite"),
        (lambda tensors: None, "learnt nothing"),
    ],
    ids=["a tensor is missing", "a value is no number", "it is the base again"],
)
def test_a_model_that_is_not_whole_or_not_trained_is_refused(model_path, tmp_path, spoil, why):
    tensors = load_file(model_path / "model.safetensors")
    spoil(tensors)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainerError, match=why):
        ensure_whole(tmp_path, numbers_of(opened(model_path)), model_path)
