"""The demo keeps every promise: the tiny model each time, the real one when everything is proven."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_the_demo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunesmith_demo.cli", "run", "--directory", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})


def test_the_quick_demo_ends_with_an_empty_provider(tmp_path: Path):
    done = run_the_demo(tmp_path / "demo", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every promise was kept" in done.stdout


@pytest.mark.prove
def test_the_demo_fine_tunes_a_real_model(tmp_path: Path):
    done = run_the_demo(tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loss on held-out rows" in done.stdout
    assert "tuned:" in done.stdout
