"""`python -m tunesmith_devcluster.nodes`: one process node, in the foreground until SIGTERM."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import click

from tunesmith_devcluster.nodes.api import Access, Api
from tunesmith_devcluster.nodes.images import DEFAULT_TABLE, ImageTable
from tunesmith_devcluster.nodes.node import NodeOptions, run_node
from tunesmith_devcluster.nodes.spec import NodeSpec

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--kubeconfig", type=_file, required=True, help="The node's own kubeconfig (system:node:<name>).")
@click.option("--spec", type=_file, required=True, help="The node's specification, JSON.")
@click.option("--directory", type=click.Path(path_type=Path), required=True, help="The node's state.")
@click.option("--pod-range", required=True, help="Loopback addresses for pods, such as 127.64.1.0/24.")
@click.option("--images", type=_file, default=DEFAULT_TABLE, help="The table of known images, YAML.")
def main(*, kubeconfig: Path, spec: Path, directory: Path, pod_range: str, images: Path) -> None:
    """Run one process node."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    directory.mkdir(parents=True, exist_ok=True)
    node_spec = NodeSpec.from_json(spec.read_text(encoding="utf-8"))
    options = NodeOptions(node_spec, directory.resolve(), pod_range, ImageTable.read(images))
    asyncio.run(_run(options, kubeconfig))


async def _run(options: NodeOptions, kubeconfig: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    api = Api(
        Access.read(kubeconfig), options.directory, f"tunesmith-process-node/{options.spec.name} pid/{os.getpid()}"
    )
    await run_node(options, api, ended)


if __name__ == "__main__":
    main()
