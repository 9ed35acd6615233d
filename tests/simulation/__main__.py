"""The simulation by command: `python -m tests.simulation --steps 1000000 --seed 1`.

Plays life after life until so many steps are done, counts every fault by its boundary, and ends with an error when an
oracle spoke, or when a fault that can strike at a boundary never did.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import Progress
from tests.simulation.campaign import Report, campaign, replay_command, replayed_small

WIDE = 200  # in a file nobody has to cut the table to what a terminal shows
console = Console() if sys.stdout.isatty() else Console(width=WIDE)


def main() -> int:
    """Read the arguments, play, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="play until so many requests were awaited")
    parser.add_argument("--seed", type=int, default=1, help="the first life's seed; the next lives count up")
    parser.add_argument("--lives", type=int, default=None, help="play so many lives, however many steps they take")
    parser.add_argument("--jobs", type=int, default=1, help="processes that play at once")
    arguments = parser.parse_args()
    report = Report(arguments.seed)
    with Progress(console=console, transient=True) as progress:
        total = arguments.lives or arguments.steps
        bar = progress.add_task("lives" if arguments.lives else "steps", total=total)
        for told in campaign(arguments.seed, steps=arguments.steps, lives=arguments.lives, jobs=arguments.jobs):
            report.add(told)
            progress.update(bar, completed=report.lives if arguments.lives else report.steps)
    console.print(report.table())
    console.print(report.summary())
    for told in report.failures:
        console.print(f"\n[red]seed {told.seed}[/]: {told.violation}\n  replay: {replay_command(told.seed)}")
    if report.failures:
        console.print(replayed_small(report.failures[0]))
    missing = [] if arguments.lives else report.never_struck()
    if missing:
        console.print(f"[red]never struck:[/] {', '.join(f'{kind} at {boundary}' for boundary, kind in missing)}")
    return 1 if report.failures or missing else 0


if __name__ == "__main__":
    sys.exit(main())
