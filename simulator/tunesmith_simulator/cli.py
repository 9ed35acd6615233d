"""The command line: ``tunesmith-simulator serve``."""

import asyncio
import logging
from pathlib import Path

import click

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.scenario import ScenarioError
from tunesmith_simulator.server import Simulator, run_simulator


@click.group()
@click.version_option(package_name="tunesmith-simulator")
def main() -> None:
    """The Instant Clusters API, played over HTTP for tests and trials."""


@main.command()
@click.option("--port", default=0, show_default="a free one", help="Port on loopback.")
@click.option(
    "--scenario", "scenario_name", default="default", show_default=True, help="'default', 'demo', or a YAML file."
)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Divides all durations of the scenario.")
@click.option(
    "--state",
    "state_directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".run/simulator"),
    show_default=True,
    help="Where real clusters and the data of shared volumes live.",
)
@click.option("--light", is_flag=True, help="No Kubernetes behind the clusters; for tests of many.")
@click.option(
    "--port-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the port here once it answers."
)
def serve(
    *, port: int, scenario_name: str, speed: float | None, state_directory: Path, light: bool, port_file: Path | None
) -> None:
    """Serve until SIGTERM or Ctrl-C; then end every cluster that was started.

    Only the data of shared volumes outlives a run (under --state): clusters are forgotten, and what is left of real
    ones by a run that was killed is ended at the next start.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        found = scenario_name in {"default", "demo"}
        scenario = scenarios.named(scenario_name) if found else scenarios.load(Path(scenario_name))
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None
    if speed is not None:
        scenario = scenario.model_copy(update={"speed": speed})

    def tell(simulator: Simulator) -> None:
        click.echo(f"The simulator answers at {simulator.url} (base URL without /v1).")
        if port_file:
            written = port_file.with_name(f".{port_file.name}.new")
            written.write_text(simulator.url.rpartition(":")[2])
            written.replace(port_file)

    try:
        asyncio.run(
            run_simulator(scenario, port=port, state_directory=None if light else state_directory, on_ready=tell)
        )
    except OSError as error:
        raise click.ClickException(
            f"The simulator cannot listen on port {port}: {error}. Choose another --port."
        ) from None
