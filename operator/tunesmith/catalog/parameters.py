"""How many weights the parts of a model have, counted from its shape. Biases and norms are left out: under 0.1 %."""

from __future__ import annotations

from tunesmith.catalog.shape import ModelShape


def query_width(shape: ModelShape) -> int:
    """Elements of all query heads of one token."""
    latent = shape.latent_attention
    if latent is not None:
        return shape.attention_heads * (latent.rope_head_size + latent.plain_head_size)
    return shape.attention_heads * (shape.head_size or 0)


def key_value_width(shape: ModelShape) -> int:
    """Elements of all key heads of one token; as many are values."""
    return shape.key_value_heads * (shape.head_size or 0)


def embedding(shape: ModelShape) -> int:
    """Weights of the table of tokens."""
    return shape.vocabulary_size * shape.hidden_size


def outside_the_layers(shape: ModelShape) -> int:
    """Weights of the table of tokens and of the head, which are one where they are tied."""
    return embedding(shape) * (1 if shape.tied_embeddings else 2)


def attention(shape: ModelShape) -> int:
    """Weights of one layer's attention."""
    hidden, latent = shape.hidden_size, shape.latent_attention
    if latent is None:
        return 2 * hidden * (query_width(shape) + key_value_width(shape))
    query = latent.query_rank * (hidden + query_width(shape))
    key_value = hidden * (latent.key_value_rank + latent.rope_head_size) + latent.key_value_rank * (
        shape.attention_heads * (latent.plain_head_size + latent.value_head_size)
    )
    return query + key_value + shape.attention_heads * latent.value_head_size * hidden


def dense_mlp(shape: ModelShape) -> int:
    """Weights of one dense layer's MLP (gate, up and down); 0 where every layer has experts."""
    return 3 * shape.hidden_size * (shape.intermediate_size or 0)


def routed_experts(shape: ModelShape) -> int:
    """Weights of the experts of one layer among which a router chooses; 0 without experts."""
    experts = shape.experts
    return 0 if experts is None else 3 * shape.hidden_size * experts.count * experts.intermediate_size


def beside_the_routed(shape: ModelShape) -> int:
    """Weights of shared experts and of the router of one layer with experts; 0 without."""
    experts = shape.experts
    if experts is None:
        return 0
    return 3 * shape.hidden_size * experts.shared * experts.intermediate_size + shape.hidden_size * experts.count


def expert_layers(shape: ModelShape) -> int:
    """Layers that have experts."""
    return 0 if shape.experts is None else shape.layers - shape.experts.first_dense_layers


def largest_layer(shape: ModelShape) -> int:
    """Weights of the largest layer."""
    with_experts = routed_experts(shape) + beside_the_routed(shape)
    return attention(shape) + max(with_experts, dense_mlp(shape) if expert_layers(shape) < shape.layers else 0)


def total(shape: ModelShape) -> int:
    """Weights of the whole model."""
    sparse = expert_layers(shape)
    return (
        outside_the_layers(shape)
        + shape.layers * attention(shape)
        + (shape.layers - sparse) * dense_mlp(shape)
        + sparse * (routed_experts(shape) + beside_the_routed(shape))
    )


def active(shape: ModelShape) -> int:
    """Weights that one token meets: of the routed experts only those that are chosen."""
    if shape.experts is None:
        return total(shape)
    idle_share = routed_experts(shape) * (shape.experts.count - shape.experts.per_token) // shape.experts.count
    return total(shape) - expert_layers(shape) * idle_share
