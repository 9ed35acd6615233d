"""A promise of the product, kept or broken: what the demo and its stories check, and how they wait for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from tunesmith_demo.picture import Picture

LOOK_SECONDS = 0.5
PODS = 2
TRAINING_POD = re.compile(r"-a\d+-\d+-\w+$")
"""What fetches and checks before a training runs in pods of other names."""


class BrokenPromiseError(AssertionError):
    """Something that the demo promises did not happen; the message says what was seen instead."""


def until(reached: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait until `reached`. Raises BrokenPromiseError with what `otherwise` tells when it takes longer."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise BrokenPromiseError(f"{otherwise()} (waited {seconds:.0f} s)")
        time.sleep(LOOK_SECONDS)


def promised(kept: object, otherwise: str) -> None:
    """Raises BrokenPromiseError with these words when a promise was not kept."""
    if not kept:
        raise BrokenPromiseError(otherwise)


@dataclass
class Witness:
    """What was seen of a training, look by look. Some of it is gone when the training has ended."""

    steps: set[int] = field(default_factory=set)
    tokens_per_second: Decimal = Decimal(0)
    nodes: frozenset[str] = frozenset()
    dollars: Decimal = Decimal(0)
    dollars_per_hour: Decimal = Decimal(0)

    def look(self, seen: Picture) -> None:
        """Remember the most of each."""
        self.steps |= {seen.progress.step} - {0}
        self.tokens_per_second = max(self.tokens_per_second, Decimal(seen.progress.tokens_per_second or 0))
        running = [pod.node for pod in seen.pods if pod.phase == "Running" and TRAINING_POD.search(pod.name)]
        self.nodes = max(self.nodes, frozenset(running), key=len)
        self.dollars = max(self.dollars, Decimal(seen.dollars))
        self.dollars_per_hour = max(self.dollars_per_hour, Decimal(seen.dollars_per_hour))

    def testify(self, *, steps: int) -> None:
        """Raises BrokenPromiseError for what was never seen; so many different steps should have been."""
        where = ", ".join(sorted(self.nodes)) or "none"
        promised(len(self.nodes) == PODS, f"{PODS} pods should have run on {PODS} nodes at once; they ran on {where}")
        told = sorted(self.steps)
        promised(len(told) >= steps, f"progress should have been seen live; only steps {told} were")
        promised(self.tokens_per_second > 0, "the job never told how many tokens it trains in a second")
        promised(self.dollars_per_hour > 0, "no status told what an hour costs")
        promised(self.dollars > 0, "no status told what was spent so far")
