"""`tunesmith orphans`: what bills at the provider and no resource answers for, with its cost so far.

It reads the operator's own report from the cluster, so it needs a kubeconfig and no API key. The Lease says whether
there is an operator that would have written what is new: without one, silence is no good news.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from tunesmith.kube.kinds import CONFIG_MAP, LEASE
from tunesmith.planning.orphan_report import REPORT_KEY, OrphanReport, report_name
from tunesmith.planning.orphans import Orphan
from tunesmith.resources.timestamps import format_time, parse_time

ALIVE_WITHIN = timedelta(minutes=5)
"""A Lease is renewed every few seconds; the rest is for clocks that differ."""


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
        read = asyncio.run(_read(kubeconfig or kubeconfig_of_environment(), namespace, release))
    except (KubeError, ConfigException, ValidationError) as error:
        raise click.ClickException(f"The report of orphans cannot be read: {error}") from error
    now = datetime.now(UTC)
    is_alive = read.renewed is not None and now - read.renewed < ALIVE_WITHIN
    if read.report is None:
        raise click.ClickException(_why_there_is_none(namespace, release, is_alive=is_alive))
    shown = [line.orphan() for line in read.report.orphans if everything or line.kept is None]
    if output == "json":
        click.echo(json.dumps([_as_json(each, now) for each in shown], indent=2))
    elif shown:
        Console().print(_table(shown, now))
    elif is_alive:
        click.echo("No orphans are known: a resource answers for everything that the keys in use show.")
    if read.report.left_out:
        click.echo(f"{read.report.left_out} more are left out.", err=True)
    as_of = f"{read.report.as_of:%Y-%m-%d %H:%M:%S} UTC"
    if not is_alive:
        raise click.ClickException(_why_it_may_be_old(namespace, release, as_of, read.renewed))
    click.echo(f"As of {as_of}; the operator has found nothing new since.", err=True)


@dataclass(frozen=True)
class _Read:
    """What stands in the cluster. `renewed`: when the operator last renewed its Lease; None: nobody holds it."""

    report: OrphanReport | None
    renewed: datetime | None


async def _read(kubeconfig: Path | None, namespace: str, release: str) -> _Read:
    kube = await open_local(kubeconfig)
    try:
        found = await kube.get(CONFIG_MAP, namespace, report_name(release))
        lease = await kube.get(LEASE, namespace, release)
    finally:
        await kube.close()
    text = ((found or {}).get("data") or {}).get(REPORT_KEY)
    report = None if text is None else OrphanReport.model_validate_json(text)
    held = (lease or {}).get("spec") or {}
    renewed = held.get("renewTime") if held.get("holderIdentity") else None
    return _Read(report, None if renewed is None else parse_time(renewed))


def _why_there_is_none(namespace: str, release: str, *, is_alive: bool) -> str:
    where = f"ConfigMap '{report_name(release)}' in namespace '{namespace}'"
    if is_alive:
        return (
            f"The operator runs, but has written no report to {where} yet: the provider has not answered to any API "
            "key so far. Try again in some minutes; if that does not help, the conditions of the resources say why."
        )
    return (
        f"Nothing is known: there is no report in {where}, and no running operator holds Lease '{release}' there. Give "
        "the operator's --namespace, its --release (the full name, as its Deployment is called) and --kubeconfig."
    )


def _why_it_may_be_old(namespace: str, release: str, as_of: str, renewed: datetime | None) -> str:
    last = "is held by nobody" if renewed is None else f"was renewed last at {renewed:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"No operator runs: Lease '{release}' in namespace '{namespace}' {last}. What is known is as of {as_of}, and "
        "there may be orphans that nobody has seen. Start the operator, then ask again."
    )


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
        "firstSeen": format_time(orphan.since),
        "hourlyUSD": None if orphan.hourly_usd is None else str(orphan.hourly_usd),
        "costUSD": None if cost is None else str(cost),
        "costIsAtLeast": orphan.cost_is_at_least,
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
            f"{since:%Y-%m-%d %H:%M}" if since is not None else f"{orphan.since:%Y-%m-%d %H:%M} or before",
            str(orphan.hourly_usd) if orphan.hourly_usd is not None else "unknown",
            f"{'at least ' if orphan.cost_is_at_least else ''}{cost}" if cost is not None else "unknown",
            Text(orphan.stays or "it is being deleted"),
        )
    return table
