"""The command `tunesmith-devcluster`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from tunesmith_devcluster import bars, binaries, tools, up
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi
from tunesmith_devcluster.nodes.cli import node

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(".run/devcluster"),
    show_default=True,
    help="Where the cluster's state is kept.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """A Kubernetes to run against: a given kubeconfig, kind, or control-plane binaries with process nodes.

    For demos and tests, never for real work.
    """


@commands.command("up")
@directory_option
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Use the cluster that this file speaks of.")
@click.option("--nodes", default=2, show_default=True, help="How many GPU nodes.")
def bring_up(directory: Path, kubeconfig: Path | None, nodes: int) -> None:
    """Have a cluster up, and print its kubeconfig's path."""
    progress = bars.on_stderr()
    result = up.up(directory, given=kubeconfig, nodes=nodes, progress=progress)
    if shutil.which("kubectl") is None:
        progress.say(f"kubectl is not on PATH; one lies in {tools.ensure(progress).kubectl.parent}")
    click.echo(result.kubeconfig)


@commands.command("down")
@directory_option
def bring_down(directory: Path) -> None:
    """End exactly what 'up' started."""
    click.echo(up.down(directory))


@commands.command()
@directory_option
def status(directory: Path) -> None:
    """Say what is up, and how its nodes are."""
    known = up.recorded(directory)
    if known is None:
        click.echo(f"nothing is up in {directory}")
        return
    click.echo(f"{known.origin}: {known.why}\nkubeconfig: {known.kubeconfig}")
    if not up.is_alive(directory, known):
        raise DevclusterError("Its control plane has ended. 'tunesmith-devcluster up' starts a new one.")
    if known.origin is up.Origin.GIVEN:
        return
    with KubernetesApi(Path(known.kubeconfig)) as api:
        for item in api.get("/api/v1/nodes")["items"]:
            conditions = {one["type"]: one["status"] for one in item["status"].get("conditions", [])}
            ready = "Ready" if conditions.get("Ready") == "True" else "NotReady"
            gpus = item["status"].get("allocatable", {}).get("nvidia.com/gpu", "0")
            click.echo(f"{item['metadata']['name']}  {ready}  {gpus} GPUs")


@commands.command()
@directory_option
def kubeconfig(directory: Path) -> None:
    """Print the path of the kubeconfig, for KUBECONFIG=$(...)."""
    known = up.recorded(directory)
    if known is None:
        raise DevclusterError(f"Nothing is up in {directory}. 'tunesmith-devcluster up' starts a cluster.")
    click.echo(known.kubeconfig)


@commands.command("binaries")
def get_binaries() -> None:
    """Only see to it that all programs are there: control plane, kwok, helm, kubectl."""
    reporter = bars.on_stderr()
    programs, found = binaries.ensure(reporter), tools.ensure(reporter)
    kwok = binaries.ensure_kwok(reporter)
    for path in (*vars(programs).values(), kwok, found.helm, found.kubectl):
        click.echo(path)


commands.add_command(node)


def main() -> None:
    """Run the command; an error of ours is one message and exit status 1."""
    try:
        commands()
    except DevclusterError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
