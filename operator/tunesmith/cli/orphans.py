"""`tunesmith orphans`: what bills at the provider and no resource answers for, with its cost so far.

It reads the operator's own report from the cluster, so it needs a kubeconfig and no API key.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import click
from kubernetes.config import ConfigException
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.cli.environment import kubeconfig_of_environment
from tunesmith.kube.connect import open_local
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import CONFIG_MAP
from tunesmith.planning.orphan_report import REPORT_KEY, OrphanReport, report_name
from tunesmith.planning.orphans import Orphan
from tunesmith.resources.timestamps import format_time


@click.command()
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The cluster that the operator runs in. Default: KUBECONFIG, or the pod's service account.",
)
@click.option("-n", "--namespace", envvar="TUNESMITH_OPERATOR_NAMESPACE", default="tunesmith-system", show_default=True)
@click.option("--release", envvar="TUNESMITH_LEASE_NAME", default="tunesmith", help="The full name of the release.")
@click.option("--all", "everything", is_flag=True, help="Also what its users chose to keep (Retain, abandon).")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="The form of the answer.")
def orphans(*, kubeconfig: Path | None, namespace: str, release: str, everything: bool, output: str) -> None:
    """Tell what bills at the provider under a name of this installation although no resource answers for it."""
    try:
        report = asyncio.run(_read(kubeconfig or kubeconfig_of_environment(), namespace, report_name(release)))
    except (KubeError, ConfigException, ValidationError) as error:
        raise click.ClickException(f"The report of orphans cannot be read: {error}") from error
    now = datetime.now(UTC)
    lines = [] if report is None else [each.orphan() for each in report.orphans]
    shown = [each for each in lines if everything or each.kept is None]
    if output == "json":
        click.echo(json.dumps([_as_json(each, now) for each in shown], indent=2))
        return
    if not shown:
        click.echo("No orphans are known: a resource answers for everything of this installation that bills.")
        return
    Console().print(_table(shown, now))
    if report is not None and report.left_out:
        click.echo(f"{report.left_out} more are left out.")


async def _read(kubeconfig: Path | None, namespace: str, name: str) -> OrphanReport | None:
    kube = await open_local(kubeconfig)
    try:
        found = await kube.get(CONFIG_MAP, namespace, name)
    finally:
        await kube.close()
    text = ((found or {}).get("data") or {}).get(REPORT_KEY)
    return None if text is None else OrphanReport.model_validate_json(text)


def _as_json(orphan: Orphan, now: datetime) -> dict[str, object]:
    found, cost, since = orphan.found, orphan.cost_usd(now), orphan.billed_since
    return {
        "kind": found.kind,
        "id": found.id,
        "name": found.name,
        "status": found.status,
        "region": found.region or None,
        "gpuType": found.gpu_type or None,
        "gpus": found.gpus or None,
        "sizeTiB": found.size_tib or None,
        "billedSince": None if since is None else format_time(since),
        "hourlyUSD": None if orphan.hourly_usd is None else str(orphan.hourly_usd),
        "costUSD": None if cost is None else str(cost),
        "kept": None if orphan.kept is None else str(orphan.kept),
        "stays": orphan.stays or None,
    }


def _table(shown: list[Orphan], now: datetime) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("KIND", "AT THE PROVIDER", "WHAT", "BILLED SINCE"):
        table.add_column(heading, overflow="fold")
    for heading in ("USD/H", "USD SO FAR"):
        table.add_column(heading, justify="right")
    table.add_column("WHY IT STAYS", overflow="fold")
    for orphan in shown:
        found, cost, since = orphan.found, orphan.cost_usd(now), orphan.billed_since
        what = f"{found.gpus} x {found.gpu_type}, {found.region}" if found.gpus else f"{found.size_tib} TiB"
        table.add_row(
            found.kind,
            Text(f"{found.id} {found.name}"),
            Text(what),
            f"{since:%Y-%m-%d %H:%M}" if since is not None else "unknown",
            str(orphan.hourly_usd) if orphan.hourly_usd is not None else "unknown",
            str(cost) if cost is not None else "unknown",
            Text(orphan.stays or "it is being deleted"),
        )
    return table
