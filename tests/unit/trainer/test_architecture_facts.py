"""What a preparation tells of a model's architecture: enough for the operator's estimate, never too long to tell."""

import json

import pytest

from tunesmith.catalog.config_json import _NAMES, shape_of_config
from tunesmith.planning.memory.untrainable import is_quantised
from tunesmith_trainer.architecture_facts import NAMES, facts_of

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "rope_scaling": {"factor": 8.0},
    "bos_token_id": 128000,
}
EXPERTS = {**LLAMA, "model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8, "head_dim": 128}
QUANTISED = {**LLAMA, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
PICTURES = {"model_type": "gemma3", "tie_word_embeddings": True, "text_config": {**LLAMA, "model_type": "gemma3_text"}}


def told(tmp_path, config):
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return facts_of(tmp_path)


@pytest.mark.parametrize("config", [LLAMA, {**EXPERTS, "moe_intermediate_size": 768}, PICTURES, QUANTISED])
def test_the_estimate_reads_the_same_shape_from_what_is_told(tmp_path, config):
    of_the_file, of_the_facts = shape_of_config(config), shape_of_config(told(tmp_path, config))
    for number in ("layers", "hidden_size", "intermediate_size", "key_value_heads", "head_size", "experts"):
        assert getattr(of_the_facts, number) == getattr(of_the_file, number)
    assert is_quantised(of_the_facts) == is_quantised(of_the_file) == (config is QUANTISED)
    assert of_the_facts.parameters_billions == of_the_file.parameters_billions


def test_every_name_that_the_estimate_knows_is_told():
    assert {name for names in _NAMES.values() for name in names} <= NAMES


@pytest.mark.parametrize("config", ["", "{", "[]", "[" * 100_000, {"hidden_size": "8192" * 99, "n_embd": 10**10}])
def test_of_a_file_that_says_nothing_nothing_is_told(tmp_path, config):
    assert told(tmp_path, config) == {}
