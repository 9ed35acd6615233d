"""Every architecture of the fine-tunable models, tiny: made from its own configuration class, written like a model."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

_DECODER: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
}
_EXPERTS: Mapping[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
_EYE: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

# What of each configuration class is other than `_DECODER`.
DIFFERENCES: Mapping[str, Mapping[str, Any]] = {
    "LlamaForCausalLM": {},
    "MistralForCausalLM": {"sliding_window": 32},
    "Qwen2ForCausalLM": {},
    "Qwen3ForCausalLM": {},
    "Gemma3ForCausalLM": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32},
    "Gemma3ForConditionalGeneration": {"vision_config": _EYE, "mm_tokens_per_image": 4},
    "MixtralForCausalLM": _EXPERTS,
    "Qwen3MoeForCausalLM": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "GptOssForCausalLM": _EXPERTS,
    "DeepseekV3ForCausalLM": {
        "head_dim": 8,
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "n_shared_experts": 1,
        "moe_intermediate_size": 32,
        "first_k_dense_replace": 1,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 16,
    },
}  # fmt: skip


def make(name: str, path: Path, tokenizer_of: Path) -> Path:
    """A random model of the architecture beside the tokenizer of another model; returns its directory."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_of))
    architecture = getattr(transformers, name)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    numbers = {**_DECODER, "vocab_size": len(tokenizer), **ends, **DIFFERENCES[name]}
    if "vision_config" in numbers:
        outer = {key: numbers.pop(key) for key in ("vision_config", "mm_tokens_per_image") if key in numbers}
        kind = architecture.config_class.sub_configs["text_config"]
        # The places where a picture would stand are tokens outside what text is made of.
        config = architecture.config_class(text_config=kind(**numbers).to_dict(), **outer, **ends)
    else:
        config = architecture.config_class(**numbers)
    torch.manual_seed(0)
    architecture(config).save_pretrained(str(path))
    for file in tokenizer_of.glob("*token*"):
        shutil.copy(file, path / file.name)
    for file in tokenizer_of.glob("*.jinja"):
        shutil.copy(file, path / file.name)
    return path
