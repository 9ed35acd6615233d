"""Where the memory of one GPU goes, term by term: a closed formula, measured and held against published figures.

Its sources and its agreement with them stand in docs/design/memory-formula.md. All sizes are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tunesmith.catalog import parameters
from tunesmith.catalog.shape import ModelShape
from tunesmith.planning.memory.work import Adapter, Numbers, Work

OVERHEAD = 3e9  # the driver's context, the collectives' buffers, fragmentation
HEAD_TILE = 4096 * 32768 * 8  # the fused head works on tiles of 4096 tokens x 32768 words
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # four bits; a byte for 64 weights; four bytes for 256 of those
_ATTENTION_MODULES = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
_MLP_MODULES = frozenset({"gate_proj", "up_proj", "down_proj"})


class Sharding(StrEnum):
    """How the model is spread: on one GPU, whole on each, or in parts."""

    NONE = "None"
    DDP = "DDP"
    FSDP2 = "FSDP2"


@dataclass(frozen=True)
class Terms:
    """Bytes of one GPU by what they are for."""

    weights: float
    trainable: float
    gathered: float
    reference: float
    activations: float
    head: float
    overhead: float = OVERHEAD

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.by_name().values())

    def by_name(self) -> dict[str, float]:
        """The terms under the names that people read."""
        return {
            "base weights": self.weights,
            "trained weights and optimizer": self.trainable,
            "gathered layers, buckets": self.gathered,
            "reference model": self.reference,
            "activations": self.activations,
            "loss head": self.head,
            "context and fragmentation": self.overhead,
        }


def terms(work: Work, rows: int, sharding: Sharding, gpus: int) -> Terms:
    """The memory of one GPU that takes `rows` at once, one of `gpus`."""
    shards = gpus if sharding is Sharding.FSDP2 else 1
    tokens = rows * work.tokens
    return Terms(
        weights=_weights(work) / shards,
        trainable=_trainable(work) / shards,
        gathered=_gathered(work, sharding),
        reference=_reference(work) / shards,
        activations=tokens * _activations_per_token(work),
        head=(0.0 if work.full_logits else HEAD_TILE) + tokens * _head_per_token(work),
    )


def trainable_parameters(work: Work) -> int:
    """Weights that move."""
    if work.adapter is None:
        return parameters.total(work.shape)
    return adapter_parameters(work.shape, work.adapter)


def adapter_parameters(shape: ModelShape, adapter: Adapter) -> int:
    """Weights of the adapter: rank x (inputs + outputs) of every adapted matrix. An unknown name counts as all."""
    hidden, query, key_value = shape.hidden_size, parameters.query_width(shape), parameters.key_value_width(shape)
    dense, sparse = shape.layers - parameters.expert_layers(shape), parameters.expert_layers(shape)
    experts = shape.experts
    mlp = dense * (hidden + (shape.intermediate_size or 0))
    if experts is not None:
        mlp += sparse * (experts.count + experts.shared) * (hidden + experts.intermediate_size)
    sizes = {
        "q_proj": shape.layers * (hidden + query),
        "k_proj": shape.layers * (hidden + key_value),
        "v_proj": shape.layers * (hidden + key_value),
        "o_proj": shape.layers * (query + hidden),
        **dict.fromkeys(_MLP_MODULES, mlp),
    }
    return adapter.rank * sum(sizes[name] for name in _targets(adapter))


def _targets(adapter: Adapter) -> frozenset[str]:
    everything = _ATTENTION_MODULES | _MLP_MODULES
    named = adapter.targets - {"attention"} | (_ATTENTION_MODULES if "attention" in adapter.targets else frozenset())
    return named if named and named <= everything else everything


def _weights(work: Work) -> float:
    """The base; weights that were published in 8 or 4 bits are widened before training."""
    count = parameters.total(work.shape)
    if work.adapter is not None and work.adapter.four_bit_base:
        small = _in_four_bits(work.shape)
        return small * NF4_BYTES + (count - small) * 2
    return count * (4 if work.numbers is Numbers.FP32 or _is_full_amp(work) else 2)


def _in_four_bits(shape: ModelShape) -> int:
    """Linear layers. Fused experts are one tensor of many matrices, which four-bit libraries leave as it is."""
    sparse = parameters.expert_layers(shape)
    return shape.layers * parameters.attention(shape) + (shape.layers - sparse) * parameters.dense_mlp(shape)


def _trainable(work: Work) -> float:
    """Beside the base: an adapter whole (weight, gradient, two moments in FP32); of full tuning what the base lacks."""
    if work.adapter is not None:
        return adapter_parameters(work.shape, work.adapter) * 16
    return parameters.total(work.shape) * (6 if work.numbers is Numbers.BF16 else 12)


def _gathered(work: Work, sharding: Sharding) -> float:
    shape, width = work.shape, 4 if work.numbers is Numbers.FP32 else 2
    largest = parameters.largest_layer(shape)
    if sharding is Sharding.FSDP2:
        gradient = 0 if work.adapter is not None else largest * width
        return 2 * largest * width + parameters.outside_the_layers(shape) * width + gradient
    # DDP keeps a second copy of the gradients in its buckets.
    buckets = trainable_parameters(work) * _gradient_width(work) if sharding is Sharding.DDP else 0
    return buckets + (_widened_matrix(shape) if work.adapter is not None and work.adapter.four_bit_base else 0)


def _gradient_width(work: Work) -> int:
    return 2 if work.adapter is None and work.numbers is Numbers.BF16 else 4


def _widened_matrix(shape: ModelShape) -> float:
    """A four-bit matrix is widened to two bytes while it is used; the largest counts."""
    widest = max(parameters.query_width(shape), shape.intermediate_size or 0, shape.hidden_size)
    return 2.0 * shape.hidden_size * widest


def _reference(work: Work) -> float:
    """Full preference tuning holds the base a second time; an adapter is only switched off."""
    return parameters.total(work.shape) * 2.0 if work.reference and work.adapter is None else 0.0


def _activations_per_token(work: Work) -> float:
    """One hidden state for every layer (they are computed again, layer by layer), and all that one layer saves."""
    shape = work.shape
    hidden_width = 4 if work.numbers is Numbers.FP32 or _is_full_amp(work) else 2
    saved = max(_saved(work, width) for width in _mlp_widths(shape))
    if shape.experts is not None:
        saved += shape.experts.per_token * 4 * shape.hidden_size
    return shape.layers * shape.hidden_size * hidden_width + saved


def _mlp_widths(shape: ModelShape) -> tuple[int, ...]:
    """Width of the MLP that a token meets, for each kind of layer that there is."""
    dense = () if shape.intermediate_size is None else (shape.intermediate_size,)
    experts = shape.experts
    if experts is None:
        return dense
    met = (experts.per_token + experts.shared) * experts.intermediate_size
    return (met, *dense) if experts.first_dense_layers else (met,)


def _saved(work: Work, mlp: int) -> float:
    """Bytes that one layer saves for one token: measured with hooks on saved tensors, fitted within 0.2 %."""
    shape = work.shape
    hidden, query, key_value = shape.hidden_size, parameters.query_width(shape), parameters.key_value_width(shape)
    if work.adapter is not None and work.adapter.dropout:
        saved = 38 * hidden + 12 * mlp + 10 * query + 4 * key_value
    elif work.adapter is not None:
        saved = 18 * hidden + 8 * mlp + 6 * query + 4 * key_value
    elif work.numbers is Numbers.BF16:
        saved = 16 * hidden + 8 * mlp + 4 * query + 4 * key_value
    else:
        saved = 26 * hidden + 8 * mlp + 4 * query + 4 * key_value
    if shape.query_key_norm:
        saved += 4 * query + 4 * key_value
    return saved * (2 if work.numbers is Numbers.FP32 else 1)


def _head_per_token(work: Work) -> float:
    return work.shape.vocabulary_size * 10.0 if work.full_logits else work.shape.hidden_size * 6.0


def _is_full_amp(work: Work) -> bool:
    return work.adapter is None and work.numbers is Numbers.AMP
