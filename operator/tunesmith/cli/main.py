"""The command `tunesmith`: runs the operator, reads what it wrote down, plans a training, or says its version."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path

import click
from pydantic import ValidationError

from tunesmith.cli.audit import audit
from tunesmith.cli.cost import cost
from tunesmith.cli.environment import kubeconfig_of_environment
from tunesmith.cli.orphans import orphans
from tunesmith.cli.plan import plan
from tunesmith.main import run as run_operator
from tunesmith.settings import Settings


@click.group()
def main() -> None:
    """Tunesmith: GPU clusters and fine-tuning jobs as Kubernetes resources."""


@main.command()
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run outside the cluster with this kubeconfig. Default: KUBECONFIG, or the pod's service account.",
)
def run(kubeconfig: Path | None) -> None:
    """Run the operator until it is asked to end. Everything is set by TUNESMITH_... environment variables."""
    try:
        settings = Settings()
    except ValidationError as error:
        click.echo(f"The settings cannot be used:\n{_problems(error)}", err=True)
        sys.exit(2)
    asyncio.run(run_operator(settings, kubeconfig or kubeconfig_of_environment()))


main.add_command(audit)
main.add_command(orphans)


@main.command(name="version")
def show_version() -> None:
    """Print the version."""
    click.echo(version("tunesmith"))


main.add_command(cost)
main.add_command(plan)


def _problems(error: ValidationError) -> str:
    """Which variable, and what is wrong with it; never its value."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in problem["loc"]).upper()
        lines.append(f"  TUNESMITH_{name}: {problem['msg']}" if name else f"  {problem['msg']}")
    return "\n".join(lines)
