"""The report of `tunesmith-trainer check` for a person: tables, a histogram, and what to do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tunesmith_trainer.contract.check import DatasetReport, Lengths, RowFault
from tunesmith_trainer.data.encoded import ADVICE
from tunesmith_trainer.data.files import DataSource

WIDTH = 110
BAR_WIDTH = 40
REFRESH_SECONDS = 0.5


@contextmanager
def working(file: DataSource) -> Iterator[None]:
    """A bar of the bytes read, on stderr, when that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    over = threading.Event()
    with Progress(
        TextColumn("Checking"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("Checking", total=file.bytes_total)

        def follow() -> None:
            while not over.wait(REFRESH_SECONDS):
                bar.update(task, completed=file.bytes_read)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            over.set()
            follower.join()


def shown_report(report: DatasetReport) -> str:
    """The whole report as text."""
    written = StringIO()
    console = Console(file=written, width=WIDTH, highlight=False)
    console.print(_facts(report))
    for title, table in _sections(report):
        console.print(f"\n{title}")
        console.print(table)
    console.print(f"\n{_verdict(report)}")
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _sections(report: DatasetReport) -> Iterator[tuple[str, Table]]:
    if report.lengths is not None:
        yield _length_title(report.lengths), _histogram(report.lengths)
    if report.dropped:
        yield "Rows that are not trained on", _dropped(report)
    if report.faults:
        more = "" if report.broken == len(report.faults) else f", the first {len(report.faults)}"
        yield f"Broken rows ({report.broken:,}){more}", _faults(report)


def _facts(report: DatasetReport) -> Table:
    table = _table()
    table.add_row("file", escape(report.file))
    if report.format:
        table.add_row("format", f"{report.container} with rows of {report.format}, for {report.method}")
    kept = f"{report.trained:,} of {report.rows:,} are trained on"
    table.add_row("rows", kept + (f", {report.truncated:,} of them cut" if report.truncated else ""))
    table.add_row("tokens", f"{report.tokens:,}, of which {report.learnt_tokens:,} are learnt")
    if report.duplicates is not None and report.duplicates.rows:
        found = report.duplicates
        table.add_row("duplicates", f"{found.rows:,}; the first is {found.first}, which repeats {found.repeats}")
    packs = "packed into" if report.packing else "make"
    table.add_row("one epoch", f"{report.trained:,} rows {packs} {report.sequences:,} sequences" + _steps(report))
    return table


def _steps(report: DatasetReport) -> str:
    if report.batch is None:
        return "; give --batch for the steps"
    return f": {report.steps_per_epoch:,} steps of {report.batch:,}"


def _length_title(lengths: Lengths) -> str:
    return (
        f"Tokens of a row, before any cut: half have at most {lengths.p50:,}, 90 % {lengths.p90:,}, "
        f"99 % {lengths.p99:,}, the longest {lengths.max:,}"
    )


def _histogram(lengths: Lengths) -> Table:
    table = _table()
    most = max(one.rows for one in lengths.histogram)
    for one in lengths.histogram:
        bar = "█" * round(BAR_WIDTH * one.rows / most) or ("▏" if one.rows else "")
        table.add_row(f"{one.least:>8,} to {one.most:>8,}", f"{one.rows:>10,}", bar)
    return table


def _dropped(report: DatasetReport) -> Table:
    table = _table(header=True)
    for name in ("rows", "reason", "why"):
        table.add_column(name, justify="right" if name == "rows" else "left")
    for reason, count in report.dropped.items():
        table.add_row(f"{count:,}", reason, next((why for known, why in ADVICE.items() if known == reason), ""))
    return table


def _faults(report: DatasetReport) -> Table:
    table = _table(header=True)
    table.add_column("where", no_wrap=True)
    table.add_column("what is wrong")
    for fault in report.faults:
        table.add_row(_where(fault), escape(fault.reason))
    return table


def _table(*, header: bool = False) -> Table:
    return Table(show_header=header, box=None, padding=(0, 2, 0, 0))


def _where(fault: RowFault) -> str:
    column = f", column {fault.column}" if fault.column is not None else ""
    return f"{fault.unit} {fault.number}{column}" + (f", {escape(fault.part)}" if fault.part else "")


def _verdict(report: DatasetReport) -> str:
    if report.ok:
        return "Training can begin."
    if report.problem:
        return f"Training would not begin. {escape(report.problem)}"
    return "Training would not begin: it ends at the first broken row."
