"""Bases whose files are quantised: read as plain numbers, or refused before a weight is read."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.trainer.architectures import make
from tests.unit.trainer.looping import FULL, LORA, QLORA, a_configuration

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.model import load_base
from tunesmith_trainer.stored_numbers import reading_options

FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def rewrite(model, tensors, quantization):
    """Puts other tensors into a model directory, and says how they are quantised."""
    save_file(tensors, str(model / "model.safetensors"), metadata={"format": "pt"})
    path = model / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"quantization_config": quantization, "dtype": "bfloat16"})
    )


def in_fp8(model, block=32, others=torch.bfloat16):
    """Linear layers as FP8 in blocks with a scale each; returns what they are worth."""
    tensors, worth = load_file(str(model / "model.safetensors")), {}
    tensors = {name: tensor.to(others) for name, tensor in tensors.items()}
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name].float()
        rows, columns = (-(-size // block) for size in weight.shape)
        scales = torch.arange(1, rows * columns + 1, dtype=torch.float32).reshape(rows, columns) / 4
        tensors[name], tensors[name + "_scale_inv"] = weight.to(torch.float8_e4m3fn), scales
        spread = scales.repeat_interleave(block, 0).repeat_interleave(block, 1)[: weight.shape[0], : weight.shape[1]]
        worth[name] = (tensors[name].float() * spread).to(torch.bfloat16)
    rewrite(
        model,
        tensors,
        {
            "quant_method": "fp8",
            "weight_block_size": [block, block],
            "activation_scheme": "dynamic",
            "modules_to_not_convert": ["lm_head"],
        },
    )
    return worth


def in_mxfp4(model):
    """Experts as MXFP4, two numbers a byte and a power of two for 32; returns what they are worth."""
    tensors, worth = load_file(str(model / "model.safetensors")), {}
    values, draw = torch.tensor(FP4), torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, into, out = tensors.pop(name).shape
        blocks = torch.randint(0, 256, (experts, out, into // 32, 16), dtype=torch.uint8, generator=draw)
        scales = torch.randint(118, 122, (experts, out, into // 32), dtype=torch.uint8, generator=draw)
        tensors[name + "_blocks"], tensors[name + "_scales"] = blocks, scales
        numbers = torch.stack([values[(blocks & 15).long()], values[(blocks >> 4).long()]], -1).flatten(-2)
        scaled = numbers * 2.0 ** (scales.float() - 127)[..., None]
        worth[name] = scaled.flatten(-2).transpose(1, 2).to(torch.bfloat16)
    rewrite(
        model, tensors, {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    )
    return worth


@pytest.mark.parametrize(
    ("architecture", "quantise"),
    [("LlamaForCausalLM", in_fp8), ("GptOssForCausalLM", in_mxfp4)],
    ids=["FP8", "MXFP4"],
)
def test_quantised_files_are_read_as_the_plain_numbers_that_they_stand_for(
    model_path, tmp_path, architecture, quantise
):
    model = make(architecture, tmp_path / "model", model_path)
    worth = quantise(model)
    base = load_base(a_configuration(model, tmp_path, precision="BF16"))
    read = dict(base.named_parameters())
    assert len(worth) > 1
    for name, expected in worth.items():
        assert read[name].dtype is torch.bfloat16
        assert torch.equal(read[name], expected)


@pytest.mark.parametrize(
    ("precision", "tuning", "held_in"),
    [
        ("BF16", LORA, torch.bfloat16),
        ("AMP", LORA, torch.bfloat16),
        ("AMP", FULL, torch.float32),
        ("FP32", LORA, torch.float32),
    ],
    ids=["BF16", "AMP beneath an adapter", "AMP and all moves", "FP32"],
)
@pytest.mark.parametrize("others", [torch.bfloat16, torch.float32], ids=["beside bf16", "beside fp32"])
def test_what_was_not_quantised_comes_in_the_same_precision(model_path, tmp_path, precision, tuning, held_in, others):
    model = make("LlamaForCausalLM", tmp_path / "model", model_path)
    in_fp8(model, others=others)
    base = load_base(a_configuration(model, tmp_path, tuning=tuning, precision=precision))
    assert {parameter.dtype for parameter in base.parameters()} == {held_in}


def test_blocks_that_are_cut_short_are_refused_by_name(model_path, tmp_path):
    model = make("LlamaForCausalLM", tmp_path / "model", model_path)
    in_fp8(model, block=48)
    with pytest.raises(TrainerError, match=r"_proj.weight.* blocks of 48x48 that do not divide its") as refused:
        load_base(a_configuration(model, tmp_path))
    assert refused.value.error_class is ErrorClass.MODEL


@pytest.mark.parametrize(
    ("way", "tuning", "said", "error_class"),
    [
        ("gptq", LORA, "quantised with 'gptq', which cannot be trained on", ErrorClass.MODEL),
        ("awq", LORA, "quantised with 'awq', which cannot be trained on", ErrorClass.MODEL),
        ("mxfp4", QLORA, "NF4 cannot be put on weights that are quantised already", ErrorClass.LIMITS),
    ],
)
def test_other_ways_of_quantising_are_refused_before_a_weight_is_read(tmp_path, way, tuning, said, error_class):
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": way}}))
    with pytest.raises(TrainerError, match=said) as refused:
        reading_options(tmp_path, quantise_again=tuning is QLORA)
    assert refused.value.error_class is error_class
