"""Shows the demo: one live picture in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from tunesmith_demo.panel import Step, draw, rounded
from tunesmith_demo.picture import Lens, Picture

LOOK_EVERY_SECONDS = 1.0
PORTRAIT_COLUMNS, PORTRAIT_LINES = 100, 40


class View:
    """Steps done and under way, and what the world looks like meanwhile.

    A thread of its own looks at the world and draws, so that a step may block. `lens` may be set late. With `portrait`
    the picture of mid-training is kept in that file, as SVG.
    """

    def __init__(self, console: Console | None = None, portrait: Path | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.lens: Lens | None = None
        self.began = time.monotonic()
        self._portrait = portrait
        self._done: list[Step] = []
        self._now: tuple[str, float] | None = None
        self._picture = Picture()
        self._most_spent = Decimal(0)  # a sum that falls went with its resource, and is no news
        self._live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        self._stop = threading.Event()
        self._looking = threading.Lock()
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
            self._live.update(self._draw(self.console))
            self._live.stop()

    def look_through(self, lens: Lens | None) -> None:
        """Show what this lens sees from now on; the one before is closed."""
        before, self.lens = self.lens, lens
        with self._looking:
            if before is not None and before is not lens:
                before.close()
            self._picture, self._most_spent = Picture(), Decimal(0)

    def chapter(self, title: str) -> None:
        """Begin anew: the steps so far are no longer shown."""
        self._done = []
        self.began = time.monotonic()
        self.say(f"\n{title}", style="bold")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step of the demo: shown while it runs, ticked off when it ends without an error."""
        start = time.monotonic()
        self._now = (text, start)
        if not self._live:
            self.say(f"... {text}")
        yield
        took, self._now = time.monotonic() - start, None
        self._done.append(Step(text, took, done=True))
        if not self._live:
            self.say(f"ok  {text} ({took:.1f} s)")

    def say(self, text: str, style: str = "") -> None:
        """A line that stays, above the live picture. It is shown as it is: what models say may look like markup."""
        self.console.print(text, style=style, markup=False, soft_wrap=not self._live)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_SECONDS):
            with self._looking:
                before, lens = self._picture, self.lens
                if lens:
                    self._picture = lens.look()
            if self._live:
                self._live.update(self._draw(self.console))
            else:
                self._tell_changes(before, self._picture)
            self._keep_portrait()

    def _tell_changes(self, before: Picture, after: Picture) -> None:
        known = {(each.kind, each.state, each.count) for each in before.resources}
        for each in after.resources:
            if each.state != "-" and (each.kind, each.state, each.count) not in known:
                self.say(f"    {each.kind:<12}  {' · '.join(filter(None, (each.state, each.count)))}")
        for node in after.nodes:
            if node not in before.nodes:
                self.say(f"    Node {node.name}  {node.state} · {node.note}")
        for pod in after.pods:
            if pod.node != "-" and pod not in before.pods:
                self.say(f"    Pod {pod.name}  {pod.phase} · on {pod.node}")
        if _money(after) != _money(before) and Decimal(after.dollars) >= self._most_spent:
            self._most_spent = Decimal(after.dollars)
            self.say(f"    ${after.dollars} so far · ${after.dollars_per_hour} an hour")
        at = after.progress
        if at.total and at != before.progress:
            loss = f" · loss {rounded(at.loss, 3)}" if at.loss else ""
            speed = f" · {rounded(at.tokens_per_second, 0)} tokens/s" if at.tokens_per_second else ""
            self.say(f"    step {at.step}/{at.total}{loss}{speed}")
        for event in after.events:
            if event not in before.events:
                self.say(f"    {event.kind:<12}  {event.reason}: {event.message}")

    def _draw(self, size: Console) -> Panel:
        now = time.monotonic()
        current = [Step(self._now[0], now - self._now[1], done=False)] if self._now else []
        return draw(self._picture, [*self._done, *current], now - self.began, size)

    def _keep_portrait(self) -> None:
        """The last picture before two thirds of the steps are done; steps have been made, so all of it has content."""
        at = self._picture.progress
        if self._portrait is None or not 0 < at.step * 3 <= at.total * 2:
            return
        paper = Console(
            record=True,
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            width=PORTRAIT_COLUMNS,
            height=PORTRAIT_LINES,
        )
        paper.print(self._draw(paper))
        svg = paper.export_svg(title="make demo")
        self._portrait.write_text(without_web_fonts(svg), encoding="utf-8")


def _money(seen: Picture) -> tuple[str, int]:
    """What is worth a line: another price, or another whole dollar."""
    return seen.dollars_per_hour, int(Decimal(seen.dollars))


def without_web_fonts(svg: str) -> str:
    """The picture with the reader's own monospace font: pages that show pictures load nothing on their behalf."""
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
