"""Commands that act on process nodes: `tunesmith-devcluster node ...`. Faults are tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from tunesmith_devcluster.nodes import fault

_VERBS: dict[str, Callable[[Path], None]] = {
    "not-ready": fault.not_ready,
    "ready": fault.ready,
    "kill": fault.kill,
    "cut-off": fault.cut_off,
    "reconnect": fault.reconnect,
    "restore-gpus": fault.restore_gpus,
    "start": fault.start,
    "stop": fault.stop_node,
}
_directory = click.option(
    "--directory", type=click.Path(path_type=Path), default=Path(".run/devcluster"), show_default=True,
    help="The state directory of the cluster.",
)  # fmt: skip


@click.group()
def node() -> None:
    """Act on one process node of a running cluster."""


def _add(verb: str, act: Callable[[Path], None]) -> None:
    @node.command(verb, help=(act.__doc__ or "").splitlines()[0])
    @click.argument("name")
    @_directory
    def run(name: str, directory: Path) -> None:
        _do(act, directory, name)


for _verb, _act in _VERBS.items():
    _add(_verb, _act)


@node.command("lose-gpus")
@click.argument("name")
@click.argument("count", type=click.IntRange(min=1))
@_directory
def lose_gpus(name: str, count: int, directory: Path) -> None:
    """`COUNT` GPUs more of node NAME are no longer allocatable; who holds them keeps running."""
    _do(lambda place: fault.lose_gpus(place, count), directory, name)


def _do(act: Callable[[Path], None], directory: Path, name: str) -> None:
    place = directory / "nodes" / name
    if not (place / "spec.json").exists():
        known = ", ".join(sorted(path.parent.name for path in directory.glob("nodes/*/spec.json"))) or "none"
        raise click.ClickException(
            f"there is no process node {name!r} in {directory} (known: {known}); see --directory"
        )
    try:
        act(place)
    except fault.NodeFault as error:
        raise click.ClickException(str(error)) from error
