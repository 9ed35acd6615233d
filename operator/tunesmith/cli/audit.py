"""`tunesmith audit`: what was done at the provider, for whom and how it ended, from the operator's audit log."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TextIO

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.cloud.audit_reading import NOT_KNOWN, AuditedWrite, read_audit

_SPAN = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STYLES = {"ok": "green", "NotFound": "yellow", NOT_KNOWN: "bold red"}


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """A time, or how long ago: '2026-05-01T12:00:00Z', '2026-05-01', '90m', '7d'. In UTC unless it says otherwise."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    if span is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        message = f"'{text}' is neither a time like 2026-05-01T12:00:00Z nor a span like 90m or 7d."
        raise click.BadParameter(message, context, option) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


@click.command()
@click.argument("log", type=click.File(encoding="utf-8", errors="replace"), envvar="TUNESMITH_AUDIT_PATH", default="-")
@click.option("--resource", help="Only of this resource: NAME, NAMESPACE/NAME, KIND/NAMESPACE/NAME, or its uid.")
@click.option("--since", callback=_moment, help="Only what began then or later: a time, or how long ago (90m, 7d).")
@click.option("--until", callback=_moment, help="Only what began before.")
@click.option("--open", "only_open", is_flag=True, help="Only writes that nobody saw ending: look at the provider.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="The form of the answer.")
def audit(
    *, log: TextIO, resource: str | None, since: datetime | None, until: datetime | None, only_open: bool, output: str
) -> None:
    """Tell what was done at the provider, from the operator's audit LOG.

    LOG is a file, or '-' for standard input, into which the operator's whole output may be fed:
    kubectl logs deploy/tunesmith | tunesmith audit -
    """
    writes = [
        write
        for write in read_audit(log)
        if (resource is None or write.line.resource.is_named(resource))
        and (since is None or write.begun >= since)
        and (until is None or write.begun < until)
        and (not only_open or write.ended is None)
    ]
    if output == "json":
        click.echo(json.dumps([write.as_json() for write in writes], indent=2))
        return
    Console().print(_table(writes))


def _table(writes: list[AuditedWrite]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("BEGAN", "RESOURCE", "DID", "AT THE PROVIDER", "INTENT", "OUTCOME"):
        table.add_column(heading, overflow="fold")
    table.add_column("USD/H", justify="right")
    for write in writes:
        line = write.line
        table.add_row(
            f"{write.begun:%Y-%m-%d %H:%M:%S}",
            Text(str(line.resource) or "-"),
            Text(f"{line.verb} {line.thing}"),
            Text(" ".join(filter(None, (line.id, line.name))) or "-"),
            Text(line.intent or "-"),
            Text(write.outcome, style=_STYLES.get(write.outcome, "red")),
            Text(line.usd_per_hour or "-"),
        )
    return table
