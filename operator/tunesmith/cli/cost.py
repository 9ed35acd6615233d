"""`tunesmith cost`: what was spent and what is being spent, by label, from the cluster and the operator's audit log."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table

from tunesmith.cli.cost_report import NAMESPACE, Spender, Spending, of_log, of_resource, report
from tunesmith.cli.environment import kubeconfig_of_environment
from tunesmith.kube.connect import open_local
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import GPU_CLUSTER, SHARED_VOLUME
from tunesmith.planning.money import cents
from tunesmith.planning.price_table import PUBLISHED_DATE

TOTAL = "TOTAL"
FIELDS = ("gpuHours", "tibHours", "computeUSD", "storageUSD", "totalUSD", "idleUSD", "uncertainUSD", "hourlyUSD")
NOTE = (
    "Sums are for certain; 'uncertain' may come on top. Prices are the installation's; where it sets none, those that "
    f"the provider published on {PUBLISHED_DATE}."
)


@click.command()
@click.option("--by", default=NAMESPACE, show_default=True, help="The label to group by, or 'namespace'.")
@click.option("-o", "--output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("-n", "--namespace", help="Only resources of this namespace.")
@click.option(
    "--audit",
    "log",
    type=click.File("r"),
    help="The operator's audit log, for what is gone already; '-' reads it from standard input.",
)
@click.option("--offline", is_flag=True, help="Only the audit log: ask no cluster.")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Default: KUBECONFIG, or the pod's service account.",
)
def cost(
    *, by: str, output: str, namespace: str | None, log: TextIO | None, offline: bool, kubeconfig: Path | None
) -> None:
    """Tell what GPUClusters and SharedVolumes have cost.

    \b
    tunesmith cost --by team
    kubectl logs deploy/tunesmith | tunesmith cost --audit - --by team -o csv
    """
    try:
        living = () if offline else asyncio.run(_living(kubeconfig, namespace))
    except (KubeError, OSError) as error:
        raise click.ClickException(
            f"The cluster could not be asked: {error}. See --kubeconfig and --offline."
        ) from None
    gone = () if log is None else of_log(log)
    groups = report(living, (each for each in gone if namespace in {None, each.namespace}), by)
    total = sum(groups.values(), Spending())
    if output == "table":
        _print_table(by, groups, total)
    else:
        click.echo(_json(by, groups, total) if output == "json" else _csv(by, groups, total), nl=False)


async def _living(kubeconfig: Path | None, namespace: str | None) -> tuple[Spender, ...]:
    kube = await open_local(kubeconfig or kubeconfig_of_environment())
    try:
        raws = [raw for kind in (GPU_CLUSTER, SHARED_VOLUME) for raw in (await kube.list(kind, namespace)).items]
    finally:
        await kube.close()
    return tuple(spender for raw in raws if (spender := of_resource(raw)) is not None)


def _print_table(by: str, groups: Mapping[str, Spending], total: Spending) -> None:
    table = Table(show_footer=True)
    table.add_column(by, TOTAL)
    shown = _values(total)
    for field in FIELDS:
        table.add_column(field, shown[field], justify="right")
    for group, spending in groups.items():
        values = _values(spending)
        table.add_row(group, *(values[field] for field in FIELDS))
    console = Console()
    console.print(table)
    console.print(NOTE, style="dim")
    if total.unpriced:
        console.print(f"{total.unpriced} of them have no price in the installation: their dollars are missing here.")


def _csv(by: str, groups: Mapping[str, Spending], total: Spending) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([by, *FIELDS, "unpriced"])
    for group, spending in (*groups.items(), (TOTAL, total)):
        writer.writerow([group, *_values(spending).values(), spending.unpriced])
    return text.getvalue()


def _json(by: str, groups: Mapping[str, Spending], total: Spending) -> str:
    body = {
        "by": by,
        "groups": [{"group": group, **_values(each), "unpriced": each.unpriced} for group, each in groups.items()],
        "total": {**_values(total), "unpriced": total.unpriced},
        "note": NOTE,
    }
    return f"{json.dumps(body, indent=2)}\n"


def _values(spending: Spending) -> dict[str, str]:
    amounts: tuple[Decimal, ...] = (
        spending.gpu_hours,
        spending.tib_hours,
        spending.compute_usd,
        spending.storage_usd,
        spending.total_usd,
        spending.idle_usd,
        spending.uncertain_usd,
        spending.hourly_usd,
    )
    return {field: format(cents(amount), "f") for field, amount in zip(FIELDS, amounts, strict=True)}
