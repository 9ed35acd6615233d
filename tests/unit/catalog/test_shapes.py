"""Shapes: their weights add up to what is published, and a model's own `config.json` says the same as the catalogue."""

import pytest

from tunesmith.catalog.config_json import ShapeUnknownError, shape_of_config
from tunesmith.catalog.loader import bundled, find_bundled
from tunesmith.catalog.parameters import active, total

SHAPES = {model.spec.id: model.shape for model in bundled() if model.shape is not None}
PLAIN = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize("model", SHAPES)
def test_the_parts_add_up_to_the_whole(model):
    assert total(SHAPES[model]) == pytest.approx(float(SHAPES[model].parameters_billions) * 1e9, rel=0.002)


@pytest.mark.parametrize(
    ("model", "published"),
    [("Qwen/Qwen3-30B-A3B", 3.3), ("openai/gpt-oss-120b", 5.1), ("mistralai/Mixtral-8x7B-v0.1", 12.9)],
)
def test_the_weights_that_one_token_meets_are_those_that_are_published(model, published):
    assert active(SHAPES[model]) / 1e9 == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({**PLAIN, "architectures": ["LlamaForCausalLM"]}, "togethercomputer/llama-2-7b-chat"),
        (
            {
                "model_type": "qwen3_moe",
                "hidden_size": 2048,
                "num_hidden_layers": 48,
                "num_attention_heads": 32,
                "num_key_value_heads": 4,
                "head_dim": 128,
                "intermediate_size": 6144,
                "moe_intermediate_size": 768,
                "num_experts": 128,
                "num_experts_per_tok": 8,
                "vocab_size": 151936,
                "max_position_embeddings": 40960,
                "tie_word_embeddings": False,
            },
            "Qwen/Qwen3-30B-A3B",
        ),
        (
            {
                "model_type": "gpt_oss",
                "hidden_size": 2880,
                "num_hidden_layers": 24,
                "num_attention_heads": 64,
                "num_key_value_heads": 8,
                "head_dim": 64,
                "intermediate_size": 2880,
                "num_local_experts": 32,
                "num_experts_per_tok": 4,
                "vocab_size": 201088,
                "max_position_embeddings": 131072,
                "quantization_config": {"quant_method": "mxfp4"},
            },
            "openai/gpt-oss-20b",
        ),
        (
            {
                "model_type": "gemma3",
                "text_config": {
                    "model_type": "gemma3_text",
                    "hidden_size": 2560,
                    "num_hidden_layers": 34,
                    "num_attention_heads": 8,
                    "num_key_value_heads": 4,
                    "head_dim": 256,
                    "intermediate_size": 10240,
                    "vocab_size": 262208,
                    "max_position_embeddings": 131072,
                },
            },
            "google/gemma-3-4b-it",
        ),
        (
            {
                "model_type": "llama4",
                "text_config": {
                    "model_type": "llama4_text",
                    "hidden_size": 5120,
                    "num_hidden_layers": 48,
                    "num_attention_heads": 40,
                    "num_key_value_heads": 8,
                    "head_dim": 128,
                    "intermediate_size": 8192,
                    "intermediate_size_mlp": 16384,
                    "interleave_moe_layer_step": 2,
                    "num_local_experts": 128,
                    "num_experts_per_tok": 1,
                    "vocab_size": 202048,
                    "max_position_embeddings": 1048576,
                },
            },
            "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
        ),
        (
            {
                "model_type": "deepseek_v3",
                "hidden_size": 7168,
                "num_hidden_layers": 61,
                "num_attention_heads": 128,
                "num_key_value_heads": 128,
                "intermediate_size": 18432,
                "moe_intermediate_size": 2048,
                "n_routed_experts": 256,
                "n_shared_experts": 1,
                "num_experts_per_tok": 8,
                "first_k_dense_replace": 3,
                "q_lora_rank": 1536,
                "kv_lora_rank": 512,
                "qk_rope_head_dim": 64,
                "qk_nope_head_dim": 128,
                "v_head_dim": 128,
                "vocab_size": 129280,
                "max_position_embeddings": 163840,
            },
            "deepseek-ai/DeepSeek-R1",
        ),
    ],
)
def test_a_models_own_configuration_says_what_the_catalogue_says(config, model):
    assert total(shape_of_config(config)) == total(find_bundled(model).shape)


def test_older_names_of_the_same_ideas_are_understood():
    config = {
        "model_type": "internlm",
        "n_embd": 1024,
        "n_layer": 4,
        "n_head": 8,
        "n_inner": 4096,
        "n_positions": 2048,
        "vocab_size": 1000,
    }
    shape = shape_of_config(config)
    assert (shape.hidden_size, shape.layers, shape.head_size, shape.max_positions) == (1024, 4, 128, 2048)


@pytest.mark.parametrize("key", sorted(set(PLAIN) - {"model_type"}))
def test_a_number_that_is_missing_or_no_number_is_named(key):
    for wrong in ({}, {key: None}, {key: "many"}, {key: 0}):
        with pytest.raises(ShapeUnknownError, match=key):
            shape_of_config({**{name: value for name, value in PLAIN.items() if name != key}, **wrong})


@pytest.mark.parametrize("kind", ["gpt2", "mamba", "falcon", "qwen3_next"])
def test_kinds_that_were_not_measured_are_not_estimated(kind):
    with pytest.raises(ShapeUnknownError, match=kind):
        shape_of_config({**PLAIN, "model_type": kind})
