"""What the tests of devcluster's parts share."""

from pathlib import Path

import pytest

from tunesmith_devcluster.progress import Lines


@pytest.fixture
def said() -> list[str]:
    """What was reported."""
    return []


@pytest.fixture
def progress(said: list[str]) -> Lines:
    return Lines(said.append)


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of a part touches the user's cache or runtime directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
