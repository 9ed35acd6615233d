"""Commands that act on process nodes: `tunesmith-devcluster node ...`."""

from __future__ import annotations

import click


@click.group()
def node() -> None:
    """Act on one process node of a running cluster."""
