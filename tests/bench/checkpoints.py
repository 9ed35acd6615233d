"""What training waits for a checkpoint: through the thread that brings it to the storage, and without it.

Rounds alternate. "In line" is what it would be without the thread: the same copying, hashing and committing, and
training waits for the end. Prints figures with their conditions; asserts nothing about time.
Run: python tests/bench/checkpoints.py [MEGABYTES] [SECONDS_OF_WORK] [STORAGE_DIRECTORY]
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.keeping import Keeper, Plan
from tunesmith_trainer.rhythm import Steps

ROUNDS = 5
SAVES = 3


def a_round(root: Path, state: dict[str, torch.Tensor], work_seconds: float, *, by_thread: bool) -> list[float]:
    """Seconds that the training thread waited for each of the round's saves."""
    with tempfile.TemporaryDirectory(dir=root) as storage, tempfile.TemporaryDirectory() as staging:
        attempt = Attempt(Path(storage) / "job", 1)
        attempt.claim()
        keeper = Keeper(
            Plan(
                attempt=attempt,
                rank=0,
                world_size=1,
                config_hash="a" * 64,
                keep=1,
                counted=Steps(tuple(range(1, SAVES + 1))),
                staging=Path(staging) / "checkpoints",
                needed_bytes=0,
                patience_seconds=60,
            )
        )
        waited = []
        for step in range(1, SAVES + 1):
            began = time.monotonic()
            directory = keeper.place(step)
            directory.mkdir(parents=True)
            torch.save(state, directory / "optimizer.pt")
            keeper.hand_over(step, Memory())
            if not by_thread:
                keeper.finish()
            waited.append(time.monotonic() - began)
            time.sleep(work_seconds)
        keeper.finish()
        if keeper.failure is not None:
            raise keeper.failure
    return waited


def main() -> None:
    """Prints the comparison."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    work_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    root = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.gettempdir())
    state = {"state": torch.rand(megabytes * 250_000)}
    found: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for by_thread in found:
            found[by_thread] += a_round(root, state, work_seconds, by_thread=by_thread)
    print(
        f"A checkpoint of {megabytes} MB, {work_seconds:g} s of work between two, storage '{root}'; {os.cpu_count()} "
        f"cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, torch {torch.__version__}; median "
        f"of {ROUNDS * SAVES} saves (lowest to highest)"
    )
    for by_thread, name in ((False, "in line"), (True, "by the thread")):
        waits = found[by_thread]
        spread = f"{min(waits):.2f} to {max(waits):.2f}"
        print(f"  {name:<14} training waits {statistics.median(waits):6.2f} s ({spread}) a save")


if __name__ == "__main__":
    main()
