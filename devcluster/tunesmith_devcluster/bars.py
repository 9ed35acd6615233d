"""How long work shows itself at a terminal: as bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tunesmith_devcluster.progress import Lines


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
