"""What the estimate must know of a job and cannot read in its spec: the GPUs' type where it runs, the model's shape."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from tunesmith.catalog.config_json import ShapeUnknownError, shape_of_config
from tunesmith.catalog.loader import find_bundled, known_shape
from tunesmith.catalog.shape import ModelShape
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.job_observation import JobObservation
from tunesmith.planning.memory.cards import Card, card_of
from tunesmith.planning.memory.price import gpu_hour_usd
from tunesmith.planning.memory.work import Numbers
from tunesmith.planning.sources import fetched_repository
from tunesmith.resources.fine_tune_job_running import PlacementType

PRODUCT_LABEL = "nvidia.com/gpu.product"  # NVIDIA's feature discovery puts it on every GPU node


def shape_of(seen: JobObservation) -> tuple[ModelShape | None, str]:
    """The shape of the job's model, or why it is not known.

    The bundled catalogue knows it by its id, or by where its weights are; of any other model its preparation tells.
    """
    shape = known_shape(seen.model.spec) if seen.model is not None else None
    if shape is None and seen.spec.model.hugging_face is not None:
        named = find_bundled(seen.spec.model.hugging_face.repo)
        shape = named.shape if named is not None else None
    if shape is None:
        return _prepared_shape(seen)
    return replace(shape, native_precision=_stored_as(seen)), ""


def _stored_as(seen: JobObservation) -> str | None:
    """The number format of the published weights; what lies in weights of the user's own, the catalogue cannot know."""
    repository = fetched_repository(seen.spec, seen.model)
    published = find_bundled(repository) if repository is not None else None
    return published.shape.native_precision if published is not None and published.shape is not None else None


def _prepared_shape(seen: JobObservation) -> tuple[ModelShape | None, str]:
    pinned = seen.status.pinned
    if pinned is None or pinned.model_facts is None:
        return None, "the catalogue has no shape of this model; it is read with the weights, before GPUs are held"
    try:
        return shape_of_config(json.loads(pinned.model_facts)), ""
    except ShapeUnknownError as error:
        return None, str(error)


def gpu_type_of(seen: JobObservation) -> str | None:
    """The type of the GPUs where the job will run; None as long as nobody knows."""
    if seen.cluster is not None:
        choice = seen.cluster.status.choice
        return (choice.gpu_type if choice is not None else None) or seen.cluster.spec.gpu_type
    placement = seen.spec.placement
    if placement.type is PlacementType.TEMPLATE and placement.template is not None:
        return placement.template.gpu_type
    return _local_type(seen) if placement.type is PlacementType.LOCAL else None


def card_for(seen: JobObservation) -> tuple[Card | None, str]:
    """The card that the job is planned for, or why there is none."""
    gpu_type = gpu_type_of(seen)
    if gpu_type is None:
        return None, "the type of the GPUs is not known"
    card = card_of(gpu_type)
    return card, "" if card is not None else f"the memory of GPU type '{gpu_type}' is not known"


def price_for(seen: JobObservation) -> Decimal | None:
    """Dollars of a GPU-hour where the job will run; local GPUs have no price."""
    gpu_type = gpu_type_of(seen)
    if gpu_type is None or seen.cluster_name is None:
        return None
    return gpu_hour_usd(seen.around.installation.prices, gpu_type)


def numbers_of(seen: JobObservation) -> Numbers:
    """The user's word, else the model's row. Simulated GPUs compute in FP32; the estimate is of real ones."""
    said = seen.spec.training.precision or (seen.model.spec.precision if seen.model is not None else None)
    return Numbers(said.value) if said is not None else Numbers.AMP


def _local_type(seen: JobObservation) -> str | None:
    """The type of the local GPU nodes that the job may run on; of several the one with the least memory."""
    if isinstance(seen.workload, Unknown):
        return None
    local = seen.spec.placement.local
    selector = (local.node_selector or {}) if local is not None else {}
    products = {
        node.labels.get(PRODUCT_LABEL, "")
        for node in seen.workload.value.nodes
        if node.gpus and selector.items() <= node.labels.items()
    }
    cards = {product: card_of(product) for product in sorted(products)}
    known = {product: card.memory_bytes for product, card in cards.items() if card is not None}
    if len(known) < len(products):
        return next(product for product, card in cards.items() if card is None) or None
    return min(known, key=lambda product: known[product], default=None)
