"""Shows the demo: one live picture in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunesmith_demo.picture import Lens, Picture

LOOK_EVERY_SECONDS = 1.0


class View:
    """Steps done and under way, and what the world looks like meanwhile.

    A thread of its own looks at the world and draws, so that a step may block. `lens` may be set late.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.lens: Lens | None = None
        self.began = time.monotonic()
        self._done: list[tuple[str, float]] = []
        self._now: str | None = None
        self._picture = Picture()
        self._live = Live(console=self.console, refresh_per_second=4) if sys.stdout.isatty() else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._live:
            self._live.update(self._draw())
            self._live.stop()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step of the demo: shown while it runs, ticked off when it ends without an error."""
        start, self._now = time.monotonic(), text
        if not self._live:
            self.console.print(f"... {text}")
        yield
        took, self._now = time.monotonic() - start, None
        self._done.append((text, took))
        if not self._live:
            self.console.print(f"ok  {text} ({took:.1f} s)")

    def say(self, text: str) -> None:
        """A line that stays, above the live picture."""
        self.console.print(text)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_SECONDS):
            before, lens = self._picture, self.lens
            if lens:
                self._picture = lens.look()
            if self._live:
                self._live.update(self._draw())
            else:
                self._tell_changes(before, self._picture)

    def _tell_changes(self, before: Picture, after: Picture) -> None:
        if (before.cluster_state, before.cluster_reason, before.nodes) != (
            after.cluster_state,
            after.cluster_reason,
            after.nodes,
        ):
            self.console.print(f"    cluster: {after.cluster_state} {after.cluster_reason} nodes {after.nodes}")
        if before.job_state != after.job_state or before.progress != after.progress:
            at = after.progress
            self.console.print(f"    job: {after.job_state} step {at.step}/{at.total} loss {at.loss or '-'}")
        for event in after.events:
            if event not in before.events:
                self.console.print(f"    event: {event}")

    def _draw(self) -> Panel:
        seen = self._picture
        parts: list[RenderableType] = [self._steps(), Text(), self._resources(seen), self._pods(seen)]
        parts += [self._bar(seen), self._events(seen)]
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        money = f"${seen.dollars} so far, ${seen.dollars_per_hour} an hour"
        return Panel(Group(*parts), title=f"Tunesmith · {minutes}:{seconds:02} · {money}", title_align="left")

    def _steps(self) -> Text:
        text = Text()
        for name, took in self._done:
            text.append("✔ ", style="green").append(f"{name} ", style="dim").append(f"{took:.1f} s\n", style="dim")
        if self._now:
            text.append("▸ ", style="yellow").append(self._now)
        return text

    def _resources(self, seen: Picture) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row("cluster", seen.cluster_state, f"nodes {seen.nodes}", seen.cluster_reason)
        table.add_row("volume", seen.volume_state, "", "")
        table.add_row("job", seen.job_state, "", seen.job_message[:80])
        return table

    def _pods(self, seen: Picture) -> Table:
        table = Table.grid(padding=(0, 2))
        for pod in seen.pods:
            table.add_row("  pod", pod.name, pod.node, pod.phase)
        return table

    def _bar(self, seen: Picture) -> Table:
        at, table = seen.progress, Table.grid(padding=(0, 2))
        if at.total:
            speed = f"{at.tokens_per_second} tokens/s" if at.tokens_per_second else ""
            bar = ProgressBar(total=at.total, completed=at.step, width=40)
            table.add_row(f"step {at.step}/{at.total}", bar, f"loss {at.loss or '-'}", speed)
        return table

    def _events(self, seen: Picture) -> Text:
        return Text("\n".join(event[: self.console.width - 6] for event in seen.events), style="dim")
