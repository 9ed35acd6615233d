"""Draws one picture of the demo: steps, resources, pods, progress, Events, dollars. Looks at nothing by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunesmith_demo.picture import EventLine, NodeLine, Picture, PodLine, Progress, ResourceLine

FEWEST_EVENTS, MOST_EVENTS = 2, 6
BORDERS_AND_GAPS = 6

# Colours that every terminal has and that read on dark and on light ground: no yellow, no white, no black.
GOOD, BUSY, BAD, QUIET = "green", "cyan", "red", "dim"
_GOOD_WORDS = {"Ready", "InOrder", "InUse", "NotInUse", "Running", "Succeeded", "Training"}
_BAD_WORDS = {"NotReady", "Failed", "Stalled", "Degraded", "Error", "OOMKilled", "ErrImagePull", "ImagePullBackOff"}


@dataclass(frozen=True)
class Step:
    """A step of the demo and how long it took, or has taken so far."""

    text: str
    seconds: float
    done: bool


def draw(seen: Picture, steps: Sequence[Step], seconds: float, size: Console) -> Panel:
    """The whole picture; Events are as many as the height of the console leaves room for."""
    room = size.height - BORDERS_AND_GAPS - len(steps) - len(seen.resources) - len(seen.nodes) - len(seen.pods)
    events = seen.events[-min(MOST_EVENTS, max(FEWEST_EVENTS, room)) :]
    parts: list[RenderableType] = [_steps(steps)]
    looked_at = (_resources(seen.resources), _nodes(seen.nodes), _pods(seen.pods), _progress(seen.progress))
    for part in (*looked_at, _events(events)):
        if part is not None:
            parts += [Text(), part]
    minutes, rest = divmod(int(seconds), 60)
    title = f"[bold]Tunesmith[/bold] · {minutes}:{rest:02}"
    money = f"[bold]${seen.dollars}[/bold] so far · ${seen.dollars_per_hour} an hour"
    return Panel(
        Group(*parts), title=title, title_align="left", subtitle=money, subtitle_align="right", border_style="blue"
    )


def colour_of(word: str) -> str:
    """The colour of a state: what works, what needs somebody, what is on its way."""
    if word in _GOOD_WORDS:
        return GOOD
    if word in _BAD_WORDS:
        return BAD
    return QUIET if word == "-" else BUSY


def _steps(steps: Sequence[Step]) -> Table:
    table = _grid()
    table.columns[0].ratio = 1
    table.add_column(justify="right", no_wrap=True, style=QUIET)
    table.expand = True
    for step in steps:
        mark, style = (("✔ ", GOOD), QUIET) if step.done else (("▸ ", BUSY), "bold")
        table.add_row(Text.assemble(mark, (step.text, style)), f"{step.seconds:.1f} s")
    return table


def _resources(resources: Sequence[ResourceLine]) -> Table | None:
    table = Table.grid(padding=(0, 2), expand=True)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style=QUIET)
    for each in resources:
        table.add_row(Text(each.kind, style="bold"), _state(each.state), each.count, each.message)
    return table if resources else None


def _nodes(nodes: Sequence[NodeLine]) -> Table | None:
    table = _grid(3)
    for node in nodes:
        table.add_row(node.name, _state(node.state), Text(node.note, style=QUIET))
    return table if nodes else None


def _pods(pods: Sequence[PodLine]) -> Table | None:
    table = _grid(3)
    for pod in pods:
        table.add_row(pod.name, _state(pod.phase), Text(f"on {pod.node}" if pod.node != "-" else "", style=QUIET))
    return table if pods else None


def _progress(at: Progress) -> Table | None:
    if not at.total:
        return None
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(ratio=1)
    for _ in range(3):
        table.add_column(no_wrap=True)
    bar = ProgressBar(total=at.total, completed=at.step, style="bright_black", complete_style=BUSY, finished_style=GOOD)
    loss = Text(f"loss {rounded(at.loss, 3)}", style="bold") if at.loss else Text()
    speed = f"{rounded(at.tokens_per_second, 0)} tokens/s" if at.tokens_per_second else ""
    left = f"{at.eta_seconds} s left" if at.eta_seconds else ""
    table.add_row(f"step {at.step}/{at.total}", bar, loss, speed, left)
    return table


def _events(events: Sequence[EventLine]) -> Table | None:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, min_width=max((len(each.kind) for each in events), default=0), style=QUIET)
    table.add_column(no_wrap=True, min_width=max((len(each.reason) for each in events), default=0))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style=QUIET)
    for event in events:
        table.add_row(event.kind, Text(event.reason, style=BAD if event.warns else ""), event.message)
    return table if events else None


def rounded(number: str, places: int) -> str:
    """A decimal of the API with fewer places, for reading."""
    return f"{Decimal(number):.{places}f}"


def _state(word: str) -> Text:
    return Text("● ", style=colour_of(word)).append(word, style=colour_of(word))


def _grid(columns: int = 1) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(no_wrap=True, overflow="ellipsis")
    return table
