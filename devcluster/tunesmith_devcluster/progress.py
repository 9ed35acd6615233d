"""How long work shows itself: plain lines, or a bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 15


class Lines:
    """A line now and then, for logs, pipes, and callers that show progress in their own way."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    @contextmanager
    def count(self, text: str, total: int) -> Iterator[Callable[[], None]]:
        """Count the steps of a piece of work: the body calls what it is given once per step."""
        done, last_line = 0, time.monotonic()
        self.say(f"{text}: {total} steps")

        def step() -> None:
            nonlocal done, last_line
            done += 1
            if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                self.say(f"{text}: {done} of {total}")

        yield step


class Bars(Lines):
    """A bar for whoever sits at a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda text: console.print(f"[dim]·[/dim] {text}", highlight=False))
        self._console = console

    @contextmanager
    def count(self, text: str, total: int) -> Iterator[Callable[[], None]]:
        """Count the steps of a piece of work: the body calls what it is given once per step."""
        columns = (
            TextColumn("[dim]·[/dim] {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(text, total=total)
            yield lambda: progress.advance(task)


def on_stderr() -> Lines:
    """Bars if standard error is a terminal, else plain lines there."""
    console = Console(stderr=True)
    if console.is_terminal:
        return Bars(console)
    return Lines(lambda text: console.print(f"· {text}", highlight=False, markup=False, soft_wrap=True))
