"""The shape of a model outside the catalogue, from its parsed `config.json`. Pure; says by name what it misses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tunesmith.catalog.parameters import active, total
from tunesmith.catalog.shape import Experts, LatentAttention, ModelShape

# One idea under the names that architectures give it; the first that is there counts.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "multi_query_group_num"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"),
    "intermediate_size": ("intermediate_size", "n_inner", "ffn_hidden_size", "d_ff", "ffn_dim"),
    "experts": ("num_experts", "num_local_experts", "n_routed_experts"),
    "experts_per_token": ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts"),
    "expert_intermediate_size": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "shared_experts": ("n_shared_experts", "num_shared_experts"),
    "first_dense_layers": ("first_k_dense_replace", "num_dense_layers"),
}
# Architectures whose MLP has two matrices in place of three, whose heads or state are of another kind, or whose layers
# are not alike: the formula was not measured on them.
_OTHER_KINDS = frozenset(
    {
        "bloom",
        "codegen",
        "falcon",
        "falcon_h1",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "jamba",
        "mamba",
        "mamba2",
        "mpt",
        "opt",
        "phi",
        "qwen3_next",
        "rwkv",
        "t5",
    }
)
_WITH_QUERY_KEY_NORM = frozenset({"qwen3", "qwen3_moe", "gemma3", "gemma3_text", "olmo2", "olmo3", "glm4_moe"})
_BILLION = Decimal(1_000_000_000)


class ShapeUnknownError(ValueError):
    """The configuration does not say what the estimate needs; the message names the key."""


def shape_of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a `config.json` describes; of a model with pictures, its text model.

    Raises ShapeUnknownError for a missing number, and for kinds of architecture that the estimate does not know.
    """
    text = _text_part(config)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    if kind in _OTHER_KINDS:
        raise ShapeUnknownError(f"models of type '{kind}' are of a kind for which no estimate was measured")
    hidden, heads = _number(text, "hidden_size"), _number(text, "num_attention_heads")
    experts = _experts(text)
    shape = ModelShape(
        architecture=_architecture(config, text, kind),
        parameters_billions=Decimal(0),
        active_parameters_billions=None,
        layers=_number(text, "num_hidden_layers"),
        hidden_size=hidden,
        intermediate_size=_dense_width(text, experts),
        attention_heads=heads,
        key_value_heads=_optional(text, "num_key_value_heads") or heads,
        head_size=_head_size(text, hidden, heads),
        vocabulary_size=_number(text, "vocab_size"),
        tied_embeddings=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", _ties(kind)))),
        max_positions=_number(text, "max_position_embeddings"),
        query_key_norm=bool(text.get("use_qk_norm", text.get("qk_layernorm", kind in _WITH_QUERY_KEY_NORM))),
        native_precision=_native_precision(config, text),
        experts=experts,
        latent_attention=_latent(text),
    )
    return replace(
        shape,
        parameters_billions=Decimal(total(shape)) / _BILLION,
        active_parameters_billions=None if experts is None else Decimal(active(shape)) / _BILLION,
    )


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(key), Mapping):
            part: Mapping[str, Any] = config[key]
            return part
    return config


def _architecture(config: Mapping[str, Any], text: Mapping[str, Any], kind: str) -> str:
    named = config.get("architectures") or text.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else kind or "unknown"


def _ties(kind: str) -> bool:
    """What the architecture's own class does when the file is silent: the Gemmas tie, the others here do not."""
    return kind.startswith("gemma")


def _dense_width(text: Mapping[str, Any], experts: Experts | None) -> int | None:
    if experts is None:
        return _number(text, "intermediate_size")
    # Llama 4 keeps the experts' width under the plain name and the dense layers' under one of their own.
    named = text.get("intermediate_size_mlp")
    return int(named) if isinstance(named, int) else _optional(text, "intermediate_size")


def _experts(text: Mapping[str, Any]) -> Experts | None:
    count = _optional(text, "experts")
    if not count or count == 1:
        return None
    width = _optional(text, "expert_intermediate_size") or _number(text, "intermediate_size")
    shared = _optional(text, "shared_experts")
    shared_width = text.get("shared_expert_intermediate_size")
    if shared is None and isinstance(shared_width, int):
        shared = -(-shared_width // width)
    if shared is None:
        shared = 1 if str(text.get("model_type", "")).startswith("llama4") else 0
    return Experts(
        count=count,
        per_token=_number(text, "experts_per_token"),
        intermediate_size=width,
        shared=shared,
        first_dense_layers=_dense_layers(text),
    )


def _dense_layers(text: Mapping[str, Any]) -> int:
    """Layers without experts, wherever they stand."""
    first = _optional(text, "first_dense_layers")
    if first is not None:
        return first
    every = text.get("interleave_moe_layer_step") or text.get("decoder_sparse_step")
    layers = _number(text, "num_hidden_layers")
    return layers - layers // every if isinstance(every, int) and every > 1 else 0


def _head_size(text: Mapping[str, Any], hidden: int, heads: int) -> int | None:
    if text.get("kv_lora_rank"):
        return None
    named = text.get("head_dim")
    size = named if isinstance(named, int) and not isinstance(named, bool) and named > 0 else hidden // heads
    if not size:
        raise ShapeUnknownError(f"`hidden_size` {hidden} has no room for {heads} heads")
    return size


def _latent(text: Mapping[str, Any]) -> LatentAttention | None:
    if not text.get("kv_lora_rank"):
        return None
    return LatentAttention(
        query_rank=_own(text, "q_lora_rank"),
        key_value_rank=_own(text, "kv_lora_rank"),
        rope_head_size=_own(text, "qk_rope_head_dim"),
        plain_head_size=_own(text, "qk_nope_head_dim"),
        value_head_size=_own(text, "v_head_dim"),
    )


def _native_precision(config: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    quantized = config.get("quantization_config")
    if isinstance(quantized, Mapping) and quantized.get("quant_method"):
        return str(quantized["quant_method"])
    if text.get("quant_method"):  # as a preparation tells it, which flattens the file
        return str(text["quant_method"])
    for part in (text, config):
        for key in ("dtype", "torch_dtype"):
            if part.get(key):
                return str(part[key])
    return None


def _number(text: Mapping[str, Any], idea: str) -> int:
    found = _optional(text, idea)
    if not found:
        raise ShapeUnknownError(f"the configuration has no `{_NAMES[idea][0]}`")
    return found


def _optional(text: Mapping[str, Any], idea: str) -> int | None:
    for name in _NAMES[idea]:
        value = text.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _own(text: Mapping[str, Any], name: str) -> int:
    value = text.get(name)
    if not isinstance(value, int) or value <= 0:
        raise ShapeUnknownError(f"the configuration has no `{name}`")
    return value
