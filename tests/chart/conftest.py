"""The chart, rendered by the real Helm."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith_devcluster import tools
from tunesmith_devcluster.progress import Lines

CHART = Path(__file__).parents[2] / "charts" / "tunesmith"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))

Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs helm with these arguments."""
    program = tools.ensure(Lines(print)).helm

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """The objects of a release, by values file and `--set` arguments."""

    def rendered(values: Path | None = None, *arguments: str) -> list[dict[str, Any]]:
        files = ["--values", str(values)] if values else []
        done = helm("template", "tunesmith", str(CHART), "--namespace", "tunesmith-system", *files, *arguments)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


def the(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one object of the kind."""
    (found,) = [each for each in objects if each["kind"] == kind]
    return found
