"""The demo and its stories keep every promise: the short ones each time, the others when everything is proven."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_the_demo(directory: Path, *arguments: str, what: str = "run") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tunesmith_demo.cli", what, "--directory", str(directory), *arguments]
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


@pytest.mark.prove
def test_the_story_of_an_alternative_keeps_its_promises(tmp_path: Path):
    done = run_the_demo(tmp_path / "story", "alternative", what="story")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "orders at the provider, by its record: 409, 409, 200" in done.stdout
    assert "Every promise was kept: alternative." in done.stdout


@pytest.mark.prove
@pytest.mark.parametrize(
    ("story", "said"),
    [
        ("repair", "restarts: 0"),
        ("idle", "2 cluster(s) bought"),
        ("crash", "orders at the provider, by its record: 1; clusters sold: 1"),
    ],
)
def test_a_story_keeps_its_promises(tmp_path: Path, story: str, said: str):
    done = run_the_demo(tmp_path / "story", story, what="story")
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert f"Every promise was kept: {story}." in done.stdout
