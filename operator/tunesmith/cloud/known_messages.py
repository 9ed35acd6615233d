"""The few texts of the provider that mean something to us. Everything else that it writes stays out of our words.

A text is matched, never shown: what reaches a status is the sentence that stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.planning.decision import ErrorClass, KnownMessage


@dataclass(frozen=True)
class Meaning:
    """What a known text says, the class that it makes of an answer that refuses, and our words for it."""

    message: KnownMessage
    fragment: str  # lower case
    error: ErrorClass
    words: str


MEANINGS = (
    Meaning(
        KnownMessage.OUT_OF_STOCK,
        "out of stock",  # provider: the 409 of a create without capacity
        ErrorClass.OUT_OF_STOCK,
        "the region has no such GPUs in stock",
    ),
    Meaning(
        KnownMessage.DRIVER_MISSING,
        "cuda version and nvidia driver version are required",  # provider: a 400
        ErrorClass.BAD_REQUEST,
        "the provider wants the driver named, by its id or by both the CUDA version and the driver version",
    ),
    Meaning(
        KnownMessage.VOLUME_ELSEWHERE,
        "does not exist in the datacenter",  # provider: "shared volume ...", status unknown
        ErrorClass.BAD_REQUEST,
        "the shared volume lies in another datacenter partition of the region than the GPUs",
    ),
)

REFUSING_STATUSES = frozenset({400, 404, 409, 412, 422})
"""Statuses with which a known text is a definite refusal. With a 5xx it is only a hint at what went wrong."""


def meaning_of(status: int, text: str) -> Meaning | None:
    """What an answer with this status and text is known to say; None when it says nothing that we know."""
    if status not in REFUSING_STATUSES:
        return None
    lowered = text.lower()
    return next((meaning for meaning in MEANINGS if meaning.fragment in lowered), None)
