"""GPU types: the memory that a card shows to a program, and its speed. A type that is not here is not estimated."""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Card:
    """One GPU. `memory_bytes` is what a program sees, `dense_bf16_flops` the vendor's figure without sparsity."""

    name: str
    memory_bytes: float
    dense_bf16_flops: float


def _card(name: str, shown_gib: float, tera_flops: float) -> Card:
    return Card(name, shown_gib * GIB, tera_flops * 1e12)


CARDS = (
    _card("A100-40GB", 39.4, 312),
    _card("A100-80GB", 79.2, 312),
    _card("B200", 178.3, 2250),
    _card("GB200", 184.0, 2500),
    _card("H100", 79.2, 989),
    _card("H100-NVL", 93.0, 835),
    _card("H200", 139.8, 989),
    _card("L40", 44.4, 181),
    _card("L40S", 44.4, 362),
)
"""Memory as the driver shows it, less what a context takes at once; speeds from the vendor's data sheets."""

_BY_NAME = {card.name: card for card in CARDS}
_GIGABYTES = re.compile(r"^([0-9]+)GB$")


def card_of(gpu_type: str) -> Card | None:
    """The card of a type in the provider's words ('H100_SXM'), a node label's, or a person's ('h200'); None: unknown.

    A name that could mean two cards of different memory is unknown.
    """
    words = [word for word in re.split(r"[^A-Z0-9]+", gpu_type.upper()) if word]
    sizes = [word for word in words if _GIGABYTES.match(word)]
    for word in words:
        if word == "A100":
            return _BY_NAME.get(f"A100-{sizes[0]}") if sizes else None
        if word == "H100" and "NVL" in words:
            return _BY_NAME["H100-NVL"]
        if word in _BY_NAME:
            return _BY_NAME[word]
    return None
