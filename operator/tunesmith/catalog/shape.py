"""The shape of a model: the few numbers of its architecture from which memory and compute are estimated."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class LatentAttention:
    """Sizes of DeepSeek's multi-head latent attention."""

    query_rank: int
    key_value_rank: int
    rope_head_size: int
    plain_head_size: int
    value_head_size: int


@dataclass(frozen=True)
class Experts:
    """Sizes of a mixture of experts; `first_dense_layers` come before the first layer that has experts."""

    count: int
    per_token: int
    intermediate_size: int
    shared: int
    first_dense_layers: int


@dataclass(frozen=True)
class ModelShape:
    """A decoder's architecture. Sizes count elements; parameters are in billions, recomputed from the sizes.

    `intermediate_size` is that of dense layers, None where every layer has experts. `head_size` is None with latent
    attention, which has sizes of its own. `native_precision` is the number format of the published weights, where that
    is known.
    """

    architecture: str
    parameters_billions: Decimal
    active_parameters_billions: Decimal | None
    layers: int
    hidden_size: int
    intermediate_size: int | None
    attention_heads: int
    key_value_heads: int
    head_size: int | None
    vocabulary_size: int
    tied_embeddings: bool
    max_positions: int
    query_key_norm: bool
    native_precision: str | None
    experts: Experts | None
    latent_attention: LatentAttention | None


def shape_from_row(row: Mapping[str, Any]) -> ModelShape:
    """The shape that a row of the data file describes; KeyError when a needed number is missing."""
    active = row.get("activeParametersBillions")
    return ModelShape(
        architecture=row["architecture"],
        parameters_billions=Decimal(row["parametersBillions"]),
        active_parameters_billions=Decimal(active) if active else None,
        layers=row["layers"],
        hidden_size=row["hiddenSize"],
        intermediate_size=row.get("intermediateSize"),
        attention_heads=row["attentionHeads"],
        key_value_heads=row["keyValueHeads"],
        head_size=row.get("headSize"),
        vocabulary_size=row["vocabularySize"],
        tied_embeddings=row["tiedEmbeddings"],
        max_positions=row["maxPositions"],
        query_key_norm=row["queryKeyNorm"],
        native_precision=row.get("nativePrecision"),
        experts=_experts(row),
        latent_attention=_latent(row["latentAttention"]) if "latentAttention" in row else None,
    )


def _experts(row: Mapping[str, Any]) -> Experts | None:
    if not row.get("experts"):
        return None
    return Experts(
        count=row["experts"],
        per_token=row["expertsPerToken"],
        intermediate_size=row["expertIntermediateSize"],
        shared=row.get("sharedExperts", 0),
        first_dense_layers=row.get("firstDenseLayers", 0),
    )


def _latent(row: Mapping[str, Any]) -> LatentAttention:
    return LatentAttention(
        query_rank=row["queryRank"],
        key_value_rank=row["keyValueRank"],
        rope_head_size=row["ropeHeadSize"],
        plain_head_size=row["plainHeadSize"],
        value_head_size=row["valueHeadSize"],
    )
