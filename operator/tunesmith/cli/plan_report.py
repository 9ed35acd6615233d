"""How `tunesmith plan` tells its estimate: a table with a bar of the memory for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.cli.plan_request import Request
from tunesmith.planning.memory.cards import GIB
from tunesmith.planning.memory.objections import Objection
from tunesmith.planning.memory.plan import Estimate
from tunesmith.planning.memory.throughput import Range
from tunesmith.planning.memory.work import Work
from tunesmith.resources.fine_tune_job_inputs import Method, MethodType

BAR_WIDTH = 32
COLORS = ("blue", "magenta", "cyan", "yellow", "green", "red", "white")
NOTE = (
    "Memory follows a formula that agrees with the provider's table of limits; speed, hours and dollars are ranges of "
    "what was published for other trainers. After 20 steps believe the job's own figures."
)


def print_plan(console: Console, request: Request, done: Estimate, against: tuple[Objection, ...]) -> None:
    """The whole plan."""
    console.print(Text(_headline(request, done), style="bold"))
    console.print(_facts(request, done))
    console.print(_memory(done))
    if against:
        console.print(Text("It cannot be done so:", style="bold red"))
        for each in against:
            console.print(Text(f"  {each.message}"), soft_wrap=True)
    else:
        console.print(Text("It fits.", style="bold green"))
    console.print(Text(NOTE, style="dim"))


def as_json(request: Request, done: Estimate, against: tuple[Objection, ...]) -> dict[str, Any]:
    """The same for programs: the names of `status.plan` where that has them, None for what is not known."""
    batch, work = done.batch, request.work
    return {
        "model": request.title,
        "method": method_name(request.method),
        "tuning": tuning_name(work),
        "precision": work.numbers.value,
        "contextLength": work.context,
        "gpuType": done.wish.card.name,
        "gpus": done.layout.gpus,
        "fits": not against,
        "sharding": done.layout.sharding.value,
        "microBatch": batch.micro if batch else None,
        "gradientAccumulation": batch.accumulation if batch else None,
        "batchSize": batch.rows if batch else None,
        "longestContext": min(done.longest_context, request.allowed.context_length or done.longest_context),
        "memoryGiB": {name: _gib(size) for name, size in done.memory.by_name().items()},
        "estimatedMemoryGiB": _gib(done.memory.total),
        "usableMemoryGiB": round(done.usable_gib, 2),
        "tokensPerSecondPerGPU": _range(done.speed),
        "estimatedHours": _range(done.hours),
        "estimatedUSD": None if done.dollars is None else [str(done.dollars.low), str(done.dollars.high)],
        "objections": [{"reason": each.reason, "message": each.message} for each in against],
        "fixes": [{"setting": fix.setting, "value": fix.value} for fix in done.fixes],
    }


def method_name(method: Method) -> str:
    """The name under which people know the method."""
    dpo = method.dpo
    if method.type is MethodType.SFT:
        return "SFT"
    if dpo is None:
        return "DPO"
    if dpo.simpo_gamma:
        return "SimPO"
    if dpo.rpo_alpha:
        return "DPO+NLL"
    if dpo.reference_free:
        return "reference-free DPO"
    return "LN-DPO" if dpo.normalize_logratios_by_length else "DPO"


def tuning_name(work: Work) -> str:
    """What of the model is tuned."""
    adapter = work.adapter
    if adapter is None:
        return "every weight"
    return f"{'QLoRA' if adapter.four_bit_base else 'LoRA'} rank {adapter.rank}{', dropout' if adapter.dropout else ''}"


def _headline(request: Request, done: Estimate) -> str:
    work = request.work
    parts = (
        request.title,
        method_name(request.method),
        tuning_name(work),
        work.numbers.value,
        f"{work.context} tokens",
        f"{done.layout.gpus} x {done.wish.card.name}",
    )
    return " · ".join(parts)


def _facts(request: Request, done: Estimate) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in _rows(request, done):
        table.add_row(name, Text(value))
    return table


def _rows(request: Request, done: Estimate) -> Iterator[tuple[str, str]]:
    batch, longest = done.batch, done.longest_context
    spread = {"None": "one GPU", "DDP": "whole on each GPU (DDP)", "FSDP2": "in parts over all GPUs (FSDP2)"}
    yield "the model is", spread[done.layout.sharding.value]
    if batch is not None:
        bites = f"{batch.micro} at once x {_counted(batch.world, 'GPU')} x {_counted(batch.accumulation, 'time')}"
        yield "batch", f"{batch.rows} rows: {bites}"
    yield "rows that fit at once", f"{done.layout.rows} on a GPU"
    limit = request.allowed.context_length
    table = f"; the provider's table allows {limit}" if limit is not None else ""
    yield "longest context", f"{f'{longest} tokens fit' if longest else 'none fits'}{table}"
    speed = done.speed
    if speed is not None:
        whole = Range(speed.low * done.layout.gpus, speed.high * done.layout.gpus)
        yield "tokens per second", f"{_span(speed)} on a GPU, {_span(whole)} in all"
    else:
        yield "tokens per second", f"not estimated in {request.work.numbers.value}"
    if done.hours is not None:
        yield "hours", _span(done.hours)
    elif done.wish.tokens is None:
        yield "hours", "give --tokens, the size of the dataset"
    if done.dollars is not None:
        yield "dollars", f"{done.dollars.low} to {done.dollars.high}, at {done.wish.gpu_hour_usd} a GPU-hour"
    elif done.hours is not None:
        yield "dollars", "no price of this type is known: give --price"


def _memory(done: Estimate) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("MEMORY OF ONE GPU")
    table.add_column("GiB", justify="right")
    table.add_column("")
    scale = BAR_WIDTH / max(done.usable_gib * GIB, done.memory.total)
    before = 0.0
    for (name, size), color in zip(done.memory.by_name().items(), COLORS, strict=True):
        if size:
            bar = " " * round(before * scale) + "█" * max(1, round((before + size) * scale) - round(before * scale))
            table.add_row(name, f"{size / GIB:.1f}", Text(bar, style=color))
        before += size
    table.add_section()
    card = done.wish.card
    table.add_row("in all", f"{done.memory_gib:.1f}", "")
    table.add_row(f"usable of {card.memory_bytes / GIB:.1f}", f"{done.usable_gib:.1f}", "")
    return table


def _span(of: Range) -> str:
    return f"{_short(of.low)} to {_short(of.high)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _short(number: float) -> str:
    """Two digits that mean something."""
    if number < 0.01:
        return "under 0.01"
    if number >= 100:
        digits = len(str(int(number))) - 2
        return f"{round(number, -digits):.0f}"
    return f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def _gib(size: float) -> float:
    return round(size / GIB, 2)


def _range(of: Range | None) -> list[float] | None:
    return None if of is None else [round(of.low, 4), round(of.high, 4)]
