"""Preference training without a reference model, SimPO among it: the reference's log-probabilities are known numbers.

SimPO's loss is -log sigmoid(beta * (mean log p of the preferred answer's tokens - that of the other's) - gamma). That
is the length-normalised loss with a reference whose preferred answer has the log-probability gamma / beta for each of
its tokens, and whose other answer has 0; with gamma 0 it is the loss without a reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KnownReference:
    """Puts the known log-probabilities of the reference beside each pair, then collates as TRL does."""

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    beta: float
    gamma: float

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of pairs, with `ref_chosen_logps` and `ref_rejected_logps`."""
        margin_per_token = self.gamma / self.beta
        return self.collate(
            [
                {
                    **pair,
                    "ref_chosen_logps": margin_per_token * len(pair["chosen_ids"]),
                    "ref_rejected_logps": 0.0,
                }
                for pair in pairs
            ]
        )
