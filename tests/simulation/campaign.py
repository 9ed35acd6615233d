"""Life after life, and what they say together: steps, faults by boundary, and the first words of the oracles."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from rich.table import Table
from tests.simulation.faults import APPLICABLE, Boundary, Kind
from tests.simulation.life import Told, lived
from tests.simulation.shrinking import shrunk


def campaign(seed: int, *, steps: int, lives: int | None = None, jobs: int = 1) -> Iterator[Told]:
    """Lives from this seed on, until `lives` of them are over or `steps` are done."""
    played, done = 0, 0
    for told in _lives(seed, jobs):
        played, done = played + 1, done + told.steps
        yield told
        if played == lives or (lives is None and done >= steps):
            return


def _lives(seed: int, jobs: int) -> Iterator[Told]:
    """One after the other, or some at once; always in the order of their seeds."""
    if jobs == 1:
        while True:
            yield quietly_lived(seed)
            seed += 1
    with ProcessPoolExecutor(jobs) as pool:
        while True:
            batch = range(seed, seed + jobs * 8)
            yield from pool.map(quietly_lived, batch)
            seed = batch.stop


def quietly_lived(seed: int) -> Told:
    """One life. The operator's warnings about the faults that it meets are no news here."""
    logging.getLogger("tunesmith").setLevel(logging.CRITICAL)
    return lived(seed)


def replay_command(seed: int) -> str:
    """What plays this life again."""
    return f"python -m tests.simulation --lives 1 --seed {seed}"


def replayed_small(told: Told) -> str:
    """The life with as few faults as it still fails with, and where they struck."""
    struck = tuple(fault for _, fault in told.struck)
    few = shrunk(struck, lambda faults: lived(told.seed, faults).violation is not None)
    again = lived(told.seed, few)
    lines = [f"  at {at - 1000:8.1f} s  {fault}" for at, fault in again.struck]
    return "\n".join((f"with {len(lines)} of {len(struck)} faults:", *lines, f"  {again.violation}"))


@dataclass
class Report:
    """What a campaign has seen."""

    seed: int
    lives: int = 0
    steps: int = 0
    passes: int = 0
    bought: int = 0
    seconds: float = 0.0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Told] = field(default_factory=list)

    def add(self, told: Told) -> None:
        """One more life."""
        self.lives += 1
        self.steps += told.steps
        self.passes += told.passes
        self.bought += told.bought
        self.seconds += told.seconds
        self.counts += told.counts
        if told.violation is not None:
            self.failures.append(told)

    def never_struck(self) -> list[tuple[str, str]]:
        """Boundaries and the faults that can strike there and did not."""
        every = [(str(boundary), str(kind)) for boundary, kinds in APPLICABLE.items() for kind in kinds]
        return [place for place in every if not self.counts[place]]

    def table(self) -> Table:
        """Faults by boundary."""
        kinds = list(Kind)
        table = Table("boundary", *(str(kind) for kind in kinds), title="faults that struck")
        for boundary in Boundary:
            cells = [str(self.counts[boundary, kind]) if kind in APPLICABLE[boundary] else "" for kind in kinds]
            table.add_row(str(boundary), *cells)
        return table

    def summary(self) -> str:
        """The figures."""
        twice = sum("bought twice" in str(told.violation) for told in self.failures)
        return (
            f"{self.steps} steps, {self.passes} passes, {self.lives} lives (seeds {self.seed} to "
            f"{self.seed + self.lives - 1}), {self.seconds / 86400:.1f} days played, {self.bought} clusters bought, "
            f"{sum(self.counts.values())} faults; duplicates {twice}, all failures {len(self.failures)}"
        )
