"""The few facts of a `config.json` that an estimate of memory needs; a preparation, which reads it, tells them."""

import json
from pathlib import Path

# Names that architectures use; the message that carries them has 4096 bytes, so nothing else goes along.
NAMES = frozenset(
    {
        "d_ff", "d_model", "decoder_sparse_step", "dim", "expert_ffn_hidden_size", "ffn_dim", "ffn_hidden_size",
        "first_k_dense_replace", "head_dim", "hidden_size", "interleave_moe_layer_step", "intermediate_size",
        "intermediate_size_mlp", "kv_lora_rank", "max_position_embeddings", "max_seq_len", "max_sequence_length",
        "model_type", "moe_intermediate_size", "moe_topk", "multi_query_group_num", "n_embd", "n_head", "n_heads",
        "n_inner", "n_kv_heads", "n_layer", "n_layers", "n_positions", "n_routed_experts", "n_shared_experts",
        "num_attention_heads", "num_dense_layers", "num_experts", "num_experts_per_tok", "num_experts_per_token",
        "num_hidden_layers", "num_key_value_heads", "num_kv_heads", "num_layers", "num_local_experts",
        "num_shared_experts", "padded_vocab_size", "q_lora_rank", "qk_layernorm", "qk_nope_head_dim",
        "qk_rope_head_dim", "quant_method", "shared_expert_intermediate_size", "tie_word_embeddings", "top_k_experts",
        "use_qk_norm", "v_head_dim", "vocab_size",
    }
)  # fmt: skip
TEXT_PARTS = ("text_config", "llm_config", "language_config")
LONGEST_WORD = 32
LARGEST_NUMBER = 10**9


def facts_of(model: Path) -> dict[str, int | bool | str]:
    """The facts of the model in that directory, of its text part where it has several; empty where it says nothing."""
    try:
        whole = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(whole, dict):
        return {}
    text: dict[str, object] = next((whole[name] for name in TEXT_PARTS if isinstance(whole.get(name), dict)), {})
    stored = whole.get("quantization_config") or text.get("quantization_config")
    flat = {**whole, **text, "quant_method": stored.get("quant_method") if isinstance(stored, dict) else None}
    return {name: value for name, value in flat.items() if name in NAMES and _is_short(value)}


def _is_short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_WORD
    return isinstance(value, int) and 0 <= value <= LARGEST_NUMBER
